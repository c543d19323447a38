"""Signing and reading plans: what is done of an honest one, and what of each that lies."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptosupport.chains.bitcoin.plans import Planned
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.paying import Decoded, Paid
from tests.chains.bitcoin_paying.kit import (
    PURPOSES,
    WORDS,
    Map,
    Maps,
    account,
    coin,
    funding,
    joined,
    plan,
    script_of,
    sized,
    tools,
    transaction,
    txid_of,
    watched,
)
from tests.chains.bitcoinkit import ELSEWHERE, FOREIGN

BOTH = pytest.mark.parametrize("kind", PURPOSES)


# -- an honest plan ---------------------------------------------------------------------------------------------------


@BOTH
def test_what_is_signed_does_what_the_plan_says(kind: str) -> None:
    planned = plan(kind)
    raw = tools(kind).sign(planned.text, WORDS)
    made = [
        funding(watched(kind).script(*place), satoshis, salt)
        for salt, (place, satoshis) in enumerate([((False, 0), 100_000), ((True, 3), 50_000)])
    ]
    assert tools(kind).read(raw, planned.text) == Decoded(
        txid=tools(kind).read(raw, planned.text).txid,
        network="regtest",
        source=watched(kind).source,
        claims=tuple(f"{txid_of(each)}:1" for each in made),
        pays=(Paid(FOREIGN, None, 120_000), Paid(watched(kind).source, None, 29_000)),
        max_fee=1_000,
    )
    assert tools(kind).sign(planned.text, WORDS) == raw


@BOTH
def test_an_address_far_out_is_signed_too(kind: str) -> None:
    planned = plan(kind, coins=[(True, 2**31 - 1, 100_000), (False, 70_000, 90_000)], change=(100_000, 60_000))
    raw = tools(kind).sign(planned.text, account(kind))
    assert tools(kind).read(raw, planned.text).source == watched(kind).source


@BOTH
def test_change_is_ours_and_any_other_output_is_told_as_it_is(kind: str) -> None:
    own = watched(kind).script(False, 4)
    planned = plan(kind, pays=[(own, 50_000), (b"\x6a\x03abc", 0), (script_of(ELSEWHERE), 40_000)])
    pays = tools(kind).read(tools(kind).sign(planned.text, WORDS), planned.text).pays
    assert [each.destination for each in pays] == [
        watched(kind).address(False, 4), "script:6a03616263", ELSEWHERE, watched(kind).source
    ]  # fmt: skip


@BOTH
@pytest.mark.parametrize("change", [(0, 5), (1, 4), (2, 5), (9, 5)], ids=["a_payment", "index", "no_output", "far"])
def test_change_that_is_not_ours_is_refused(kind: str, change: tuple[int, int]) -> None:
    lie = Planned(plan(kind).psbt, change)
    with pytest.raises(Refused, match="not the change address"):
        tools(kind).sign(lie.text, WORDS)
    with pytest.raises(Refused, match="not the change address"):
        tools(kind).read(tools(kind).sign(plan(kind).text, WORDS), lie.text)


@BOTH
def test_what_is_not_signed_has_no_source(kind: str) -> None:
    planned = plan(kind)
    unsigned = plan_transaction(planned)
    assert tools(kind).read(unsigned, planned.text).source == ""
    half = with_witnesses(unsigned, [[b"\x01"], []])
    assert tools(kind).read(half, planned.text).source == ""


def plan_transaction(planned: Planned) -> bytes:
    """The unsigned transaction of a plan of the kit: two inputs, two outputs."""
    raw = planned.raw
    assert raw[5:7] == b"\x01\x00"
    return raw[8 : 8 + raw[7]] if raw[7] < 0xFD else raw[10 : 10 + struct.unpack("<H", raw[8:10])[0]]


def with_witnesses(unsigned: bytes, stacks: list[list[bytes]]) -> bytes:
    """A transaction with witnesses put in."""
    witness = b"".join(bytes([len(stack)]) + b"".join(sized(each) for each in stack) for stack in stacks)
    return unsigned[:4] + b"\x00\x01" + unsigned[4:-4] + witness + unsigned[-4:]


def stacks_of(raw: bytes) -> list[list[bytes]]:
    from bitcoin.core import CTransaction

    return [[bytes(item) for item in each.scriptWitness.stack] for each in CTransaction.deserialize(raw).wit.vtxinwit]


# -- signatures that do not fit ---------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "spoilt", ["junk", "empty", "turned", "bit", "none", "single", "anyone", "more", "less", "other"]
)
def test_a_signature_that_does_not_fit_is_refused(kind: str, spoilt: str) -> None:
    planned = plan(kind)
    stacks = stacks_of(tools(kind).sign(planned.text, WORDS))
    signature = stacks[0][0]
    body = signature[:-1] if kind == "wpkh" else signature
    match spoilt:
        case "junk":
            stacks[0] = [b"\x01"]
        case "empty":
            stacks[0] = [b"", *stacks[0][1:]]
        case "turned":
            stacks.reverse()
        case "bit":
            stacks[0][0] = signature[:40] + bytes([signature[40] ^ 1]) + signature[41:]
        case "none" | "single" | "anyone":
            stacks[0][0] = body + {"none": b"\x02", "single": b"\x03", "anyone": b"\x81"}[spoilt]
        case "more":
            stacks[0].append(b"\x50")
        case "less":
            stacks[0][0] = signature[1:]
        case "other":
            of_another = plan(kind, change=(5, 28_000))
            stacks = stacks_of(tools(kind).sign(of_another.text, WORDS))
    with pytest.raises(Refused, match="not signed as they have to be"):
        tools(kind).read(with_witnesses(plan_transaction(planned), stacks), planned.text)


@BOTH
def test_a_signature_of_taproot_that_says_what_it_covers_is_good(kind: str) -> None:
    planned = plan(kind, spoil=lambda maps: maps[1].update({b"\x03": struct.pack("<I", 1)}))
    raw = tools(kind).sign(planned.text, WORDS)
    assert len(stacks_of(raw)[0][0]) in ((65,) if kind == "tr" else (71, 70, 72))
    assert tools(kind).read(raw, planned.text).source == watched(kind).source


@BOTH
def test_another_transaction_is_refused(kind: str) -> None:
    planned, other = plan(kind), plan(kind, pays=[(script_of(ELSEWHERE), 120_000)])
    raw = tools(kind).sign(other.text, WORDS)
    for text in (planned.text, plan(kind, change=(5, 28_999)).text, plan(kind, change=None).text):
        with pytest.raises(Refused, match="and the plan is"):
            tools(kind).read(raw, text)
    for bytes_ in (b"", raw[:-1], raw + b"\x00", raw * 2):
        with pytest.raises(Refused, match="no transaction of Bitcoin"):
            tools(kind).read(bytes_, planned.text)
    signed = tools(kind).sign(planned.text, WORDS)
    at = 4 + 2 + 1 + 36
    with pytest.raises(Refused, match="and the plan is"):  # a scriptSig that nobody asked for
        tools(kind).read(signed[:at] + b"\x01\x51" + signed[at + 1 :], planned.text)


# -- plans that lie ---------------------------------------------------------------------------------------------------


def foreign_coin(maps: Maps) -> None:
    """An output of another wallet, that says to be the first address of ours."""
    script = script_of(FOREIGN)
    replace_first_coin(maps, script, funding(script, 100_000, 9))


def foreign_account(maps: Maps) -> None:
    """An output of another account of the same master key."""
    kind = "tr" if b"\x17" in maps[1] else "wpkh"
    script = watched(kind, WORDS, 1).script(False, 0)
    replace_first_coin(maps, script, funding(script, 100_000, 9))


def replace_first_coin(maps: Maps, script: bytes, made: bytes) -> None:
    tx = maps[0][b"\x00"]
    maps[0][b"\x00"] = tx[:5] + bytes.fromhex(txid_of(made))[::-1] + tx[37:]
    maps[1][b"\x01"] = struct.pack("<q", 100_000) + sized(script)
    if b"\x00" in maps[1]:
        maps[1][b"\x00"] = made


def put(number: int, **fields: bytes) -> Callable[[Maps], object]:
    """Set fields of a map, by their key in hex behind an x."""
    return lambda maps: maps[number].update({bytes.fromhex(key[1:]): value for key, value in fields.items()})


def without(prefix: bytes) -> Callable[[Maps], object]:
    """Take the fields of one type from the first input."""

    def spoil(maps: Maps) -> None:
        for key in [key for key in maps[1] if key[:1] == prefix]:
            del maps[1][key]

    return spoil


def amount(satoshis: int) -> Callable[[Maps], object]:
    def spoil(maps: Maps) -> None:
        maps[1][b"\x01"] = struct.pack("<q", satoshis) + maps[1][b"\x01"][8:]

    return spoil


def hint(change: Callable[[bytes, bytes], tuple[bytes, bytes]], keep: bool = False) -> Callable[[Maps], object]:
    """Change where the first input's key is said to come from."""

    def spoil(maps: Maps) -> None:
        fields: Map = maps[1]
        key = next(key for key in fields if key[:1] in (b"\x06", b"\x16"))
        value = fields[key] if keep else fields.pop(key)
        new_key, new_value = change(key, value)
        fields[new_key] = new_value

    return spoil


