"""`reconcile`: silent on a ledger that is sound, and never exit 0 on one that is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from cryptosupport.chains.evm.signing import address, sign
from cryptosupport.chains.evm.transfers import Unsigned, transfer_call
from cryptosupport.outside.nodes import Anvil
from tests.chains.evm_paying.kit import CONTRACT
from tests.chains.evm_paying.tokens import place, token
from tests.commands.payingdesk import ANN, BEN, ETHER, HOT, Paydesk, by_hand, open_desk, paydesk, sealed
from tests.commands.test_paying import restored
from tests.commands.test_wallet import adopted, lifted
from tests.ledger.ledgerkit import unguarded

__all__ = ["open_desk", "paydesk", "sealed"]  # fixtures

FRIENDS_KEY = "3b" * 32
FRIEND = address(FRIENDS_KEY)
TOKEN = f'[assets.USDT]\ndecimals = 6\ncontract = "{CONTRACT}"\n'
REVERTS = address("2a" * 32)


def found(paydesk: Paydesk, code: int) -> list[dict[str, str]]:
    """What is found, with that exit code."""
    done = paydesk.run("reconcile", "--json")
    assert done.exit_code == code, (done.exit_code, done.stdout, done.stderr)
    findings: list[dict[str, str]] = done.json
    assert all(set(each) == {"wallet", "kind", "subject", "message"} for each in findings)
    return findings


def kinds(paydesk: Paydesk, code: int) -> set[str]:
    return {each["kind"] for each in found(paydesk, code)}


def sql(paydesk: Paydesk, *statements: str) -> None:
    """Change the database behind the program."""
    engine = create_engine(f"sqlite:///{paydesk.folder / 'data' / 'cryptosupport.db'}")
    with engine.begin() as connection:
        unguarded(connection)
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def is_frozen(paydesk: Paydesk) -> bool:
    done = paydesk.run("freeze", "list", "-o", "jsonl")
    return any(each["scope"] == "wallet=hot" and each["reason"].startswith("reconcile: ") for each in done.jsonl)


def logged(paydesk: Paydesk, kind: str) -> list[dict[str, Any]]:
    return paydesk.run("audit", "log", "--kind", kind, "-o", "jsonl").jsonl


@pytest.fixture
def paid(paydesk: Paydesk) -> Paydesk:
    """Three withdrawals are paid, for good."""
    for name, destination in (("w-1", ANN), ("w-2", BEN), ("w-3", ANN)):
        paydesk.submit(name, f"0.{name[-1]}", destination)
    paydesk.pay()
    paydesk.settle()
    assert set(paydesk.pay().values()) == {"final"}
    return paydesk


# -- nothing to find -------------------------------------------------------------------------------------------------


@pytest.fixture
def eventful(open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil], ledger_url: str) -> Paydesk:
    """A payment, one that was bumped, one that was killed, one that failed on the chain, and one under way."""
    paydesk = open_desk(anvil_with("--no-mining"), ledger_url)
    for name, destination in (("w-1", ANN), ("w-2", BEN), ("w-3", ANN), ("w-4", REVERTS)):
        paydesk.submit(name, f"0.{name[-1]}", destination)
    paydesk.pay()
    assert paydesk.run("withdraw", "bump", "w-2", "--operator", "ops").exit_code == 0
    assert paydesk.run("withdraw", "kill", "w-3", "--operator", "ops").exit_code == 0
    paydesk.node.rpc("anvil_setCode", REVERTS, "0x60006000fd")
    return paydesk


def test_nothing_is_said_of_a_ledger_that_is_sound(eventful: Paydesk) -> None:
    assert found(eventful, 0) == []
    eventful.node.mine(1)
    assert found(eventful, 0) == []  # the ledger has not heard yet
    eventful.pay()
    assert found(eventful, 0) == []
    eventful.settle()
    assert eventful.pay() == {"w-1": "final", "w-2": "final", "w-3": "cancelled", "w-4": "reverted"}
    eventful.submit("w-5", "0.5", BEN)
    eventful.pay()
    assert found(eventful, 0) == []
    assert eventful.run("reconcile").stdout == ""
    assert len(logged(eventful, "reconcile.balanced")) == 5
    assert not is_frozen(eventful)
    assert eventful.run("audit", "verify").exit_code == 0


def test_a_desk_that_has_paid_nothing_is_sound(paydesk: Paydesk) -> None:
    assert found(paydesk, 0) == []


def test_what_comes_in_is_no_fault(paid: Paydesk) -> None:
    assert found(paid, 0) == []
    paid.node.rpc("anvil_setBalance", HOT, hex(500 * ETHER))
    paid.submit("w-4", "5")
    paid.pay()
    assert found(paid, 0) == []


def test_the_same_payment_twice_in_a_day_is_a_remark(paid: Paydesk) -> None:
    paid.submit("w-4", "0.1")
    paid.pay()
    (remark,) = found(paid, 0)
    assert (remark["kind"], remark["subject"]) == ("repeat", "w-4")
    assert "as w-1 within a day" in remark["message"]
    assert not is_frozen(paid)


def test_tokens_add_up_to_the_base_unit(open_desk: Callable[..., Paydesk], anvil: Anvil) -> None:
    paydesk = open_desk(anvil, assets=TOKEN)
    place(anvil, CONTRACT, token(), **{HOT: 1000, FRIEND: 500})
    paydesk.submit("w-1", "0.0001", asset="USDT")
    paydesk.pay()
    assert found(paydesk, 0) == []
    paydesk.submit("w-2", "0.0003", BEN, asset="USDT")
    paydesk.pay()
    came_in = Unsigned(31337, 0, CONTRACT, 0, transfer_call(HOT, 70), 100_000, 10**11, 0)
    anvil.rpc("anvil_setBalance", FRIEND, hex(ETHER))
    anvil.rpc("eth_sendRawTransaction", "0x" + sign(came_in.text, FRIENDS_KEY).hex())
    anvil.mine(1)
    assert found(paydesk, 0) == []
    held = json.loads(logged(paydesk, "reconcile.balanced")[-1]["facts"]["holds"])
    assert held[CONTRACT] == "670"
    for amount, differs in ((671, "1 more"), (669, "1 less")):
        place(anvil, CONTRACT, token(), **{HOT: amount})
        anvil.mine(1)
        (fault,) = found(paydesk, 3)
        assert (fault["kind"], fault["subject"]) == ("balance", CONTRACT)
        assert fault["message"].endswith(differs)


# -- faults ----------------------------------------------------------------------------------------------------------


def test_a_transaction_made_by_hand_is_an_outflow_until_two_adopt_it(paid: Paydesk) -> None:
    assert found(paid, 0) == []
    by_hand(paid.node, 3, ETHER)
    findings = found(paid, 3)
    assert ("outflow", "nonce 3") in {(each["kind"], each["subject"]) for each in findings}
    assert is_frozen(paid)
    (fault, *_) = logged(paid, "reconcile.fault")
    assert fault["facts"]["kind"] == "outflow"
    found(paid, 3)
    assert len(paid.run("freeze", "list", "-o", "jsonl").jsonl) == 1
    adopted(paid, "ann", "ben")
    assert kinds(paid, 0) == {"begun"}
    lifted(paid, "ann", "ben")
    paid.submit("w-4")
    paid.pay()
    assert kinds(paid, 0) <= {"begun"}
    assert found(paid, 0) == []


def test_a_history_that_nobody_knows_is_a_fault(paydesk: Paydesk) -> None:
    by_hand(paydesk.node, 0)
    assert kinds(paydesk, 3) == {"unbound"}


def test_a_restored_ledger_is_a_fault(paydesk: Paydesk) -> None:
    paydesk.submit("w-0", "0.1", BEN)
    paydesk.pay()
    paydesk.submit("w-1")
    restored(paydesk, paydesk.pay)
    assert "outflow" in kinds(paydesk, 3)


def test_a_wallet_that_holds_less_than_it_should_is_a_fault_until_two_have_looked(paid: Paydesk) -> None:
    assert found(paid, 0) == []
    paid.node.rpc("anvil_setBalance", HOT, hex(paid.balance(HOT) - 1))
    paid.node.mine(1)
    (fault,) = found(paid, 3)
    assert (fault["kind"], fault["subject"]) == ("balance", "the coin")
    assert "which is 1 less" in fault["message"]
    paid.node.mine(1)
    assert kinds(paid, 3) == {"balance"}
    lifted(paid, "ann", "ben")
    assert kinds(paid, 0) == {"begun"}
    assert found(paid, 0) == []


def test_a_chain_that_has_lost_what_was_final_is_a_fault(open_desk: Callable[..., Paydesk], anvil: Anvil) -> None:
    paydesk = open_desk(anvil)
    before = anvil.rpc("evm_snapshot")
    paydesk.submit("w-1")
    paydesk.pay()
    paydesk.settle()
    assert paydesk.pay() == {"w-1": "final"}
    anvil.rpc("evm_revert", before)
    assert "vanished" in kinds(paydesk, 3)
    assert is_frozen(paydesk)


def test_a_stranger_in_the_place_of_a_payment_is_a_fault_until_it_is_dealt_with(
    open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]
) -> None:
    paydesk = open_desk(anvil_with("--no-mining"))
    paydesk.submit("w-1")
    paydesk.pay()
    paydesk.node.rpc("anvil_dropAllTransactions")
    by_hand(paydesk.node, 0)
    paydesk.settle()
    assert kinds(paydesk, 7) == {"unknown"}
    assert paydesk.pay(3) == {"w-1": "held"}
    assert "taken" in kinds(paydesk, 3)
    assert is_frozen(paydesk)


CHANGES = {
    "a payment that a row claims": "update attempt set txid = '0x' || lower(hex(randomblob(32))) where payout_id = 2",
    "a payout that is gone": "delete from attempt where payout_id = 2; delete from payout_claim where payout_id = 2; "
    "delete from payout_item where payout_id = 2; delete from payout where id = 2",
    "a withdrawal that is paid by nobody": "update withdrawal set state = 'final' where request_id = 'w-4'",
    "a withdrawal that is not paid": "update withdrawal set state = 'approved' where request_id = 'w-1'",
    "a withdrawal of two payouts": "update payout set items = (select items from payout where id = 1) where id = 2",
    "a claim that is gone": "delete from payout_claim where payout_id = 1",
    "a link that is gone": "delete from payout_item where payout_id = 1",
    "a link that lives": "update payout_item set live = 1 where payout_id = 1",
    "a link too many": "insert into payout_item values (2, 1, 0)",
    "a nonce that was not given out": "update purse set place = 9",
    "a nonce that is given out again": "update purse set place = 1",
    "another fee": "update payout set fee = '1' where id = 1",
    "another block": "update payout set height = 99 where id = 1",
    "a double": "insert into payout select 9, chain, wallet, source, '[\"9\"]', items, step, fence, made_at, "
    "updated_at, height, block, counts, fee from payout where id = 1; update purse set place = 10",
    "bytes that are gone": "update attempt set raw = null where payout_id = 1",
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_changed_behind_the_program_is_never_passed_over(paid: Paydesk, what: str) -> None:
    paid.submit("w-4", "1")
    sql(paid, "pragma foreign_keys = off", *CHANGES[what].split("; "))
    findings = found(paid, 3)
    assert findings
    freezes = [each["scope"] for each in paid.run("freeze", "list", "-o", "jsonl").jsonl]
    assert "wallet=hot" in freezes


# -- what cannot be told ---------------------------------------------------------------------------------------------


def test_a_node_that_is_down_is_told_and_nothing_is_frozen(paid: Paydesk) -> None:
    chain = paid.folder / "configs" / "chains" / "ethereum.toml"
    chain.write_text(chain.read_text().replace(paid.node.url, "http://127.0.0.1:9"), encoding="utf-8")
    assert kinds(paid, 6) == {"unreachable"}
    assert not is_frozen(paid)
    assert logged(paid, "reconcile.balanced") == []


def test_one_operator_of_two_is_not_enough(paid: Paydesk) -> None:
    chain = paid.folder / "configs" / "chains" / "ethereum.toml"
    ends = f'["{paid.node.url}", "http://127.0.0.2:9"]'
    changed = chain.read_text().replace(f'["{paid.node.url}"]', f"{ends}\nquorum = 2")
    chain.write_text(changed, encoding="utf-8")
    assert kinds(paid, 7) == {"disagree", "unknown"}
    assert not is_frozen(paid)
