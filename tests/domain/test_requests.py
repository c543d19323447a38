"""What a request may say, field by field: nothing that is wrong is taken, and it is said what is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.chains.bitcoin import codec as bitcoin
from cryptosupport.chains.evm import codec as evm
from cryptosupport.domain.addresses import Address
from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.money import Asset, format_base_units
from cryptosupport.domain.requests import PARTS, Intake, Number, read_request, signed_bytes, utc_milliseconds
from cryptosupport.domain.withdrawals import Beneficiary, Request, Signature, Verification

ON_ETHEREUM = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
ON_BITCOIN = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
GOOD = {
    "request_id": "w-1",
    "customer": "c-7",
    "asset": "ETH",
    "chain": "ethereum",
    "amount": "1.5",
    "destination": ON_ETHEREUM,
}
A_SIGNATURE = {"key": "backend", "value": "A" * 86 + "=="}


def read_address(chain: str, text: str) -> Address | None:
    return evm.parse_address(text) if chain == "ethereum" else bitcoin.parse_address(text, "mainnet")


INTAKE = Intake(
    assets={
        "ethereum": {"ETH": Asset("ETH", 18), "USDT": Asset("USDT", 6, "0xdAC17F958D2ee523a2206206994597C13D831ec7")},
        "bitcoin": {"BTC": Asset("BTC", 8)},
    },
    read_address=read_address,
    tiers=("basic", "verified", "vip"),
    signature_fault=lambda signature, data: None,
    signature_required=False,
)


def read(**changes: object) -> Request:
    return read_request({**GOOD, **changes}, INTAKE)


def read_or_refused(read: Callable[[], Request]) -> Request | str:
    """The request, or in words why there is none."""
    try:
        return read()
    except BadInput as error:
        return error.message


def refusal(**changes: object) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read(**changes)
    assert caught.value.message.isprintable(), "it is shown on a terminal"
    assert len(caught.value.message) < 500
    return caught.value


# -- what is taken ---------------------------------------------------------------------------------------------------


def test_the_six_fields_make_a_request() -> None:
    request = read()
    assert request == Request("w-1", "c-7", Asset("ETH", 18), "ethereum", 1_500_000_000_000_000_000, ON_ETHEREUM)


def test_all_fields_are_kept_as_they_were_given() -> None:
    request = read(
        memo="tag 5",
        tier="vip",
        country="DE",
        verification={"identity": True, "two_factor": False, "at": "2026-11-21T12:00:00Z"},
        beneficiary={"name": "张\u3000三", "provider": "Other Exchange", "self_hosted": False, "proof": "p-1"},
        note="paid by hand 👩\u200d💻",
        signature=A_SIGNATURE,
    )
    assert (request.memo, request.tier, request.country) == ("tag 5", "vip", "DE")
    assert request.verification == Verification(identity=True, at=1_795_262_400)
    assert request.beneficiary == Beneficiary("张\u3000三", "Other Exchange", False, "p-1")
    assert request.note == "paid by hand 👩\u200d💻"
    assert request.signature == Signature("backend", "A" * 86 + "==")


def test_null_is_the_same_as_not_being_there() -> None:
    names = ("memo", "tier", "country", "verification", "beneficiary", "note", "signature")
    assert read(**dict.fromkeys(names)) == read()
    assert read(verification={"identity": None, "at": None}, beneficiary={}) == read()


def test_a_destination_comes_in_the_normal_form_of_its_chain() -> None:
    assert read(destination=ON_ETHEREUM.lower()).destination == ON_ETHEREUM
    on_bitcoin = read(chain="bitcoin", asset="BTC", amount="1", destination=ON_BITCOIN.upper())
    assert on_bitcoin.destination == ON_BITCOIN


def test_a_customer_may_have_a_name_in_any_script() -> None:
    assert read(customer="李 小龙").customer == "李 小龙"


@pytest.mark.parametrize("text", ["0.5", "1.50", "100", "0.000000000000000001", "10.000000000000000000"])
def test_a_plain_decimal_is_an_amount(text: str) -> None:
    assert read(amount=text).base_units == int(text.replace(".", "").ljust(len(text.split(".")[0]) + 18, "0"))


@given(st.integers(1, 2**256 - 1))
def test_any_uint256_can_be_asked_for(base_units: int) -> None:
    assert read(amount=format_base_units(base_units, 18)).base_units == base_units


# -- amounts ---------------------------------------------------------------------------------------------------------

NO_AMOUNTS = [
    "-1", "+1", "1e3", "1E3", "NaN", "nan", "Infinity", "1,000", "1.000,5", "1 000", "1_000", " 1", "1 ", "1\n", "0x1",
    ".5", "5.", "1.2.3", "", "007", "00.5", "one", "1.5 ETH", "\u0661", "\uff11", "1\u0660", "½", "1\x00", "\ud800",
    "1\u200b", "--1", "1/2",
]  # fmt: skip


@pytest.mark.parametrize("text", NO_AMOUNTS, ids=ascii)
def test_text_that_is_no_plain_decimal_is_no_amount(text: str) -> None:
    error = refusal(amount=text)
    assert error.message.startswith("amount ")
    assert error.facts["field"] == "amount"


def test_nothing_is_no_amount() -> None:
    for text in ("0", "0.0", "0.000000000000000000"):
        assert "there is nothing to pay" in refusal(amount=text).message


def test_a_number_without_quotes_is_no_amount() -> None:
    for written in ("1.5", "1", "NaN", "1e3"):
        assert refusal(amount=Number(written)).message == f"amount is the number {written}: write it as text, in quotes"
    values: list[object] = [1.5, 1, True, [], {}, ["1"]]
    for value in values:
        assert "write it as text, in quotes" in refusal(amount=value).message


def test_more_decimals_than_the_asset_has_are_refused_even_zeros() -> None:
    assert "has 7 decimals, and the asset has 6" in refusal(asset="USDT", amount="0.0000001").message
    assert "has 7 decimals, and the asset has 6" in refusal(asset="USDT", amount="1.0000000").message


def test_2_to_the_256_base_units_are_refused_and_one_less_is_taken() -> None:
    assert read(amount=format_base_units(2**256 - 1, 18)).base_units == 2**256 - 1
    assert "2**256 - 1" in refusal(amount=format_base_units(2**256, 18)).message


def test_a_number_of_a_million_digits_is_refused_without_being_computed() -> None:
    assert "has 1000000 characters, and at most 256 are taken" in refusal(amount="9" * 1_000_000).message


# -- names and texts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["request_id", "customer", "asset", "chain", "amount", "destination"])
def test_each_of_the_six_has_to_be_there(name: str) -> None:
    assert refusal(**{name: None}).message.startswith(f"{name} is missing")
    assert refusal(**{name: ""}).message == f"{name} is empty"
    for value in (Number("5"), 5, True, ["x"], {"x": "y"}):
        assert refusal(**{name: value}).message.startswith(f"{name} is ")


@pytest.mark.parametrize("name", ["memo", "tier", "country", "note"])
def test_an_empty_text_is_not_taken_for_an_absent_one(name: str) -> None:
    """An empty memo is nearly always a variable that was not set, and coins sent without their memo are lost."""
    assert refusal(**{name: ""}).message == f"{name} is empty: leave it out, or write null"


LONGEST = {"request_id": 128, "customer": 128, "memo": 256, "note": 2000}


@pytest.mark.parametrize(("name", "longest"), LONGEST.items())
def test_texts_have_a_greatest_length(name: str, longest: int) -> None:
    assert getattr(read(**{name: "x" * longest}), name) == "x" * longest
    message = refusal(**{name: "x" * (longest + 1)}).message
    assert f"{name} has {longest + 1} characters, and at most {longest} are taken" in message


CONTROL = [
    "\x00",
    "\x07",
    "\t",
    "\n",
    "\r",
    "\x1b[31m",
    "\x7f",
    "\x85",
    "\u2028",
    "\u202e",
    "\u2066",
    "\ufeff",
    "\ue000",
]
CONTROL += ["\ud800", "\U0010fffd"]


@pytest.mark.parametrize("bad", CONTROL, ids=ascii)
@pytest.mark.parametrize("name", ["request_id", "customer", "memo", "note", "beneficiary.name", "beneficiary.proof"])
def test_what_cannot_be_seen_is_in_no_text(name: str, bad: str) -> None:
    text = f"a{bad}b"
    part, _, member = name.partition(".")
    error = refusal(**{part: {member: text} if member else text})
    assert error.message.startswith(f"{name} holds U+")
    assert error.facts["field"] == name


@pytest.mark.parametrize("text", ["a b", " a", "a ", "é", "a\u00a0b", "\uff41"], ids=ascii)
def test_a_request_id_is_printable_ascii_without_blanks(text: str) -> None:
    assert "write printable ASCII characters without blanks" in refusal(request_id=text).message


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
@pytest.mark.parametrize("name", ["request_id", "customer"])
def test_what_travels_into_spreadsheets_does_not_start_like_a_formula(name: str, start: str) -> None:
    assert "starts like a spreadsheet formula" in refusal(**{name: f"{start}1"}).message
    assert getattr(read(**{name: f"a{start}1"}), name) == f"a{start}1"


def test_a_customer_has_one_spelling() -> None:
    assert "a blank at its start or end" in refusal(customer=" c-7").message
    assert "a blank at its start or end" in refusal(customer="c-7 ").message
    assert read(customer="Zo\u00eb").customer == "Zo\u00eb"
    assert "NFC" in refusal(customer="Zoe\u0308").message


@pytest.mark.parametrize("text", ["de", "DEU", "D", "D1", "\uff24\uff25", "DE "])
def test_a_country_is_two_capital_letters(text: str) -> None:
    assert refusal(country=text).message.startswith("country is ")


# -- what has to be known --------------------------------------------------------------------------------------------


def test_an_unknown_chain_names_the_known_ones_the_nearest_first() -> None:
    assert refusal(chain="etherium").message == ('chain "etherium" is not configured: known are ethereum, bitcoin')
    assert "known are bitcoin, ethereum" in refusal(chain="Bitcoin").message


def test_an_asset_has_to_be_one_of_the_chain() -> None:
    assert refusal(asset="USTD").message == 'asset "USTD" is not an asset of ethereum: known are USDT, ETH'
    assert "not an asset of ethereum" in refusal(asset="BTC").message
    assert "known are ETH, USDT" in refusal(asset="eth").message


def test_an_asset_without_decimals_cannot_be_asked_for() -> None:
    intake = replace(INTAKE, assets={"ethereum": {"ETH": Asset("ETH", None)}})
    with pytest.raises(BadInput, match="not an asset of ethereum"):
        read_request(GOOD, intake)


def test_a_tier_is_one_of_the_policy_where_that_has_tiers() -> None:
    assert refusal(tier="VIP").message == 'tier "VIP" is not in the policy: known are vip, verified, basic'
    assert read_request({**GOOD, "tier": "gold"}, replace(INTAKE, tiers=())).tier == "gold"


def test_a_policy_or_settings_with_nothing_in_them_are_told_as_such() -> None:
    with pytest.raises(BadInput, match="none is known"):
        read_request(GOOD, replace(INTAKE, assets={}))


# -- destinations ----------------------------------------------------------------------------------------------------


def test_a_wrong_checksum_is_refused_with_the_chains_own_words() -> None:
    message = refusal(destination=ON_ETHEREUM.replace("aA", "AA")).message
    assert message.startswith('destination "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed" is no address of ethereum: ')
    assert "EIP-55" in message


def test_an_address_of_another_chain_is_told_as_such() -> None:
    message = refusal(destination=ON_BITCOIN).message
    assert message == f'destination "{ON_BITCOIN}" is an address of bitcoin, and the request says ethereum'
    error = refusal(chain="bitcoin", asset="BTC", destination=ON_ETHEREUM)
    assert "is an address of ethereum, and the request says bitcoin" in error.message


def test_an_address_of_a_test_network_is_refused_on_the_real_one() -> None:
    message = refusal(chain="bitcoin", asset="BTC", destination="tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx").message
    assert "testnet4 or signet, not of mainnet" in message


@pytest.mark.parametrize(
    "text", ["bob", f" {ON_ETHEREUM}", f"{ON_ETHEREUM} ", ON_ETHEREUM[:-1], "0x12…ab", f"ethereum:{ON_ETHEREUM}"]
)
def test_what_is_no_address_is_refused_and_not_repaired(text: str) -> None:
    assert refusal(destination=text).message.startswith("destination ")


@pytest.mark.parametrize(
    "secret",
    ["abandon " * 11 + "about", "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ", "ab" * 32, "0x" + "ab" * 32],
)
def test_a_key_in_place_of_an_address_is_not_repeated(secret: str) -> None:
    message = refusal(destination=secret).message
    assert "key" in message
    assert secret not in message


# -- the fields that hold others -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "near"),
    [("ammount", "amount"), ("Amount", "amount"), ("requestId", "request_id"), ("destinaton", "destination")],
)
def test_an_unknown_field_is_refused_with_the_nearest_good_one(given: str, near: str) -> None:
    assert refusal(**{given: None}).message == f'unknown field "{given}": did you mean {near}?'


def test_an_unknown_field_inside_another_is_refused_too() -> None:
    message = refusal(verification={"twofactor": True}).message
    assert message == 'unknown field "verification.twofactor": did you mean verification.two_factor?'
    assert "known are name, provider" in refusal(beneficiary={"zzz": "x"}).message


@pytest.mark.parametrize("name", ["verification", "beneficiary", "signature"])
@pytest.mark.parametrize("value", ["yes", True, Number("1"), [{}]], ids=str)
def test_a_part_is_an_object(name: str, value: object) -> None:
    assert "write an object with" in refusal(**{name: value}).message


@pytest.mark.parametrize("value", ["true", "yes", Number("1"), 1, {}, []], ids=str)
@pytest.mark.parametrize("name", ["verification.identity", "verification.two_factor", "beneficiary.self_hosted"])
def test_a_flag_is_true_or_false(name: str, value: object) -> None:
    part, _, member = name.partition(".")
    assert "write true or false" in refusal(**{part: {member: value}}).message


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21", "2026-11-21T12:00:00", "2026-11-21T12:00:00+00:00", "2026-11-21 12:00:00Z",
        "2026-02-30T12:00:00Z", "2026-11-21T24:00:01Z", "2026-11-21T12:00:60Z", "20261121T120000Z",
        "1969-12-31T23:59:59Z", "now", "1795262400", "2026-11-21T12:00:00z",
        "\u0662026-11-21T12:00:00Z", "2026-11-21T12:00:00.Z",
    ],
    ids=ascii,
)  # fmt: skip
def test_a_time_is_iso_8601_in_utc(text: str) -> None:
    assert "write a time in UTC such as 2026-11-21T12:00:00Z" in refusal(verification={"at": text}).message


def test_a_time_may_be_finer_than_a_second() -> None:
    assert utc_milliseconds("2026-11-21T12:00:00.123456Z") == 1_795_262_400_123
    assert read(verification={"at": "2026-11-21T12:00:00.999Z"}).verification == Verification(at=1_795_262_400)


def test_a_beneficiary_has_a_provider_or_hosts_itself() -> None:
    assert read(beneficiary={"self_hosted": True}).beneficiary == Beneficiary(self_hosted=True)
    assert "write one of the two" in refusal(beneficiary={"provider": "X", "self_hosted": True}).message


# -- signatures ------------------------------------------------------------------------------------------------------


def test_a_signature_covers_what_was_sent_before_it_was_made_normal() -> None:
    fields = {**GOOD, "amount": "1.50", "destination": ON_ETHEREUM.lower(), "memo": None, "signature": A_SIGNATURE}
    assert read_request(fields, INTAKE).signed == (
        b'cryptosupport.request/1\n{"amount":"1.50","asset":"ETH","chain":"ethereum","customer":"c-7",'
        b'"destination":"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed","request_id":"w-1"}'
    )


def test_null_is_not_signed_at_any_depth() -> None:
    assert signed_bytes({**GOOD, "verification": {"identity": True, "at": None}, "beneficiary": {"name": None}}) == (
        signed_bytes({**GOOD, "verification": {"identity": True}})
    )


def test_a_request_without_a_signature_has_no_signed_bytes() -> None:
    assert read().signed == b""


def test_a_signature_that_does_not_fit_refuses_the_request_even_where_none_is_needed() -> None:
    seen: list[tuple[Signature, bytes]] = []

    def fault(signature: Signature, data: bytes) -> str:
        seen.append((signature, data))
        return "does not fit the request"

    fields = {**GOOD, "signature": A_SIGNATURE}
    with pytest.raises(BadInput, match=r"^signature does not fit the request$"):
        read_request(fields, replace(INTAKE, signature_fault=fault))
    assert seen == [(Signature("backend", "A" * 86 + "=="), signed_bytes(GOOD))]


def test_a_missing_signature_is_refused_where_one_is_required() -> None:
    intake = replace(INTAKE, signature_required=True)
    assert read_request({**GOOD, "signature": A_SIGNATURE}, intake).signature is not None
    without: list[dict[str, object]] = [{}, {"signature": None}, {"signature": {}}]
    for absent in without:
        with pytest.raises(BadInput, match=r"^signature is missing"):
            read_request({**GOOD, **absent}, intake)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "A" * 88,
        "A" * 87 + "=",
        "A" * 85 + "B==",
        "A" * 84 + "==",
        "!" * 86 + "==",
        "A" * 86 + "==\n",
        "-" * 86 + "==",
    ],
)
def test_a_signatures_value_is_base64_of_64_bytes_in_its_one_spelling(value: str) -> None:
    assert refusal(signature={"key": "backend", "value": value}).facts["field"] == "signature.value"


def test_a_signature_has_a_key_and_a_value() -> None:
    assert refusal(signature={"key": "backend"}).message == "signature.value is missing: every signature has one"
    assert refusal(signature={"value": A_SIGNATURE["value"]}).facts["field"] == "signature.key"
    assert "at most 100" in refusal(signature={**A_SIGNATURE, "key": "k" * 101}).message


# -- whatever anybody sends ------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(), max_size=40) | st.sampled_from(
    [*GOOD.values(), *NO_AMOUNTS, "true", "2026-11-21T12:00:00Z"]
)
VALUES = st.none() | st.booleans() | TEXTS | st.builds(Number, TEXTS) | st.integers() | st.floats()
ANYTHING = VALUES | st.lists(VALUES, max_size=2) | st.dictionaries(TEXTS, VALUES, max_size=2)
PART = st.dictionaries(st.sampled_from([*chain(*PARTS.values())]), VALUES, max_size=4)
NAMES = st.sampled_from([*GOOD, "memo", "tier", "country", "note", "verification", "beneficiary", "signature"])


@given(st.dictionaries(NAMES | TEXTS, ANYTHING | PART, max_size=5))
def test_whatever_is_sent_is_read_or_refused(changes: Mapping[str, Any]) -> None:
    fields = {**GOOD, **changes}
    found = read_or_refused(lambda: read_request(fields, INTAKE))
    if isinstance(found, Request):
        assert 0 < found.base_units < 2**256
        assert len(found.content) == 64
        assert read_request(fields, INTAKE) == found
    else:
        assert found.isprintable()