def global_tx(change: Callable[[bytes], bytes]) -> Callable[[Maps], object]:
    def spoil(maps: Maps) -> None:
        maps[0][b"\x00"] = change(maps[0][b"\x00"])

    return spoil


LIES: dict[str, tuple[Callable[[Maps], object], str]] = {
    "foreign_coin": (foreign_coin, "not proven"),
    "foreign_account": (foreign_account, "not proven"),
    "no_hint": (lambda maps: (without(b"\x06")(maps), without(b"\x16")(maps)), "not proven"),
    "hint_of_another_index": (hint(lambda key, value: (key, value[:-4] + struct.pack("<I", 1))), "not proven"),
    "hint_of_another_branch": (hint(lambda key, value: (key, value[:-8] + struct.pack("<II", 1, 0))), "not proven"),
    "hint_of_no_branch": (hint(lambda key, value: (key, value[:-8] + struct.pack("<II", 2, 0))), "not proven"),
    "hint_hardened": (hint(lambda key, value: (key, value[:-4] + struct.pack("<I", 1 << 31))), "not proven"),
    "hint_longer": (hint(lambda key, value: (key, value + bytes(4))), "not proven"),
    "hint_of_the_account": (hint(lambda key, value: (key, value[:-8])), "not proven"),
    "hint_of_a_master": (hint(lambda key, value: (key, value[:-20])), "not proven"),
    "hint_of_another_master": (
        hint(lambda key, value: (key, value.replace(bytes.fromhex(watched("tr").fingerprint), b"\x00" * 4))),
        "not proven",
    ),
    "hint_for_another_key": (hint(lambda key, value: (key[:-1] + bytes([key[-1] ^ 1]), value)), "not proven"),
    "hint_for_an_uncompressed_key": (hint(lambda key, value: (key[:1] + b"\x04" + bytes(64), value)), "not proven"),
    "two_hints": (hint(lambda key, value: (key[:-1] + bytes([key[-1] ^ 1]), value), keep=True), "not proven"),
    "hint_cut": (hint(lambda key, value: (key, value[:-1])), "cut short"),
    "hint_empty": (hint(lambda key, value: (key, b"")), "cut short|script of taproot"),
    "more_than_there_is_money": (amount(21 * 10**14 + 1), "two things are said|holds"),
    "less_than_nothing": (amount(-1), "two things are said|holds"),
    "no_prevout": (lambda maps: (without(b"\x00")(maps), without(b"\x01")(maps)), "missing"),
    "an_output_cut": (put(1, x01=b"\x00" * 7), "kind"),
    "an_output_and_more": (put(1, x01=struct.pack("<q", 5) + b"\x00\x00"), "follows"),
    "another_previous": (put(1, x00=funding(script_of(FOREIGN), 100_000, 9)), "another transaction"),
    "previous_is_nothing": (put(1, x00=b""), "no transaction"),
    "sighash_none": (put(1, x03=struct.pack("<I", 2)), "does not cover"),
    "sighash_single": (put(1, x03=struct.pack("<I", 3)), "does not cover"),
    "sighash_anyone": (put(1, x03=struct.pack("<I", 0x81)), "does not cover"),
    "sighash_with_higher_bits": (put(1, x03=struct.pack("<I", 0x101)), "does not cover"),
    "sighash_cut": (put(1, x03=b"\x01"), "4 bytes"),
    "sighash_with_a_key": (put(1, x0300=struct.pack("<I", 1)), "must not have"),
    "a_signature": (put(1, **{"x02" + "02" * 33: b"\x30\x01"}), "0x02"),
    "a_signature_of_taproot": (put(1, x13=bytes(64)), "0x13"),
    "a_final_witness": (put(1, x08=b"\x00"), "0x08"),
    "a_final_script": (put(1, x07=b"\x51"), "0x07"),
    "a_redeem_script": (put(1, x04=b"\x51"), "0x04"),
    "a_witness_script": (put(1, x05=b"\x51"), "0x05"),
    "a_leaf_script": (put(1, **{"x15" + "c0" * 33: b"\x51\xc0"}), "0x15"),
    "a_merkle_root": (put(1, x18=bytes(32)), "0x18"),
    "a_proprietary_field": (put(1, xfc00=b"\x00"), "0xfc"),
    "an_unknown_field": (put(1, x60=b"\x00"), "0x60"),
    "another_internal_key": (put(1, x17=bytes(32)), "not proven"),
    "version_2": (put(0, xfb=struct.pack("<I", 2)), "version"),
    "no_transaction": (lambda maps: maps[0].clear(), "no transaction"),
    "a_global_field": (put(0, xfc00=b"\x00"), "fields of its own"),
    "an_input_too_few": (lambda maps: maps.pop(1), "kind"),
    "a_map_too_many": (lambda maps: maps.append({}), "follows"),
    "a_map_too_few": (lambda maps: maps.pop(), "kind"),
    "signed_already": (
        global_tx(lambda tx: with_witnesses(tx, [[b"\x01"], [b"\x01"]])),
        "holds signatures",
    ),
    "a_script_in_an_input": (global_tx(lambda tx: tx[:41] + b"\x01\x51" + tx[42:]), "holds signatures"),
    "an_output_spent_twice": (global_tx(lambda tx: tx[:46] + tx[5:41] + tx[82:]), "twice"),
    "final": (global_tx(lambda tx: tx[:42] + b"\xff" * 4 + tx[46:]), "could not be replaced"),
    "final_but_for_the_locktime": (global_tx(lambda tx: tx[:42] + b"\xfe" + b"\xff" * 3 + tx[46:]), "replaced"),
    "waiting": (global_tx(lambda tx: tx[:42] + struct.pack("<I", 10) + tx[46:]), "replaced"),
    "no_outputs": (global_tx(lambda tx: tx[:87] + b"\x00" + tx[-4:]), "no inputs or no outputs"),
}


