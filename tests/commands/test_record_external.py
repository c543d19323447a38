"""`withdraw record-external`: what people paid by hand is paid by no run, and only what the chain shows counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cryptosupport.chains.evm.codec import to_checksum
from cryptosupport.chains.evm.signing import address, sign
from cryptosupport.chains.evm.transfers import Unsigned
from cryptosupport.outside.nodes import Anvil, Bitcoind
from tests.chains.evm_paying import tokens
from tests.chains.evm_paying.kit import CONTRACT
from tests.commands.hostilenode import GARBLED, RECEIPT, TX, Open, always, attacked
from tests.commands.payingdesk import (
    ANN,
    BEN,
    ETHER,
    Paydesk,
    by_hand,
    open_desk,
    paydesk,
    sealed,
    with_people,
)
from tests.commands.peopledesk import refused
from tests.commands.test_fee_caps import TOKEN
from tests.commands.withdrawkit import asked, in_this_process, options
from tests.conftest import Run, chain_toml

__all__ = ["attacked", "open_desk", "paydesk", "sealed"]  # fixtures

HAND = "2c" * 32
"""The key of a wallet that no settings know."""
NOTHING = "0x" + "ab" * 32
"""The id of no transaction."""


def paid(desk: Paydesk, to: str = ANN, wei: int = ETHER, nonce: int = 0) -> str:
    """Somebody pays by hand, from elsewhere."""
    desk.node.rpc("anvil_setBalance", address(HAND), hex(50 * ETHER))
    return by_hand(desk.node, nonce, wei, HAND, to)


def submitted(desk: Paydesk, name: str, by: str) -> None:
    """A request for 1 ETH to Ann that an operator brings."""
    facts = {
        "request-id": name,
        "customer": "c",
        "asset": "ETH",
        "chain": "ethereum",
        "amount": "1",
        "destination": ANN,
    }
    options = [part for key, text in facts.items() for part in (f"--{key}", text)]
    done = desk.run("withdraw", "submit", *options, "--operator", by)
    assert done.exit_code == 0, done.stderr


def record(desk: Paydesk, name: str, txid: str, who: str) -> Run:
    return desk.run("withdraw", "record-external", name, "--txid", txid, "--operator", who, "--json")


@pytest.fixture
def either(open_desk: Callable[..., Paydesk], anvil: Anvil, ledger_url: str) -> Paydesk:
    """A desk on either database."""
    return open_desk(anvil, ledger_url)


def test_what_two_people_have_recorded_is_paid_by_no_run(either: Paydesk) -> None:
    """Human and robot cannot both pay (D8): the first word already keeps runs away."""
    desk = either
    desk.submit("w-1")
    txid = paid(desk)
    desk.settle()
    first = record(desk, "w-1", txid, "ann")
    assert (first.exit_code, first.json["state"], first.json["missing"]) == (9, "held", 1), first.stderr
    assert first.json["external"]["final"] is True
    assert desk.pay() == {}
    again = record(desk, "w-1", txid, "ann")
    assert (again.exit_code, again.json["missing"]) == (9, 1)  # one person is one person
    second = record(desk, "w-1", txid, "ben")
    assert (second.exit_code, second.json["state"], second.json["said_by"]) == (0, "final", ["ann", "ben"])
    assert (second.json["txid"], second.json["external"]["from"]) == (txid, address(HAND))
    assert record(desk, "w-1", txid, "ben").exit_code == 0  # its answer was lost, and it is said once more
    assert desk.pay() == {}
    assert desk.balance(ANN) == ETHER
    assert desk.run("reconcile").exit_code == 0
    assert desk.run("audit", "verify").exit_code == 0
    (logged,) = desk.run("audit", "log", "--kind", "withdrawal.paid_by_hand", "-o", "jsonl").jsonl
    assert (logged["subject"], logged["facts"]["txid"], logged["facts"]["by"]) == ("w-1", txid, "ann, ben")
    refused(desk.run("withdraw", "receipt", "w-1", "--json"), 3, "was paid by hand, by " + txid)


def test_it_becomes_final_with_the_payment_and_not_before(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    txid = paid(paydesk)
    for who, missing in (("ann", 1), ("ben", 0)):
        done = record(paydesk, "w-1", txid, who)
        assert (done.exit_code, done.json["state"], done.json["missing"]) == (9, "held", missing)
        assert done.json["external"]["final"] is False
    assert paydesk.pay() == {}
    paydesk.settle()
    assert record(paydesk, "w-1", txid, "ann").exit_code == 0
    assert paydesk.state("w-1") == "final"


def test_what_compliance_releases_is_paid_by_a_run_after_all(paydesk: Paydesk) -> None:
    """Somebody was mistaken: the word of one person is a hold and nothing else."""
    with_people(paydesk)
    submitted(paydesk, "w-1", "alice")
    txid = paid(paydesk)
    assert record(paydesk, "w-1", txid, "bob").json["state"] == "held"
    done = paydesk.run("withdraw", "release", "w-1", "--reason", "it was for w-0", "--operator", "carol")
    assert done.exit_code == 0, done.stderr
    paydesk.settle()
    assert paydesk.pay() == {"w-1": "confirming"}
    refused(record(paydesk, "w-1", txid, "carol"), 3, "a payment of this ledger is under way")


@pytest.mark.parametrize(
    ("to", "wei", "said"),
    [
        (BEN, ETHER, f"does not pay 1 ETH to {ANN}: it pays 1 ETH to {BEN}"),
        (ANN, ETHER - 1, f"it pays 0.999999999999999999 ETH to {ANN}"),
        (ANN, ETHER + 1, f"it pays 1.000000000000000001 ETH to {ANN}"),
    ],
)
def test_what_does_not_pay_exactly_that_is_refused(paydesk: Paydesk, to: str, wei: int, said: str) -> None:
    paydesk.submit("w-1")
    txid = paid(paydesk, to, wei)
    paydesk.settle()
    refused(record(paydesk, "w-1", txid, "ann"), 3, said)
    assert paydesk.state("w-1") == "approved"


def test_what_is_in_no_block_is_refused(open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]) -> None:
    desk = open_desk(anvil_with("--no-mining"))
    desk.submit("w-1")
    refused(record(desk, "w-1", NOTHING, "ann"), 3, f"no node knows {NOTHING}")
    refused(record(desk, "w-1", paid(desk), "ann"), 3, "waits for a block: have it recorded when it has one")
    refused(record(desk, "w-1", "0xabc", "ann"), 2, "0xabc")
    refused(record(desk, "w-9", NOTHING, "ann"), 4, "w-9")
    assert desk.state("w-1") == "approved"


def test_a_payment_that_failed_paid_nothing(paydesk: Paydesk) -> None:
    paydesk.node.rpc("anvil_setCode", BEN, "0xfe")
    paydesk.submit("w-1")
    txid = paid(paydesk, BEN)
    refused(record(paydesk, "w-1", txid, "ann"), 3, "failed: it paid nothing")


def test_one_payment_serves_one_withdrawal(paydesk: Paydesk) -> None:
    """The same customer is owed the same twice, and was paid once."""
    paydesk.submit("w-1")
    paydesk.submit("w-2")
    txid = paid(paydesk)
    paydesk.settle()
    assert [record(paydesk, "w-1", txid, who).exit_code for who in ("ann", "ben")] == [9, 0]
    refused(record(paydesk, "w-2", txid, "ann"), 3, f"{txid} has paid w-1 already, and pays this 1 times")
    refused(record(paydesk, "w-1", NOTHING, "ann"), 3, f"w-1 is final: {txid} paid it")
    assert paydesk.pay() == {"w-2": "confirming"}


def test_one_payment_serves_one_withdrawal_however_its_contract_is_written(
    open_desk: Callable[..., Paydesk], anvil: Anvil
) -> None:
    """The settings of a chain may be written anew between two requests."""
    desk = open_desk(anvil, assets=TOKEN)
    tokens.place(anvil, CONTRACT, tokens.SILENT, **{address(HAND): 10 * 10**6})
    anvil.rpc("anvil_setBalance", address(HAND), hex(ETHER))
    data = bytes.fromhex("a9059cbb" + ANN[2:].lower().rjust(64, "0") + f"{10**6:064x}")
    plan = Unsigned(31337, 0, CONTRACT, 0, data, 200_000, 10**11, 0)
    desk.submit("w-1", asset="USDT")
    txid = anvil.rpc("eth_sendRawTransaction", "0x" + sign(plan.text, HAND).hex())
    desk.settle()
    assert [record(desk, "w-1", txid, who).exit_code for who in ("ann", "ben")] == [9, 0]
    chain = desk.folder / "configs" / "chains" / "ethereum.toml"
    other = CONTRACT.lower() if CONTRACT.lower() != CONTRACT else to_checksum(CONTRACT)
    chain.write_text(chain.read_text(encoding="utf-8").replace(CONTRACT, other), encoding="utf-8")
    desk.submit("w-2", asset="USDT")
    refused(record(desk, "w-2", txid, "ann"), 3, f"{txid} has paid w-1 already, and pays this 1 times")


def test_what_a_run_pays_was_not_paid_by_hand(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    paydesk.pay()
    ours = paydesk.run("withdraw", "show", "w-1", "--json").json["txid"]
    txid = paid(paydesk)
    refused(record(paydesk, "w-1", txid, "ann"), 3, "a payment of this ledger is under way, and may pay it too")
    paydesk.submit("w-2")
    refused(record(paydesk, "w-2", ours, "ann"), 3, f"payout 1 of this ledger has {ours}")


def test_what_is_over_or_waits_for_people_is_not_recorded(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    assert paydesk.run("withdraw", "cancel", "w-1", "--operator", "ann").exit_code == 0
    refused(record(paydesk, "w-1", paid(paydesk), "ann"), 3, "w-1 is cancelled, which is final")


def test_a_freeze_keeps_nobody_from_recording(paydesk: Paydesk) -> None:
    """It moves nothing, and what was paid is to be known."""
    paydesk.submit("w-1")
    txid = paid(paydesk)
    paydesk.settle()
    assert paydesk.run("freeze", "add", "all", "--reason", "a drill", "--operator", "ann").exit_code == 0
    assert [record(paydesk, "w-1", txid, who).exit_code for who in ("ann", "ben")] == [9, 0]


# -- people ----------------------------------------------------------------------------------------------------------


def test_two_operators_sign_neither_of_whom_brought_it(paydesk: Paydesk, tmp_path: Path) -> None:
    with_people(paydesk)
    submitted(paydesk, "w-1", "alice")
    txid = paid(paydesk)
    paydesk.settle()
    refused(record(paydesk, "w-1", txid, "mallory"), 3, "mallory is no operator")
    refused(record(paydesk, "w-1", txid, "alice"), 3, "alice brought w-1")
    assert record(paydesk, "w-1", txid, "bob").exit_code == 9
    other = paid(paydesk, nonce=1)
    assert record(paydesk, "w-1", other, "carol").json["missing"] == 1  # of another transaction
    statement = tmp_path / "statement"
    by_file = ("withdraw", "record-external", "w-1", "--txid", txid, "--operator", "carol")
    assert paydesk.run(*by_file, "--write-statement", str(statement)).exit_code == 9
    assert all(part in statement.read_text() for part in (txid, ANN, '"amount":"1 ETH"', '"request_id":"w-1"'))
    assert paydesk.state("w-1") == "held"
    for by in ((), ("--operator", "alice")):  # else it would be paid and refunded
        words = f"operator carol says that {other} paid w-1 by hand"
        refused(paydesk.run("withdraw", "cancel", "w-1", *by), 3, words)
    done = record(paydesk, "w-1", txid, "carol")
    assert (done.exit_code, done.json["said_by"], done.json["state"]) == (0, ["bob", "carol"], "final")
    assert paydesk.run("audit", "verify").exit_code == 0


def test_what_was_said_to_be_paid_and_released_since_is_cancelled_like_any_other(paydesk: Paydesk) -> None:
    with_people(paydesk)
    submitted(paydesk, "w-1", "alice")
    txid = paid(paydesk)
    assert record(paydesk, "w-1", txid, "bob").exit_code == 9
    assert paydesk.run("withdraw", "release", "w-1", "--reason", "another's", "--operator", "carol").exit_code == 0
    assert paydesk.run("withdraw", "hold", "w-1", "--reason", "asked to", "--operator", "bob").exit_code == 0
    assert paydesk.run("withdraw", "cancel", "w-1", "--operator", "alice").exit_code == 0
    assert paydesk.state("w-1") == "cancelled"


# -- nodes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("down", [0, 1])
def test_as_many_operators_of_nodes_as_the_settings_ask_for_have_to_answer(attacked: Open, down: int) -> None:
    desk = attacked(proxies=2, quorum=2)
    desk.submit("w-1")
    txid = paid(desk)
    desk.node.mine(100)
    desk.proxies[down].faults[""] = GARBLED["HTTP 503"]
    refused(record(desk, "w-1", txid, "ann"), 6, "2 operators have to call it final, and 1 can be asked")
    assert desk.state("w-1") == "approved"
    desk.honest_again()
    assert [record(desk, "w-1", txid, who).exit_code for who in ("ann", "ben")] == [9, 0]


def test_nodes_that_contradict_each_other_settle_nothing(attacked: Open) -> None:
    desk = attacked(proxies=2, quorum=2)
    desk.submit("w-1")
    txid = paid(desk)
    desk.node.mine(100)
    desk.proxies[1].lies[TX] = lambda params, honest: {**honest(), "to": BEN}
    refused(record(desk, "w-1", txid, "ann"), 7, "contradict each other")
    assert desk.state("w-1") == "approved"
    desk.proxies[1].lies = {TX: always(None), RECEIPT: always(None)}  # it does not know it yet
    assert record(desk, "w-1", txid, "ann").exit_code == 9
    done = record(desk, "w-1", txid, "ben")
    assert (done.exit_code, done.json["external"]["final"], done.json["state"]) == (9, False, "held")


# -- another family --------------------------------------------------------------------------------------------------


def test_each_output_of_a_transaction_serves_one_withdrawal(tmp_path: Path, bitcoind: Bitcoind) -> None:
    """On Bitcoin, which this version does not pay on by itself: the same twice, in one transaction."""
    folder = tmp_path / "configs"
    (folder / "chains").mkdir(parents=True)
    (folder / "chains" / "bitcoin.toml").write_text(chain_toml(bitcoind, {}))
    (folder / "policy.toml").write_text('[[rules]]\nname = "one"\nmatch = { asset = "BTC" }\nmax_amount = "10"\n')
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    run = in_this_process(tmp_path)
    bitcoind.rpc("createwallet", "customer")
    to = bitcoind.rpc("getnewaddress", wallet="customer")
    for name in ("w-1", "w-2", "w-3"):
        done = run("withdraw", "submit", *options(asked(name, "1", destination=to)))
        assert done.exit_code == 0, done.stderr
    txid = twice(bitcoind, to)
    bitcoind.mine(3)
    say = ("withdraw", "record-external", "--txid", txid, "--json", "--operator")
    found = [run(*say, who, name) for name in ("w-1", "w-2") for who in ("ann", "ben")]
    assert [each.exit_code for each in found] == [9, 0, 9, 0], [each.stderr for each in found]
    outputs = bitcoind.rpc("getrawtransaction", txid, True)["vout"]
    both = {each["n"] for each in outputs if each["value"] == 1}
    assert {found[1].json["vout"], found[3].json["vout"]} == both
    assert len(both) == 2
    refused(run(*say, "ann", "w-3"), 3, f"{txid} has paid w-1, w-2 already, and pays this 2 times")


def twice(node: Bitcoind, to: str) -> str:
    """A transaction that pays 1 BTC to the same address twice, which no command of the node makes; its txid."""
    other = node.rpc("getnewaddress", "", "bech32", wallet="miner")
    there, here = (node.rpc("validateaddress", each)["scriptPubKey"] for each in (other, to))
    assert len(there) == len(here)
    bare = node.rpc("createrawtransaction", [], [{to: 1}, {other: 1}]).replace(there, here)
    funded = node.rpc("fundrawtransaction", bare, {"fee_rate": 5}, wallet="miner")["hex"]
    signed = node.rpc("signrawtransactionwithwallet", funded, wallet="miner")["hex"]
    txid: str = node.rpc("sendrawtransaction", signed)
    return txid
