"""The signer against a ledger that lies: it pays nobody twice, and nobody that was not asked for."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cryptosupport.domain.errors import BadSettings, Frozen, Refused
from cryptosupport.domain.money import Asset
from cryptosupport.domain.payouts import Kind
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.signing import HOUR, PAYABLE, Caps, check_bytes
from cryptosupport.domain.withdrawals import ENDED, State
from tests.signers.signerkit import (
    ACCOUNT,
    ANN,
    CAPS,
    MALLORY,
    NOW,
    SECRET,
    SOURCE,
    TOKEN,
    Bench,
    Tools,
    frozen,
    order,
    refused,
    withdrawal,
)

# -- what it does -----------------------------------------------------------------------------------------------------


def test_what_was_asked_for_is_signed_and_remembered(bench: Bench) -> None:
    done = bench.sign(order())
    assert (done.source, done.claims, done.pays[0].destination, done.pays[0].base_units) == (SOURCE, ("7",), ANN, 5)
    mark = bench.signer.high_water()
    assert (mark.signatures, mark.highest) == (1, 7)


def test_the_same_payment_is_signed_any_number_of_times_with_other_fees(bench: Bench) -> None:
    assert len({bench.sign(order(fee=fee)).txid for fee in (10, 12, 14, 14)}) == 3
    bench.sign(order(kind=Kind.CANCEL, fee=16))
    bench.sign(order(fee=18))
    assert bench.signer.high_water().signatures == 6


def test_a_fee_at_the_cap_is_paid(bench: Bench) -> None:
    bench.sign(order(fee=20))
    refused(bench, order(fee=21), "a fee of at most 20")


def test_a_batch_pays_every_withdrawal_once_and_the_rest_stays(bench: Bench) -> None:
    two = withdrawal("w-1"), withdrawal("w-2")  # the same amount to the same person: two payments
    pays = [(ANN, None, "5"), (SOURCE, None, "1000"), (ANN, None, "5")]
    assert len(bench.sign(order(*two, pays=pays, claims=["aa:0", "bb:1"])).pays) == 3
    refused(bench, order(*two, pays=pays[:2], claims=["aa:0", "bb:1"]), "do not pay 5 base units")
    refused(bench, order(*two, pays=[*pays, pays[0]], claims=["aa:0", "bb:1"]), "nobody asked for")


def test_addresses_are_compared_whatever_their_spelling(bench: Bench) -> None:
    asset = Asset("USDT", 6, "0x" + (TOKEN.contract or "")[2:].upper())
    bench.sign(order(withdrawal(asset=asset), pays=[("0x" + "A1" * 20, TOKEN.contract, "5")]))


def test_a_withdrawal_to_the_wallet_itself_is_paid_too(bench: Bench) -> None:
    own = withdrawal(destination=SOURCE)
    refused(bench, order(own, pays=[(SOURCE, None, "4")]), "do not pay 5")
    bench.sign(order(own))


# -- sweeps ------------------------------------------------------------------------------------------------------------


COLD = "0x" + "c0" * 20


def test_a_sweep_goes_to_the_cold_of_the_signers_own_settings_and_nowhere_else(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "signed.db", account=replace(ACCOUNT, cold=frozenset({COLD})))
    for place in (ANN, MALLORY, SOURCE):
        refused(bench, order(withdrawal("sweep:hot:ETH:1", destination=place)), "no cold wallet in this signer's")
    bench.sign(order(withdrawal("sweep:hot:ETH:1", destination=COLD.upper().replace("X", "x"))))
    refused(Bench(tmp_path / "other.db"), order(withdrawal("sweep:hot:ETH:1", destination=COLD)), "no cold wallet")


def test_a_sweep_is_under_no_cap_and_leaves_them_to_customers(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "signed.db", account=replace(ACCOUNT, cold=frozenset({COLD})))
    most = CAPS.transaction["ETH"]
    bench.sign(order(withdrawal("sweep:hot:ETH:1", 1000 * most, destination=COLD)))
    bench.sign(order(withdrawal("w-1", most), claims=["8"]))
    refused(bench, order(withdrawal("w-2", 1000 * most, destination=COLD), claims=["9"]), "at most")


# -- a second payment -------------------------------------------------------------------------------------------------


def test_a_withdrawal_is_never_signed_for_with_other_claims(bench: Bench) -> None:
    bench.sign(order(claims=["7"]))
    for claims in (["8"], ["7", "8"], ["07"]):
        for kind in Kind:
            refused(bench, order(claims=claims, kind=kind), "never signed for with .*restored.*reconcile")
    bench.later(100 * 24 * HOUR)
    refused(bench, order(claims=["8"]), "was signed for with 7 of")


def test_a_cancel_that_was_signed_holds_the_withdrawal_to_its_claims_too(bench: Bench) -> None:
    bench.sign(order(claims=["7"], kind=Kind.CANCEL))
    refused(bench, order(claims=["8"]), "could be paid twice")


def test_a_claim_never_serves_another_withdrawal(bench: Bench) -> None:
    bench.sign(order(withdrawal("w-1")))
    for others in ([withdrawal("w-2")], [withdrawal("w-1"), withdrawal("w-2")]):
        for kind in Kind:
            refused(bench, order(*others, kind=kind), "7 of .* was signed for to pay w-1, and never serves")
    bench.sign(order(withdrawal("w-2"), claims=["8"]))
    refused(bench, order(withdrawal("w-3"), claims=["9", "8"]), "8 of .* was signed for to pay w-2")


def test_a_coin_may_serve_another_withdrawal_and_no_withdrawal_gets_other_coins(bench: Bench) -> None:
    """Coins of a dead payment are used again, which only the chain knows of: that excludes what was signed before."""
    two = withdrawal("w-1"), withdrawal("w-2")
    bench.sign(order(*two, claims=["aa:0", "bb:1"]))
    bench.sign(order(withdrawal("w-3"), claims=["bb:1", "cc:0"]))
    for claims in (["aa:0"], ["bb:1"], ["cc:0"], ["aa:0", "bb:1", "cc:0"]):
        for kind in Kind:
            refused(bench, order(two[0], claims=claims, kind=kind), "could be paid twice")
            refused(bench, order(withdrawal("w-3"), claims=claims, kind=kind), "could be paid twice")
    bench.sign(order(two[0], claims=["aa:0", "bb:1"]))  # alone: it excludes the payment of both
    assert bench.store.claims_with("ethereum", SOURCE, "bb:1") == [("aa:0", "bb:1"), ("bb:1", "cc:0")]
    assert bench.store.claims_with("ethereum", SOURCE, "b:1") == []


def test_a_coin_that_pays_several_withdrawals_counts_each_in_the_hour(bench: Bench) -> None:
    """Else whoever writes the database could have the cap of an hour signed for again and again."""
    bench.sign(order(withdrawal("w-1", 70), claims=["aa:0"]))
    bench.sign(order(withdrawal("w-1", 70), claims=["aa:0"], fee=12))  # a bump is not counted again
    bench.sign(order(withdrawal("w-2", 70), claims=["aa:0"]))
    refused(bench, order(withdrawal("w-3", 70), claims=["aa:0"]), "at most 150 base units of ETH in an hour; 140 are")


@pytest.mark.parametrize(
    "changed", [{"base_units": 6}, {"destination": MALLORY}, {"asset": TOKEN}], ids=lambda each: next(iter(each))
)
def test_a_withdrawal_that_was_changed_is_not_signed_for_again(bench: Bench, changed: dict[str, Any]) -> None:
    bench.sign(order())
    for kind in Kind:
        refused(bench, order(withdrawal(**changed), kind=kind), "ledger was changed.*audit verify")


def test_another_ledger_does_not_get_the_same_payment(bench: Bench) -> None:
    bench.sign(order())
    refused(bench, order(ledger_id="ledger-2"), "was signed for the ledger ledger-1")
    refused(bench, order(ledger_id="ledger-2", claims=["8"]), "could be paid twice")


def test_claims_that_were_proven_dead_make_room_for_others_and_never_come_back(bench: Bench) -> None:
    two = withdrawal("w-1"), withdrawal("w-2")
    bench.sign(order(*two, claims=["7"]))
    assert bench.store.retire("ethereum", SOURCE, ("7",), "0xfeed at 123 took nonce 7", NOW) == ("w-1", "w-2")
    assert bench.store.retire("ethereum", SOURCE, ("7",), "said once more", NOW) == ("w-1", "w-2")
    refused(bench, order(*two, claims=["7"]), "7 of .* never serves")
    bench.sign(order(two[0], claims=["8"]))
    refused(bench, order(two[0], claims=["9"]), "with 8 of")
    refused(bench, order(two[0], claims=["7"]), "with 8 of")
    bench.sign(order(two[1], claims=["9"]))
    bench.store.retire("ethereum", SOURCE, ("8",), "0xfeee took nonce 8", NOW)
    bench.sign(order(two[0], claims=["10"]))
    refused(bench, order(two[0], claims=["8"]), "with 10 of")


def test_a_payment_that_the_ledger_remembers_and_the_store_does_not_is_refused(bench: Bench) -> None:
    for state in (State.SIGNED, State.BROADCAST, State.CONFIRMING):
        refused(bench, order(withdrawal(state=state)), "remembers nothing of it: was its store replaced")
    refused(bench, order(withdrawal(txid="0xab")), "remembers nothing")
    bench.sign(order())
    bench.sign(order(withdrawal(state=State.BROADCAST, txid="0xab")))


# -- bytes that are not what was asked for ----------------------------------------------------------------------------

LIES: dict[str, tuple[dict[str, Any], str]] = {
    "a larger amount": ({"pays": [(ANN, None, "6")]}, "do not pay 5"),
    "another destination": ({"pays": [(MALLORY, None, "5")]}, "do not pay 5"),
    "a token instead of the coin": ({"pays": [(ANN, TOKEN.contract, "5")]}, "do not pay 5"),
    "one payment more": ({"pays": [(ANN, None, "5"), (MALLORY, None, "1")]}, "pay 1 base units of the coin to 0x66"),
    "nothing more, to somebody": ({"pays": [(ANN, None, "5"), (MALLORY, TOKEN.contract, "0")]}, "nobody asked"),
    "paid twice": ({"pays": [(ANN, None, "5"), (ANN, None, "5")]}, "nobody asked for"),
    "nothing": ({"pays": []}, "do not pay 5"),
    "another chain": ({"network": "56"}, "the network 56, and not on 1"),
    "a fee above the plan": ({"fee": 11, "max_fee": 10}, "can cost 11 base units, and the plan says at most 10"),
    "a fee above the cap": ({"fee": 21}, "a fee of at most 20 base units, and this can cost 21"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_plan_that_does_something_else_is_refused(bench: Bench, name: str) -> None:
    changed, match = LIES[name]
    refused(bench, order(**changed), match)


INSTEAD: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another amount": (lambda plan: plan.update(pays=[(ANN, None, "6")]), "do not pay 5"),
    "another nonce": (lambda plan: plan.update(claims=["8"]), "they take 8, and the payout has 7"),
    "one claim more": (lambda plan: plan.update(claims=["7", "8"]), "they take 7, 8"),
    "another chain": (lambda plan: plan.update(network="56"), "the network 56"),
    "another fee": (lambda plan: plan.update(fee="11"), "can cost 11"),
    "another signer": (lambda plan: plan.update(source=MALLORY), "signed by 0x66"),
    "nobody's signature": (lambda plan: plan.update(source=""), "signed by nobody"),
}


@pytest.mark.parametrize("name", INSTEAD)
def test_tools_that_sign_something_else_are_caught_by_the_second_decoder(bench: Bench, name: str) -> None:
    bench.tools, match = Tools(INSTEAD[name][0]), INSTEAD[name][1]
    refused(bench, order(), match)
    bench.tools = Tools()
    bench.sign(order(claims=["8"]))  # nothing of it was remembered


def test_bytes_that_cannot_be_read_are_not_handed_out(bench: Bench) -> None:
    bench.tools.sign = lambda text, secret: b"\x00\x01"
    refused(bench, order(), "no transaction")


@pytest.mark.parametrize("pays", [[(ANN, None, "5")], [(MALLORY, None, "0")], [(SOURCE, None, "0"), (ANN, None, "1")]])
def test_a_cancel_pays_nobody_else(bench: Bench, pays: list[tuple[str, None, str]]) -> None:
    refused(bench, order(kind=Kind.CANCEL, pays=pays), "nobody asked for")


def test_a_cancel_gathers_what_it_moves_in_the_wallet(bench: Bench) -> None:
    bench.sign(order(kind=Kind.CANCEL, pays=[(SOURCE, None, "1000"), (SOURCE, TOKEN.contract, "3")]))
    bench.sign(order(kind=Kind.CANCEL, pays=[]))


def test_bytes_that_are_not_signed_yet_are_checked_the_same_way() -> None:
    asked = order()
    unsigned = replace(Tools().read(asked.plan.text.encode()), txid="")
    check_bytes(asked, unsigned, ACCOUNT, CAPS, signed=False)
    with pytest.raises(Refused, match="signed by nobody"):
        check_bytes(asked, unsigned, ACCOUNT, CAPS)
    with pytest.raises(Refused, match="signed by 0x66"):
        check_bytes(asked, replace(unsigned, source=MALLORY), ACCOUNT, CAPS, signed=False)


# -- orders that are not signed whatever the bytes are ----------------------------------------------------------------

FALSE_TOKEN = Asset("ETH", 18, MALLORY)
ORDERS: dict[str, tuple[Any, str]] = {
    "another chain": (order(chain="bsc"), "is asked for hot on bsc"),
    "another wallet": (order(wallet="cold"), "is asked for cold"),
    "another source": (order(source=MALLORY), "is asked for hot on ethereum .0x66"),
    "no claims": (order(claims=[]), "nothing keeps them apart"),
    "a claim twice": (order(claims=["7", "7"]), "nothing keeps them apart"),
    "no withdrawal": (replace(order(), withdrawals=()), "names no withdrawal"),
    "one withdrawal twice": (order(withdrawal(), withdrawal()), "names no withdrawal, or one twice"),
    "for another wallet": (order(withdrawal(wallet="cold")), "from cold on ethereum, not from hot"),
    "for no wallet": (order(withdrawal(wallet=None)), "from None"),
    "a token that nobody knows": (order(withdrawal(asset=Asset("SHIB", 18, MALLORY))), "does not know"),
    "a token under the name of the coin": (order(withdrawal(asset=FALSE_TOKEN)), "is not what this signer knows"),
    "other decimals": (order(withdrawal(asset=replace(TOKEN, decimals=18))), "is not what this signer knows"),
    "nothing": (order(withdrawal(base_units=0)), "asks for nothing"),
    "less than nothing": (order(withdrawal(base_units=-5)), "asks for nothing"),
}


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_that_does_not_fit_the_wallet_is_refused_before_the_key_is_asked_for(bench: Bench, name: str) -> None:
    refused(bench, *ORDERS[name])
    assert bench.asked == 0


@pytest.mark.parametrize("state", State)
def test_payments_are_signed_in_some_states_and_cancels_until_it_has_ended(bench: Bench, state: State) -> None:
    if state in (State.SIGNED, State.BROADCAST, State.CONFIRMING):
        bench.sign(order())
    paid = order(withdrawal(state=state))
    if state in PAYABLE:
        bench.sign(paid)
    else:
        refused(bench, paid, "final: nothing is signed" if state in ENDED else "not paid in this state")
    cancel = replace(order(withdrawal(state=state), kind=Kind.CANCEL))
    if state in ENDED:
        refused(bench, cancel, "which is final")
    else:
        bench.sign(cancel)


@pytest.mark.parametrize("outcome", [Outcome.WAIT, Outcome.HOLD, Outcome.DENY])
def test_what_was_not_let_through_is_not_paid(bench: Bench, outcome: Outcome) -> None:
    decided = replace(withdrawal().decision, outcome=outcome)
    refused(bench, order(withdrawal(decision=decided)), f"was decided as {outcome}")


@pytest.mark.parametrize(
    ("kind", "value"),
    [("all", ""), ("chain", "ethereum"), ("asset", "ETH"), ("wallet", "hot"), ("customer", "ann"),
     ("destination", ANN.upper().replace("X", "x"))],
)  # fmt: skip
def test_a_freeze_stops_payments_and_no_cancel(bench: Bench, kind: str, value: str) -> None:
    bench.freezes = [frozen(kind, value)]
    refused(bench, order(), "w-1 is frozen: .*a drill", Frozen)
    refused(bench, order(withdrawal("w-0", destination=MALLORY), withdrawal()), "is frozen", Frozen)
    assert bench.asked == 0
    bench.sign(order(kind=Kind.CANCEL))
    bench.freezes = [replace(frozen(kind, value), lifted_at=NOW)]
    bench.sign(order())


# -- caps -------------------------------------------------------------------------------------------------------------


def test_the_cap_of_a_transaction_counts_all_that_it_pays(bench: Bench) -> None:
    bench.sign(order(withdrawal("w-1", 100)))
    bench.later()
    refused(bench, order(withdrawal("w-2", 101), claims=["8"]), "at most 100 base units of ETH in one transaction")
    refused(bench, order(withdrawal("w-2", 60), withdrawal("w-3", 41), claims=["8"]), "and this is for 101")
    bench.sign(order(withdrawal("w-2", 60), withdrawal("w-3", 40), claims=["8"]))


@pytest.mark.parametrize("caps", [Caps({}, {"ETH": 100}, 20), Caps({"ETH": 100}, {}, 20)])
def test_without_a_cap_nothing_of_an_asset_leaves(bench: Bench, caps: Caps) -> None:
    bench.caps = caps
    refused(bench, order(), "at most 0 base units of ETH")
    bench.sign(order(kind=Kind.CANCEL))


def test_the_cap_of_an_hour_holds_to_the_millisecond(bench: Bench) -> None:
    bench.sign(order(withdrawal("w-1", 100), claims=["1"]))
    bench.later(1)
    refused(bench, order(withdrawal("w-2", 51), claims=["2"]), "100 are signed for, and this is for 51")
    bench.sign(order(withdrawal("w-2", 50), claims=["2"]))  # 150 of 150
    bench.later(HOUR - 2)
    refused(bench, order(withdrawal("w-3", 1), claims=["3"]), "150 are signed for")
    bench.later(1)  # the first is exactly an hour old
    bench.sign(order(withdrawal("w-3", 100), claims=["3"]))
    refused(bench, order(withdrawal("w-4", 1), claims=["4"]), "150 are signed for")


def test_bumps_and_cancels_count_once_for_the_hour_and_assets_for_themselves(bench: Bench) -> None:
    bench.sign(order(withdrawal("w-1", 100), kind=Kind.CANCEL))
    for _ in range(5):
        bench.sign(order(withdrawal("w-1", 100)))
        bench.sign(order(withdrawal("w-1", 100), kind=Kind.CANCEL))
    bench.sign(order(withdrawal("w-2", 50), claims=["8"]))
    bench.sign(order(withdrawal("w-3", 50, TOKEN), claims=["9"]))
    refused(bench, order(withdrawal("w-4", 1, TOKEN), claims=["10"]), "at most 50 base units of USDT in an hour")
    bench.sign(order(withdrawal("w-1", 100)))  # at the edge, and nothing new


def test_a_clock_that_was_turned_back_frees_nothing(bench: Bench) -> None:
    bench.sign(order(withdrawal("w-1", 100), claims=["1"]))
    bench.later(-24 * HOUR)
    refused(bench, order(withdrawal("w-2", 51), claims=["2"]), "100 are signed for")


def test_what_was_forgotten_counts_again_when_the_clock_is_turned_back(bench: Bench) -> None:
    bench.sign(order(withdrawal("w-0", 50), claims=["0"]))
    bench.sign(order(withdrawal("w-1", 50), claims=["1"]))
    bench.later(2 * HOUR)
    bench.sign(order(withdrawal("w-2", 40), claims=["2"]))
    bench.later(-2 * HOUR)
    refused(bench, order(withdrawal("w-3", 11), claims=["3"]), "140 are signed for, and this is for 11")
    bench.sign(order(withdrawal("w-3", 10), claims=["3"]))


def test_what_another_process_signs_counts_for_the_same_hour(bench: Bench) -> None:
    other = Bench(bench.path)
    for number in range(3):
        for each, name in ((bench, "a"), (other, "b")):
            each.sign(order(withdrawal(f"{name}-{number}", 25), claims=[f"{name}:{number}"]))
    for each in (bench, other):
        refused(each, order(withdrawal("w", 1), claims=["w"]), "150 are signed for")
    other.store.close()


def test_sums_are_exact_beyond_64_bits(bench: Bench) -> None:
    most = 2**255 + 1
    bench.caps = Caps({"ETH": most}, {"ETH": most}, 20)
    bench.sign(order(withdrawal("w-1", 2**255), claims=["1"]))
    refused(bench, order(withdrawal("w-2", 2), claims=["2"]), f"{2**255} are signed for")
    bench.sign(order(withdrawal("w-2", 1), claims=["2"]))


# -- the key ----------------------------------------------------------------------------------------------------------


def test_a_key_that_is_not_the_wallets_is_a_fault_of_the_settings(bench: Bench) -> None:
    bench.secret = lambda: "another key"
    refused(bench, order(), "the key of hot is that of 0x.*, and its address in the settings is", BadSettings)
    assert bench.tools.signed == []


@pytest.mark.parametrize("spelt", [SECRET, SECRET.upper()])
@pytest.mark.parametrize("error", [ValueError, Refused, KeyError])
@pytest.mark.parametrize("where", ["sign", "address", "read"])
def test_nothing_of_the_key_is_in_any_message(
    bench: Bench, where: str, error: type[Exception], spelt: str
) -> None:
    def fail(*given: object) -> Any:
        try:
            raise ValueError(f"bad secret {SECRET}")
        except ValueError as cause:
            raise error(f"bad secret {spelt}") from cause

    setattr(bench.tools, where, fail)
    with pytest.raises(Refused) as caught:
        bench.sign(order())
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(bench.signer)
    assert SECRET not in told.lower()
    assert repr(bench.signer) == "<LocalSigner hot>"
    assert bench.signer.high_water().signatures == 0


def test_an_error_of_the_tools_without_the_key_is_told_as_it_is(bench: Bench) -> None:
    def fail(text: str, secret: str) -> bytes:
        try:
            raise ValueError(secret)
        except ValueError as cause:
            raise BadSettings("the plan is of another family") from cause

    bench.tools.sign = fail
    with pytest.raises(BadSettings, match="another family") as caught:
        bench.sign(order())
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_the_spelling_of_the_ledger_does_not_split_the_memory(bench: Bench) -> None:
    bench.sign(order())
    spelt = SOURCE.upper().replace("X", "x")
    refused(bench, order(claims=["8"], source=spelt), "with 7 of 0x.* and is never signed for with 8")
    refused(bench, order(withdrawal("w-2"), source=spelt), "never serves w-2")