@BOTH
@pytest.mark.parametrize("lie", LIES)
def test_a_plan_that_lies_is_neither_signed_nor_read(kind: str, lie: str) -> None:
    spoil, said = LIES[lie]
    lying = plan(kind, spoil=spoil)
    assert lying != plan(kind)
    with pytest.raises(Refused, match=said):
        tools(kind).sign(lying.text, WORDS)
    with pytest.raises(Refused, match=said):
        tools(kind).read(tools(kind).sign(plan(kind).text, WORDS), lying.text)


@BOTH
def test_a_plan_that_pays_more_than_it_spends_is_refused(kind: str) -> None:
    with pytest.raises(Refused, match="spends 150000 satoshis and pays 150001"):
        tools(kind).sign(plan(kind, change=(5, 30_001)).text, WORDS)


@pytest.mark.parametrize("satoshis", [0, 99_999, 100_001, 10**8])
def test_a_changed_amount_is_found_through_the_transaction_that_made_it(satoshis: int) -> None:
    with pytest.raises(Refused, match="two things are said"):
        tools("wpkh").sign(plan("wpkh", spoil=amount(satoshis)).text, WORDS)
    lie = plan("wpkh", spoil=lambda maps: (amount(satoshis)(maps), without(b"\x00")(maps)))
    with pytest.raises(Refused, match="is missing"):
        tools("wpkh").sign(lie.text, WORDS)
    hidden = plan("wpkh", spoil=without(b"\x01"))  # what made it says all that there is to say
    assert tools("wpkh").read(tools("wpkh").sign(hidden.text, WORDS), hidden.text).max_fee == 1_000


