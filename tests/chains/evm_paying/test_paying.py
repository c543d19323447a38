"""Paying on a real node: drafts, replacements, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cryptosupport.chains.evm.fees import Market
from cryptosupport.chains.evm.transfers import Unsigned
from cryptosupport.domain.errors import BadSettings, Refused
from cryptosupport.domain.paying import Paid, Short, TooDear, Unpayable
from cryptosupport.domain.payouts import Absent, Kind, Mined, Plan, Step, Taken, Unclear, conclude
from cryptosupport.outside.nodes import Anvil
from cryptosupport.settings import AssetSettings
from cryptosupport.settings.chains import FeeSettings
from tests.chains.evm_paying import tokens as code
from tests.chains.evm_paying.kit import (
    CHAIN,
    CONTRACT,
    CUSTOMER,
    ETH,
    ETHER,
    KEY,
    OTHER,
    OURS,
    USDT,
    Desk,
    attempt,
    coins,
    payer_over,
    payout_of,
    tokens,
    unsigned_twin,
    with_plan,
)
from tests.chains.evmkit import GWEI, REFUSES_WITH_CALLDATA, RUNS_FOR_EVER, text_words

GENESIS = 10_000 * ETHER


@pytest.fixture
def desk(anvil_with: Callable[..., Anvil]) -> Desk:
    anvil = anvil_with("--no-mining")
    code.place(anvil, CONTRACT, code.HONEST, **{OURS: 1_000_000_000})
    return Desk(anvil, payer_over(anvil.url))


def held(desk: Desk, address: str, contract: str = CONTRACT) -> int:
    data = "0x70a08231" + address[2:].lower().rjust(64, "0")
    return int(desk.anvil.rpc("eth_call", {"to": contract, "data": data}, "latest"), 16)


# -- the wallet ------------------------------------------------------------------------------------------------------


def test_the_survey_tells_what_the_wallet_holds_and_which_nonce_is_next(desk: Desk) -> None:
    before = desk.survey()
    assert (before.used, before.pending, before.seen, before.troubles) == (0, 0, {}, ())
    assert before.holds == {None: GENESIS, CONTRACT: 1_000_000_000}
    desk.paid(coins(), 0)
    assert (desk.survey().used, desk.survey().pending) == (0, 1)
    desk.anvil.mine()
    after = desk.survey()
    assert (after.used, after.pending) == (1, 1)
    assert GENESIS - ETHER > (after.holds[None]) > GENESIS - ETHER - ETHER // 50


def test_a_payer_knows_its_address_and_how_much_may_wait(desk: Desk) -> None:
    assert desk.payer.source == OURS
    assert desk.payer.in_flight == 16
    assert payer_over(desk.anvil.url, address=OURS.lower(), in_flight=3).in_flight == 3
    assert payer_over(desk.anvil.url, address=OURS.lower()).source == OURS
    with pytest.raises(BadSettings, match="chain_id"):
        payer_over(desk.anvil.url, chain_id=None)
    with pytest.raises(BadSettings, match="hot-eth"):
        payer_over(desk.anvil.url, address="hot")
    for number in (0, 65):
        with pytest.raises(ValueError, match="in_flight: use 1 to 64"):
            payer_over(desk.anvil.url, in_flight=number)


# -- paying ----------------------------------------------------------------------------------------------------------


def test_a_payment_of_the_coin_arrives_and_is_final_after_its_confirmations(desk: Desk) -> None:
    payout = desk.planned(coins(3 * ETHER), 0)
    plan = Unsigned.of(payout.last.plan.text)
    assert (plan.to, plan.value, plan.data, plan.gas, plan.nonce) == (CUSTOMER, 3 * ETHER, b"", 21_000, 0)
    assert desk.seen(payout) == Absent(pooled=False)
    assert desk.send(payout).taken is True
    assert desk.seen(payout) == Absent(pooled=True)
    desk.anvil.mine()
    mined = desk.seen(payout)
    assert isinstance(mined, Mined)
    assert (mined.number, mined.height, mined.ok, mined.final, mined.confirmations) == (1, 1, True, False, 1)
    assert 21_000 * GWEI // 2 < mined.fee <= payout.last.plan.max_fee
    assert conclude(payout, mined) is Step.CONFIRMING
    desk.anvil.mine(2)
    final = desk.seen(payout)
    assert final == replace(mined, final=True, confirmations=3)
    assert conclude(payout, final) is Step.FINAL
    assert int(desk.anvil.rpc("eth_getBalance", CUSTOMER, "latest"), 16) == 3 * ETHER


@pytest.mark.parametrize("token", ["HONEST", "SILENT", "LISTS_LIKE_USDT", "LISTS_LIKE_USDC"])
def test_a_payment_of_a_token_arrives_whatever_the_token_answers(desk: Desk, token: str) -> None:
    code.place(desk.anvil, CONTRACT, getattr(code, token))
    payout = desk.paid(tokens(250_000_000), 0)
    decoded = desk.payer.read(payout.last.raw or b"")
    assert decoded.pays == (Paid(CUSTOMER, CONTRACT, 250_000_000),)
    assert (decoded.source, decoded.network, decoded.claims) == (OURS, str(CHAIN), ("0",))
    assert decoded.max_fee == payout.last.plan.max_fee
    desk.anvil.mine(3)
    seen = desk.seen(payout)
    assert isinstance(seen, Mined)
    assert (seen.ok, seen.final) == (True, True)
    assert held(desk, CUSTOMER) == 250_000_000
    assert held(desk, OURS) == 750_000_000


def test_a_contract_is_told_as_the_settings_spell_it(desk: Desk) -> None:
    assets = {"ETH": AssetSettings(decimals=18), "USDT": AssetSettings(decimals=6, contract=CONTRACT.lower())}
    lower = Desk(desk.anvil, payer_over(desk.anvil.url, assets=assets))
    payout = lower.paid(tokens(5, asset=replace(USDT, contract=CONTRACT.lower())), 0)
    assert lower.survey().holds == {None: GENESIS, CONTRACT.lower(): 1_000_000_000}
    assert lower.payer.read(payout.last.raw or b"").pays == (Paid(CUSTOMER, CONTRACT.lower(), 5),)
    lower.anvil.mine(3)
    assert conclude(payout, lower.seen(payout)) is Step.FINAL


def test_many_payments_leave_one_after_the_other(desk: Desk) -> None:
    drafts = desk.draft(*(coins(ETHER + number) for number in range(20)), *(tokens(5) for _ in range(20)))
    placed = [desk.payer.place(plan, nonce)[0] for nonce, plan in enumerate(drafts)]
    payouts = [payout_of(nonce, attempt(1, plan), number=nonce + 1) for nonce, plan in enumerate(placed)]
    sent = desk.payer.send([payout.last.raw or b"" for payout in payouts])
    assert [each.taken for each in sent] == [True] * 40
    desk.anvil.mine(3)
    seen = desk.survey(*payouts).seen
    assert all(isinstance(each, Mined) and each.ok and each.final for each in seen.values())
    assert held(desk, CUSTOMER) == 100


# -- what must not be paid -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("destination", "why"),
    [
        ("0x" + "0" * 40, "lost"),
        ("0x000000000000000000000000000000000000dEaD", "lost"),
        (CONTRACT, "token's contract"),
        (OURS, "the wallet that pays"),
        (CUSTOMER.lower(), "normal form"),
        ("bc1q", "normal form"),
        (CUSTOMER[:-1] + "D", "no address"),
    ],
)
def test_some_destinations_are_never_paid(desk: Desk, destination: str, why: str) -> None:
    for draft in desk.draft(coins(destination=destination), tokens(5, destination)):
        assert isinstance(draft, Unpayable)
        assert why in draft.reason


def test_a_token_of_nobody_knows_which_contract_is_not_paid(desk: Desk) -> None:
    unknown = replace(USDT, contract=OTHER)
    (draft,) = desk.draft(tokens(5, asset=unknown))
    assert draft == Unpayable("no node says what the wallet holds of USDT")
    (draft,) = desk.draft(tokens(5, asset=replace(ETH, symbol="XYZ")))
    assert isinstance(draft, Unpayable)
    assert desk.draft(coins(0)) == [Unpayable("there is nothing to pay")]


def test_a_contract_that_refuses_is_not_paid_and_its_reason_told(desk: Desk) -> None:
    refusal = "0x08c379a0" + text_words("deposits are paused")
    size = len(refusal) // 2 - 1
    runtime = f"60{size:02x}600a5f3960{size:02x}5ffd" + refusal[2:]
    desk.anvil.rpc("anvil_setCode", OTHER, "0x" + runtime)
    assert desk.draft(coins(destination=OTHER)) == [Unpayable("it would fail: reverted, deposits are paused")]
    desk.anvil.rpc("anvil_setCode", OTHER, "0x" + REFUSES_WITH_CALLDATA)
    assert desk.draft(coins(destination=OTHER)) == [Unpayable("it would fail: reverted")]


def test_a_contract_that_takes_coins_gets_room_for_its_work(desk: Desk) -> None:
    desk.anvil.rpc("anvil_setCode", OTHER, "0x5f545f5500")
    (plan,) = desk.draft(coins(destination=OTHER))
    assert 21_000 < Unsigned.of(plan.text).gas < 60_000


def test_a_token_that_answers_false_or_is_no_contract_is_not_paid(desk: Desk) -> None:
    code.place(desk.anvil, CONTRACT, code.FALSE)
    (draft,) = desk.draft(tokens(5))
    assert isinstance(draft, Unpayable)
    assert draft.reason == f"USDT refuses the transfer: it answers 0x{0:064x}"


def test_where_no_contract_stands_no_token_is_paid(desk: Desk) -> None:
    survey = desk.survey()
    desk.anvil.rpc("anvil_setCode", CONTRACT, "0x")
    assert desk.draft(tokens(5), survey=survey) == [Unpayable(f"no contract stands at {CONTRACT}")]


@pytest.mark.parametrize("token", ["TAKES_FEES", "TAKES_FEES_IN_SILENCE"])
def test_a_token_that_takes_a_fee_on_transfers_is_not_paid(desk: Desk, token: str) -> None:
    code.place(desk.anvil, CONTRACT, getattr(code, token))
    (draft,) = desk.draft(tokens(1_000))
    assert isinstance(draft, Unpayable)
    assert "of 1000 base units, 990 would arrive and 1000 leave" in draft.reason


@pytest.mark.parametrize("token", ["LISTS_LIKE_USDT", "LISTS_LIKE_USDC"])
def test_nobody_pays_whom_the_issuer_has_frozen(desk: Desk, token: str) -> None:
    code.place(desk.anvil, CONTRACT, getattr(code, token))
    code.freeze(desk.anvil, CONTRACT, CUSTOMER)
    frozen, free = desk.draft(tokens(5), tokens(5, OTHER))
    assert frozen == Unpayable(f"the issuer of USDT has frozen {CUSTOMER}")
    assert isinstance(free, Plan)
    code.freeze(desk.anvil, CONTRACT, OURS)
    assert desk.draft(tokens(5, OTHER)) == [Unpayable("the issuer of USDT has frozen the wallet that pays")]


# -- what the wallet does not hold -----------------------------------------------------------------------------------


def test_what_one_payment_spends_is_not_there_for_the_next(desk: Desk) -> None:
    drafts = desk.draft(coins(6_000 * ETHER), coins(6_000 * ETHER), coins(3_000 * ETHER), tokens(10**9), tokens(1))
    assert [type(each) for each in drafts] == [Plan, Short, Plan, Plan, Short]
    spent = sum(Unsigned.of(each.text).value + each.max_fee for each in (drafts[0],))
    assert drafts[1].needs == 6_000 * ETHER + drafts[0].max_fee
    assert (drafts[1].symbol, drafts[1].has) == ("ETH", GENESIS - spent)
    assert drafts[4] == Short("USDT", 1, 0)


def test_the_fee_has_to_be_there_too(desk: Desk) -> None:
    (plan,) = desk.draft(coins())
    desk.anvil.rpc("anvil_setBalance", OURS, hex(ETHER + plan.max_fee - 1))
    assert desk.draft(coins()) == [Short("ETH", ETHER + plan.max_fee, ETHER + plan.max_fee - 1)]
    desk.anvil.rpc("anvil_setBalance", OURS, hex(ETHER + plan.max_fee))
    assert desk.draft(coins()) == [plan]
    desk.anvil.rpc("anvil_setBalance", OURS, "0x0")
    (draft,) = desk.draft(tokens(5))
    assert isinstance(draft, Short)
    assert draft.symbol == "ETH"


def test_what_payouts_in_flight_may_spend_is_not_there_either(desk: Desk) -> None:
    waiting = [desk.paid(coins(6_000 * ETHER), 0), desk.planned(tokens(10**9), 1, 2)]
    survey = desk.survey(*waiting)
    assert survey.holds == {None: GENESIS, CONTRACT: 10**9}
    big, small, token = desk.draft(coins(4_000 * ETHER), coins(3_999 * ETHER), tokens(1), survey=survey)
    assert isinstance(big, Short)
    assert isinstance(small, Plan)
    assert token == Short("USDT", 1, 0)
    desk.anvil.mine()
    assert isinstance(desk.survey(*waiting).market, Market)
    (token,) = desk.draft(tokens(1), survey=desk.survey(waiting[0]))
    assert isinstance(token, Plan)


# -- what is too dear ------------------------------------------------------------------------------------------------


def payer_with(desk: Desk, **fees: str) -> Desk:
    return Desk(desk.anvil, payer_over(desk.anvil.url, fees=FeeSettings(**fees)))


def test_nothing_leaves_above_a_cap(desk: Desk) -> None:
    (draft,) = payer_with(desk, max_fee_per_gas="0.1 gwei").draft(coins())
    assert isinstance(draft, TooDear)
    assert "the cap is 0.1 gwei" in draft.reason
    (draft,) = payer_with(desk, max_fee="0.000001 ETH").draft(coins())
    assert isinstance(draft, TooDear)
    ratio = payer_with(desk, max_fee_ratio="10%")
    small, token = ratio.draft(coins(1000), tokens(1))
    assert isinstance(small, TooDear)
    assert "more than 10 %" in small.reason
    assert isinstance(token, Plan)


def test_what_is_too_dear_is_not_taken_from_the_next(desk: Desk) -> None:
    drafts = payer_with(desk, max_fee_ratio="10%").draft(coins(1000), coins(GENESIS - ETHER))
    assert [type(each) for each in drafts] == [TooDear, Plan]


# -- replacing -------------------------------------------------------------------------------------------------------


def test_a_dearer_attempt_replaces_the_first_and_pays_once(desk: Desk) -> None:
    payout = desk.paid(coins(), 0)
    bumped = with_plan(payout, desk.payer.dearer(payout, desk.survey(payout)))
    old, new = (Unsigned.of(each.plan.text) for each in bumped.attempts)
    assert 8 * new.max_fee_per_gas >= 9 * old.max_fee_per_gas
    assert 8 * new.max_priority_fee_per_gas >= 9 * old.max_priority_fee_per_gas
    assert replace(new, max_fee_per_gas=1, max_priority_fee_per_gas=1) == replace(
        old, max_fee_per_gas=1, max_priority_fee_per_gas=1
    )
    assert desk.send(bumped).taken is True
    desk.anvil.mine(3)
    seen = desk.seen(bumped)
    assert isinstance(seen, Mined)
    assert (seen.number, seen.ok, seen.final) == (2, True, True)
    assert int(desk.anvil.rpc("eth_getBalance", CUSTOMER, "latest"), 16) == ETHER


def test_a_replacement_outbids_every_attempt_not_only_the_last(desk: Desk) -> None:
    payout = desk.planned(coins(), 0)
    plan = Unsigned.of(payout.last.plan.text)
    high = replace(plan, max_fee_per_gas=80 * GWEI, max_priority_fee_per_gas=8 * GWEI)
    both = payout_of(0, attempt(1, high.plan), attempt(2, plan.plan))
    made = desk.payer.dearer(both, desk.survey())
    assert isinstance(made, Plan)
    assert Unsigned.of(made.text).max_fee_per_gas == 90 * GWEI


def test_no_attempt_is_made_above_the_cap(desk: Desk) -> None:
    payout = desk.planned(coins(), 0)
    plan = replace(Unsigned.of(payout.last.plan.text), max_fee_per_gas=190 * GWEI)
    costly = payout_of(0, attempt(1, plan.plan))
    assert isinstance(desk.payer.dearer(costly, desk.survey()), TooDear)
    cancel = desk.payer.self_send(costly, desk.survey())
    assert isinstance(cancel, Plan)
    costly = costly.with_attempt(attempt(2, cancel, Kind.CANCEL))
    again = desk.payer.dearer(costly, desk.survey())  # a cancel stays one, under its own cap
    assert isinstance(again, Plan)
    assert Unsigned.of(again.text).to == OURS
    ratio = payer_with(desk, max_fee_ratio="0.001%")
    assert isinstance(ratio.payer.dearer(payout, desk.survey()), TooDear)
    assert isinstance(ratio.payer.self_send(payout, desk.survey()), Plan)


def test_a_cancel_takes_the_place_and_the_customer_gets_nothing(desk: Desk) -> None:
    payout = desk.paid(coins(), 0)
    cancelled = with_plan(payout, desk.payer.self_send(payout, desk.survey(payout)), Kind.CANCEL)
    read = desk.payer.read(cancelled.last.raw or b"")
    assert read.pays == (Paid(OURS, None, 0),)
    assert read.claims == ("0",)
    assert desk.send(cancelled).taken is True
    desk.anvil.mine(3)
    seen = desk.seen(cancelled)
    assert conclude(cancelled, seen) is Step.CANCELLED
    assert int(desk.anvil.rpc("eth_getBalance", CUSTOMER, "latest"), 16) == 0


def test_a_payment_that_wins_against_its_cancel_counts(desk: Desk) -> None:
    payout = desk.planned(coins(), 0)
    cancelled = with_plan(payout, desk.payer.self_send(payout, desk.survey(payout)), Kind.CANCEL)
    (sent,) = desk.payer.send([payout.last.raw or b""])
    assert sent.taken is True
    desk.anvil.mine(3)
    assert conclude(cancelled, desk.seen(cancelled)) is Step.FINAL


def test_a_plan_has_one_place_and_has_to_be_a_plan(desk: Desk) -> None:
    (plan,) = desk.draft(coins())
    placed, claims = desk.payer.place(plan, 7)
    assert claims == ("7",)
    assert Unsigned.of(placed.text).nonce == 7
    with pytest.raises(Refused):
        desk.payer.place(placed, 8)
    with pytest.raises(Refused):
        desk.payer.place(Plan("{}", 0), 8)


# -- what becomes of it ----------------------------------------------------------------------------------------------


def foreign(desk: Desk, nonce: int, wei: int = 5) -> str:
    """Another transaction of our key, which no ledger knows."""
    plan = Unsigned(CHAIN, nonce, OTHER, wei, b"", 21_000, 300 * GWEI, 50 * GWEI)
    raw = attempt(1, plan.plan, key=KEY).raw
    assert raw is not None
    txid: str = desk.anvil.rpc("eth_sendRawTransaction", "0x" + raw.hex())
    return txid


def test_a_foreign_transaction_with_our_nonce_is_found_once_it_is_final(desk: Desk) -> None:
    payout = desk.paid(coins(), 0)
    thief = foreign(desk, 0)
    assert desk.seen(payout) == Absent(pooled=False)
    desk.anvil.mine()
    assert desk.seen(payout) == Taken(None, False)
    assert conclude(payout, desk.seen(payout)) is Step.UNKNOWN
    desk.anvil.mine(2)
    assert desk.seen(payout) == Taken(thief, True)
    assert conclude(payout, desk.seen(payout)) is Step.DEAD
    assert desk.send(payout).taken is None


def test_a_place_that_was_taken_before_anything_was_signed_is_seen(desk: Desk) -> None:
    payout = unsigned_twin(desk.planned(coins(), 0))
    assert desk.seen(payout) == Absent(pooled=False)
    thief = foreign(desk, 0)
    desk.anvil.mine(3)
    assert desk.seen(payout) == Taken(thief, True)


def test_a_transaction_that_the_pool_dropped_can_be_sent_again(desk: Desk) -> None:
    payout = desk.paid(coins(), 0)
    desk.anvil.rpc("anvil_dropTransaction", payout.last.txid)
    assert desk.seen(payout) == Absent(pooled=False)
    assert desk.send(payout).taken is True
    desk.anvil.mine(3)
    assert conclude(payout, desk.seen(payout)) is Step.FINAL


def test_a_block_that_leaves_the_chain_takes_its_payment_along(desk: Desk) -> None:
    payout = desk.planned(coins(), 0)
    before = desk.anvil.rpc("evm_snapshot")
    assert desk.send(payout).taken is True
    desk.anvil.mine()
    assert isinstance(desk.seen(payout), Mined)
    desk.anvil.rpc("evm_revert", before)
    assert desk.seen(payout) == Absent(pooled=False)
    desk.anvil.mine(2)
    assert desk.send(payout).taken is True
    desk.anvil.mine()
    again = desk.seen(payout)
    assert isinstance(again, Mined)
    assert (again.height, again.final) == (3, False)


def test_a_reorganisation_by_the_node_is_followed(desk: Desk) -> None:
    payout = desk.paid(coins(), 0)
    desk.anvil.mine(2)
    first = desk.seen(payout)
    assert isinstance(first, Mined)
    desk.anvil.rpc("anvil_reorg", 2, [])
    assert isinstance(desk.seen(payout), Absent)
    if desk.seen(payout) == Absent(pooled=False):
        assert desk.send(payout).taken is True
    desk.anvil.mine(3)
    again = desk.seen(payout)
    assert isinstance(again, Mined)
    assert again.block_hash != first.block_hash
    assert again.final


def test_a_payment_that_reverts_all_the_same_paid_nothing(desk: Desk) -> None:
    payout = desk.planned(tokens(10**9), 0)
    desk.anvil.rpc("anvil_setStorageAt", CONTRACT, "0x" + OURS[2:].rjust(64, "0"), "0x" + "0" * 64)
    assert desk.send(payout).taken is True
    desk.anvil.mine(3)
    seen = desk.seen(payout)
    assert isinstance(seen, Mined)
    assert (seen.ok, seen.final) == (False, True)
    assert seen.fee > 0
    assert conclude(payout, seen) is Step.REVERTED


def test_a_token_that_begins_to_take_fees_leaves_it_to_a_person(desk: Desk) -> None:
    payout = desk.planned(tokens(1_000), 0)
    code.place(desk.anvil, CONTRACT, code.TAKES_FEES)
    assert desk.send(payout).taken is True
    desk.anvil.mine(3)
    seen = desk.seen(payout)
    assert isinstance(seen, Unclear)
    assert "logs 990" in seen.why
    assert conclude(payout, seen) is Step.UNKNOWN


def test_a_token_that_logs_nothing_may_have_paid_and_a_person_has_to_look(desk: Desk) -> None:
    payout = desk.planned(tokens(1_000), 0)
    code.place(desk.anvil, CONTRACT, code.UNLOGGED)
    assert desk.send(payout).taken is True
    desk.anvil.mine(3)
    seen = desk.seen(payout)
    assert isinstance(seen, Unclear)
    assert conclude(payout, seen) is Step.UNKNOWN


def test_finality_by_the_tag_of_the_node_counts(anvil_with: Callable[..., Anvil]) -> None:
    anvil = anvil_with("--no-mining", "--slots-in-an-epoch", "1")
    desk = Desk(anvil, payer_over(anvil.url, finality="finalized"))
    payout = desk.paid(coins(), 0)
    desk.anvil.mine()
    assert not desk.seen(payout).final
    desk.anvil.mine(3)
    assert desk.seen(payout).final


def test_a_recipient_that_never_ends_holds_up_nobody(desk: Desk) -> None:
    desk.anvil.rpc("anvil_setCode", OTHER, "0x" + RUNS_FOR_EVER)
    endless, good = desk.draft(coins(destination=OTHER), coins())
    assert endless == Unpayable("it would fail: out_of_gas")
    assert isinstance(good, Plan)
