"""`withdraw run` behind bitcoinds that lie, fail and forget: each withdrawal once, and nothing signed for others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.chains.bitcoin_paying.kit import Maps, sized, transaction
from tests.commands.bitcoinlife import nobodys
from tests.commands.hostilebitcoind import NO, SEND, STRANGER, Open, besieged, first_time, spoilt, with_facts
from tests.commands.hostilenode import GARBLED, Fault, Lie, after, always
from tests.commands.payingdesk import sealed
from tests.hostile import Reply, RpcError

__all__ = ["besieged", "sealed"]  # fixtures

THIEF = nobodys(666)

# -- sending ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*GARBLED, "too late"])
def test_the_answer_to_what_a_node_has_taken_is_lost(besieged: Open, name: str) -> None:
    """Accept, then anything but an answer; and it hides what it has: unknown, then found, and never made anew."""
    desk = besieged(timeout="1s" if name == "too late" else "5s")
    desk.ask("a")
    fault = GARBLED.get(name, lambda exchange: Reply(exchange.encoded(), delay=1.2))
    desk.proxies[0].faults[SEND] = lambda exchange: fault if isinstance(fault, Reply) else fault(exchange)
    desk.lies({**HIDES["all that waits"], "testmempoolaccept": always(RpcError(-32601, "Method not found"))})
    assert desk.run_pass() == (7, {"a": "unknown"})
    assert desk.coins.pooled() == [desk.txid("a")]
    desk.honest_again()
    assert desk.run_pass() == (0, {"a": "broadcast"})
    desk.recovers()
    assert len(desk.attempts("a")) == 1


WORDS = {
    "spent": RpcError(-25, "bad-txns-inputs-missingorspent"),
    "spent, by words of old": RpcError(-25, "Missing inputs"),
    "too cheap a replacement": RpcError(-26, "insufficient fee, rejecting replacement"),
    "conflict": RpcError(-26, "txn-mempool-conflict"),
    "dust": RpcError(-26, "dust"),
    "too cheap": RpcError(-26, "mempool min fee not met, 110 < 1000"),
    "too dear": RpcError(-25, "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)"),
    "bad signature": RpcError(-26, "mempool-script-verify-flag-failed (Witness program hash mismatch), input 0"),
    "in a block": RpcError(-27, "Transaction outputs already in utxo set"),
    "not read": RpcError(-22, "TX decode failed. Make sure the tx has at least one input."),
    "no words": RpcError(-1, ""),
    "another id": STRANGER,
    "no id": 7,
}
"""What a node may say of what it is given."""


@pytest.mark.parametrize("forwards", [True, False])
def test_what_a_node_says_of_a_transaction_settles_nothing_for_good(besieged: Open, forwards: bool) -> None:
    """Refuse, then include; or take, and never forward it: whatever the words, one after the other."""
    desk = besieged(coins=len(WORDS))
    for number, words in enumerate(WORDS.values()):
        desk.ask(f"w{number}")
        desk.lies({SEND: (after if forwards else always)(words), **({} if forwards else HIDES["all that waits"])})
        desk.run_pass()
        assert len(desk.coins.pooled()) == number + forwards
        if not forwards:
            desk.honest_again()
            assert desk.run_pass()[0] == 0
            assert len(desk.coins.pooled()) == number + 1
    desk.recovers()
    assert [len(desk.attempts(name)) for name in desk.owed] == [1] * len(WORDS)


def test_a_bump_whose_answer_is_lost_or_that_is_refused_wrongly(besieged: Open) -> None:
    desk = besieged()
    desk.ask("a")
    desk.run_pass()
    for words in ("spent", "too cheap a replacement", "in a block"):
        desk.lies({SEND: first_time(always(WORDS[words]))})
        desk.run("withdraw", "bump", "a", "--operator", "ops")
        desk.run_pass()
    desk.recovers()
    assert len(desk.attempts("a")) == 4


# -- hiding ----------------------------------------------------------------------------------------------------------

HIDES: dict[str, dict[str, Lie]] = {
    "all that waits": {
        "getrawtransaction": always(NO),
        "getmempoolentry": always(RpcError(-5, "Transaction not in mempool")),
        "getrawmempool": always([]),
        "gettxspendingprevout": lambda params, honest: [dict(each) for each in params[0]],
    },
    "transactions": {"getrawtransaction": always(NO)},
    "entries": {"getmempoolentry": always(RpcError(-5, "Transaction not in mempool"))},
    "blocks": {"getblock": always(RpcError(-5, "Block not found")), "getblockheader": always(RpcError(-5, "no"))},
    "its index": {"getrawtransaction": always(NO), "getindexinfo": always({})},
    "its wallets": {"listwallets": always([])},
}

SAYS: dict[str, dict[str, Lie]] = {
    "every coin is spent": {"gettxout": always(None)},
    "no coin is spent": {
        "gettxout": always(
            {"bestblock": STRANGER, "confirmations": 9, "value": 1, "scriptPubKey": {"hex": "0014" + "00" * 20}}
        ),
    },
    "every coin is spent, and hides the rest": {"gettxout": always(None), **HIDES["all that waits"]},
    "a stranger in the pool spends them": {
        **HIDES["all that waits"],
        "gettxspendingprevout": lambda params, honest: [{**each, "spendingtxid": STRANGER} for each in params[0]],
    },
    "it is in no block": {"getrawtransaction": with_facts(confirmations=0, blockhash=None)},
    "its blocks are of another chain": {"getrawtransaction": with_facts(confirmations=-1)},
    "there are no blocks": {"getblockchaininfo": with_facts(blocks=0, headers=0)},
    "it is far behind": {"getblockchaininfo": with_facts(headers=10**6)},
    "it is loading": {"getmempoolinfo": with_facts(loaded=False)},
    "the wallet never heard of it": {"gettransaction": always(RpcError(-5, "Invalid or non-wallet transaction id"))},
    "the wallet never sent anything": {"listsinceblock": always({"transactions": [], "lastblock": STRANGER})},
    "the wallet is empty": {"getbalances": always({"mine": {"trusted": 0, "untrusted_pending": 0, "immature": 0}})},
    "the wallet is rich": {"getbalances": always({"mine": {"trusted": 9999, "untrusted_pending": 0, "immature": 0}})},
    "the wallet is searching": {"getwalletinfo": with_facts(scanning={"duration": 1, "progress": 0.5})},
    "the wallet is gone": {"getbalances": always(RpcError(-18, "Requested wallet does not exist or is not loaded"))},
    "it is another chain": {"getblockchaininfo": with_facts(chain="main")},
}


@pytest.mark.parametrize("lies", [*HIDES.values(), *SAYS.values()], ids=[*HIDES, *SAYS])
def test_what_a_node_hides_or_invents_ends_no_payment(besieged: Open, lies: Mapping[str, Lie]) -> None:
    """Told before anything is paid, while it waits, while it confirms and when it is final."""
    desk = besieged()
    desk.ask("a")
    desk.lies(lies)
    desk.run_pass()
    desk.honest_again()
    desk.run_pass()
    desk.lies(lies)
    for blocks in (0, 1, 2):
        desk.coins.mine(blocks)
        desk.run_pass()
    desk.recovers()
    assert len(desk.attempts("a")) == 1


def test_whatever_request_fails_it_is_paid_once(besieged: Open) -> None:
    """One request of a pass after the other, each in another way: the first, the second, up to the last of them."""
    desk, passes = besieged(), 0
    faults = [GARBLED[each] for each in ("truncated", "HTTP 503", "one answer twice", "the id of another", "hangs up")]
    desk.ask("a")
    while True:
        left, fault = [passes], faults[passes % len(faults)]

        def fails(methods: list[str], left: list[int] = left, fault: Fault = fault) -> Fault | None:
            left[0] -= 1
            return fault if left[0] == -1 else None

        desk.proxies[0].choose = fails
        desk.run_pass()
        if left[0] >= 0:
            break  # there were not so many
        passes += 1
    assert passes > 10
    desk.recovers()
    assert len(desk.attempts("a")) == 1


# -- choosing coins and making transactions --------------------------------------------------------------------------


def in_tx(change: Callable[[bytes], bytes]) -> Lie:
    """The unsigned transaction of a PSBT is another one, of which all the rest is true."""
    return spoilt(lambda maps: maps[0].update({b"\x00": change(maps[0][b"\x00"])}))


def paying(satoshis_off: int = 0, script: bytes = b"") -> Callable[[bytes], bytes]:
    """The same transaction, whose first output pays so many satoshis more, or another script."""

    def change(raw: bytes) -> bytes:
        from bitcoin.core import CTransaction, CTxOut

        tx = CTransaction.deserialize(raw)
        first = tx.vout[0]
        outs = [CTxOut(first.nValue + satoshis_off, script or first.scriptPubKey), *tx.vout[1:]]
        return bytes(CTransaction(tx.vin, outs, tx.nLockTime, tx.nVersion).serialize())

    return change


def less_one_output(raw: bytes) -> bytes:
    """The same transaction without what it pays last: change goes to the miners."""
    from bitcoin.core import CTransaction

    tx = CTransaction.deserialize(raw)
    return bytes(CTransaction(tx.vin, tx.vout[:-1], tx.nLockTime, tx.nVersion).serialize())


def final_sequences(raw: bytes) -> bytes:
    """The same transaction, which nothing can replace."""
    from bitcoin.core import CTransaction, CTxIn

    tx = CTransaction.deserialize(raw)
    ins = [CTxIn(each.prevout, each.scriptSig, 0xFFFFFFFF) for each in tx.vin]
    return bytes(CTransaction(ins, tx.vout, tx.nLockTime, tx.nVersion).serialize())


def other_input(raw: bytes) -> bytes:
    """A transaction that spends another coin."""
    from bitcoin.core import CTransaction

    tx = CTransaction.deserialize(raw)
    return transaction([(STRANGER, 0)], [(bytes(each.scriptPubKey), each.nValue) for each in tx.vout])


def each_coin(change: Callable[[dict[bytes, bytes]], object]) -> Lie:
    """What is said of each coin is changed."""

    def spoil(maps: Maps) -> None:
        for each in maps[1:]:
            if b"\x01" in each or b"\x00" in each:
                change(each)

    return spoilt(spoil)


def dearer(coin: dict[bytes, bytes]) -> None:
    """The fee trick: what is spent is said to hold less than it does, so that the rest is a fee that nobody sees."""
    said = coin[b"\x01"]
    coin[b"\x01"] = (int.from_bytes(said[:8], "little") // 2).to_bytes(8, "little") + said[8:]


def foreign_previous(coin: dict[bytes, bytes]) -> None:
    coin[b"\x00"] = transaction([(STRANGER, 0)], [(b"\x00\x14" + bytes(20), 1000)] * 9)


SCRIPT = b"\x00\x14" + (666).to_bytes(20, "big")
STOLEN = {"ismine": True, "iswatchonly": False, "hdkeypath": "m/84h/1h/0h/1/0"}
SPOILS: dict[str, dict[str, Lie]] = {
    "createpsbt pays a thief": {"createpsbt": in_tx(paying(script=SCRIPT))},
    "createpsbt pays more": {"createpsbt": in_tx(paying(1000))},
    "createpsbt keeps the change": {"createpsbt": in_tx(less_one_output)},
    "createpsbt spends another coin": {"createpsbt": in_tx(other_input)},
    "createpsbt cannot be replaced": {"createpsbt": in_tx(final_sequences)},
    "createpsbt is no PSBT": {"createpsbt": always("cHNidP8=")},
    "walletprocesspsbt pays a thief": {"walletprocesspsbt": in_tx(paying(script=SCRIPT))},
    "walletprocesspsbt pays less": {"walletprocesspsbt": in_tx(paying(-1000))},
    "walletprocesspsbt keeps the change": {"walletprocesspsbt": in_tx(less_one_output)},
    "walletprocesspsbt lies of amounts": {"walletprocesspsbt": each_coin(dearer)},
    "walletprocesspsbt lies of amounts alone": {
        "walletprocesspsbt": each_coin(lambda coin: (dearer(coin), coin.pop(b"\x00", None))),
    },
    "walletprocesspsbt proves nothing": {"walletprocesspsbt": each_coin(lambda coin: coin.pop(b"\x00", None))},
    "walletprocesspsbt proves another coin": {"walletprocesspsbt": each_coin(foreign_previous)},
    "walletprocesspsbt wants SIGHASH_NONE": {
        "walletprocesspsbt": each_coin(lambda coin: coin.update({b"\x03": b"\x02\x00\x00\x00"})),
    },
    "walletprocesspsbt brings a script": {
        "walletprocesspsbt": each_coin(lambda coin: coin.update({b"\x05": sized(b"\x51")})),
    },
    "walletprocesspsbt knows no key": {
        "walletprocesspsbt": each_coin(lambda coin: [coin.pop(each) for each in list(coin) if each[:1] == b"\x06"]),
    },
    "walletprocesspsbt is no PSBT": {"walletprocesspsbt": with_facts(psbt="AAAA")},
    "the change is a thief's": {"getrawchangeaddress": always(THIEF)},
    "the change is a thief's, and said to be ours": {
        "getrawchangeaddress": always(THIEF),
        "getaddressinfo": with_facts(**STOLEN),
    },
    "everything is said to be ours": {"getaddressinfo": with_facts(**STOLEN)},
    "nothing is said to be ours": {"getaddressinfo": with_facts(ismine=False)},
    "a coin is chosen that there is not": {"decodepsbt": with_facts(tx={"vin": [{"txid": STRANGER, "vout": 0}]})},
    "no coin is chosen": {"decodepsbt": with_facts(tx={"vin": []})},
    "a coin is chosen twice": {
        "decodepsbt": lambda params, honest: (
            lambda found: {**found, "tx": {**found["tx"], "vin": found["tx"]["vin"] * 2}}
        )(honest()),
    },
    "nothing can be chosen": {"walletcreatefundedpsbt": always(RpcError(-4, "Insufficient funds"))},
    "nothing is locked": {"lockunspent": always(False), "listlockunspent": always([])},
    "blocks cost nothing": {
        "estimatesmartfee": always({"feerate": 0.00000001, "blocks": 2}),
        "getmempoolinfo": with_facts(mempoolminfee=0),
    },
    "blocks cost a fortune": {"estimatesmartfee": always({"feerate": 10, "blocks": 2})},
    "the pool costs a fortune": {"getmempoolinfo": with_facts(mempoolminfee=10)},
    "blocks cost less than nothing": {"estimatesmartfee": always({"feerate": -0.01, "blocks": 2})},
}


@pytest.mark.parametrize("lies", SPOILS.values(), ids=SPOILS)
def test_what_a_node_spoils_is_not_signed_and_keeps_nothing_for_long(besieged: Open, lies: Mapping[str, Lie]) -> None:
    """Told while it is made, and again while its fee is raised and while it is killed."""
    desk = besieged()
    desk.ask("a")
    desk.lies(lies)
    desk.run_pass()
    desk.honest_again()
    desk.run_pass()
    desk.lies(lies)
    for what in (("bump", "a"), ("kill", "a")):
        done = desk.run("withdraw", *what, "--operator", "ops")
        assert done.exit_code in (0, 3, 6, 7), done.stderr
    desk.run_pass("a")
    desk.honest_again()
    desk.run_pass("a")
    desk.coins.finish()
    ended = desk.run_pass("a")[1]["a"]
    assert ended in ("final", "cancelled")
    desk.recovers(*(["a"] if ended == "cancelled" else []))