def test_a_changed_amount_makes_another_signature_of_taproot() -> None:
    lie = plan("tr", spoil=amount(100_500))
    raw = tools("tr").sign(lie.text, WORDS)
    assert tools("tr").read(raw, lie.text).max_fee == 1_500
    with pytest.raises(Refused, match="input 0 is not one of this transaction"):  # as any node says
        tools("tr").read(raw, plan("tr").text)


def test_what_made_an_output_of_taproot_is_held_against_what_is_said_of_it() -> None:
    made = funding(watched("tr").script(False, 0), 100_000, 0)
    honest = plan("tr", spoil=put(1, x00=made))
    assert tools("tr").read(tools("tr").sign(honest.text, WORDS), honest.text).max_fee == 1_000
    with pytest.raises(Refused, match="two things are said"):
        tools("tr").sign(plan("tr", spoil=lambda maps: (put(1, x00=made)(maps), amount(9)(maps))).text, WORDS)


def test_default_is_nothing_that_a_signature_of_p2wpkh_can_cover() -> None:
    default = put(1, x03=bytes(4))
    with pytest.raises(Refused, match="does not cover"):
        tools("wpkh").sign(plan("wpkh", spoil=default).text, WORDS)
    honest = plan("tr", spoil=default)
    assert tools("tr").read(tools("tr").sign(honest.text, WORDS), honest.text).source


def test_a_coin_of_the_other_kind_is_refused() -> None:
    """A wallet of one key in two descriptors: each signs its own."""
    for kind, other in (("wpkh", "tr"), ("tr", "wpkh")):
        script = watched(other).script(False, 0)
        made = funding(script, 100_000, 9)

        def spoil(maps: Maps, script: bytes = script, made: bytes = made, other: str = other) -> None:
            replace_first_coin(maps, script, made)
            maps[1] = coin(other, script, 100_000, 9, (False, 0))

        with pytest.raises(Refused, match=r"not proven|missing"):
            tools(kind).sign(plan(kind, spoil=spoil).text, WORDS)


@pytest.mark.parametrize(
    "raw", [b"", b"psbt", b"psbt\xff", b"psbt\xfe\x00", b"psbt\xff\x00", b"psbt\xff\x01\x00\xff" + b"\xff" * 8]
)
def test_what_is_no_psbt_is_refused(raw: bytes) -> None:
    with pytest.raises(Refused):
        tools("wpkh").sign(Planned(b64encode(raw).decode()).text, WORDS)


def test_fields_that_are_there_twice_or_spelt_in_another_way_are_refused() -> None:
    raw = plan("wpkh").raw
    version = b"\x01\xfb\x04" + bytes(4)
    for spoilt, said in ((version * 2, "twice"), (b"\xfd\x01\x00\xfb\x04" + bytes(4), "spelt"), (b"\x01", "cut|kind")):
        with pytest.raises(Refused, match=said):
            tools("wpkh").sign(Planned(b64encode(raw[:5] + spoilt + raw[5:]).decode()).text, WORDS)
    honest = Planned(b64encode(raw[:5] + version + raw[5:]).decode(), (1, 5))
    assert tools("wpkh").sign(honest.text, WORDS) == tools("wpkh").sign(plan("wpkh").text, WORDS)


def test_a_giant_is_refused_before_it_is_read() -> None:
    with pytest.raises(Refused, match="8000000"):
        tools("tr").sign(plan("tr", spoil=put(3, x60=bytes(8_000_000))).text, WORDS)


def test_a_transaction_that_no_node_passes_on_is_refused() -> None:
    pays = [(b"\x6a" + bytes(99_900), 0)]
    with pytest.raises(Refused, match="no node passes on"):
        tools("tr").sign(plan("tr", pays=pays, change=None).text, WORDS)


@BOTH
@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_whatever_byte_of_a_plan_changes_it_is_refused_or_signed_for_what_it_says(
    kind: str, at: int, byte: int
) -> None:
    raw = bytearray(plan(kind).raw)
    raw[at % len(raw)] = byte
    spoilt = Planned(b64encode(raw).decode(), (1, 5))
    try:
        signed = tools(kind).sign(spoilt.text, WORDS)
    except Refused:
        return
    read = tools(kind).read(signed, spoilt.text)
    assert sum(each.base_units for each in read.pays) + read.max_fee == sum(
        int.from_bytes(each[:8], "little") for each in told_amounts(spoilt)
    )
    assert all(each.destination == watched(kind).source for each in read.pays[1:])


def told_amounts(planned: Planned) -> list[bytes]:
    """What the plan says of the outputs that it spends."""
    from cryptosupport.chains.bitcoin import psbts

    said = [each.output for each in psbts.read(planned.raw).coins]
    return [each[1].to_bytes(8, "little") for each in said if each is not None]


def test_the_kit_joins_what_it_is_given() -> None:
    """The lies above are lies of the PSBT and not of how it is written."""
    assert joined([{b"\x00": b"a"}, {}]) == b"psbt\xff\x01\x00\x01a\x00\x00"
    assert plan_transaction(plan("tr"))[:5] == transaction([("00" * 32, 0)] * 2, [])[:5]
