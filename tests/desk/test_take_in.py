"""Requests are decided against the limits and recorded once, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from cryptosupport.desk.cases import ChainFacts
from cryptosupport.desk.rehearse import rehearsal
from cryptosupport.desk.run_once import run_once
from cryptosupport.desk.take_in import Intake, Line
from cryptosupport.domain.errors import BadInput, BadSettings, ClockWentBack
from cryptosupport.domain.money import Asset, Quantity
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Unit
from cryptosupport.domain.policy.rules import Per
from cryptosupport.domain.withdrawals import Beneficiary, State, Verification
from tests.desk.deskkit import BTC, ETH, HOUR, START, USDT_BSC, USDT_ETHEREUM, Desk, policy, request, rule, sums

DeskWith = Callable[..., Desk]
HARD = {"on_exceed": Outcome.DENY}


def test_what_is_within_the_limit_is_approved_and_what_exceeds_it_is_rejected(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="2")))
    assert desk.states(request("a", "2"), request("b", "2.00000001")) == ["approved", "rejected"]


def test_what_no_rule_permits_is_denied_and_says_so(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="2", match={"asset": "ETH"})))
    (denied,) = desk.take(request("a"))
    assert denied.state is State.REJECTED
    assert [voice.rule for voice in denied.decision.voices] == ["default deny"]


def test_second_run_with_same_request_ids_changes_nothing(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="3", hours=24, per=Per.CUSTOMER)))
    first = desk.take(request("a"), request("b"), request("c"), request("d"))
    before = sums(desk)
    desk.clock.at += HOUR
    again = desk.take(request("d"), request("c"), request("b"), request("a"))
    assert sorted(again, key=lambda each: each.id) == first
    assert sums(desk) == before
    assert [each.state.value for each in first] == ["approved", "approved", "approved", "rejected"]


def test_one_request_twice_in_a_batch_counts_once(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="2", hours=1, **HARD)))
    assert desk.states(request("a"), request("a"), request("b")) == ["approved"] * 3
    assert {booked for booked, _ in sums(desk).values()} == {"2"}


def test_a_note_and_a_signature_do_not_make_another_request(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="2")))
    desk.take(request("a"))
    (again,) = desk.take(request("a", note="urgent"))
    assert again.request.note is None


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"base_units": 1}, "amount"),
        ({"destination": "d2"}, "destination"),
        ({"customer": "c2"}, "customer"),
        ({"memo": "7"}, "memo"),
        ({"tier": "vip"}, "tier"),
        ({"verification": Verification(identity=True)}, "verification"),
        ({"beneficiary": Beneficiary(name="Ann")}, "beneficiary"),
    ],
)
def test_another_request_under_a_known_id_is_refused_and_changes_nothing(
    desk_with: DeskWith, changed: dict[str, object], named: str
) -> None:
    desk = desk_with(policy(rule(amount="2", hours=24)))
    (first,) = desk.take(request("a"))
    before = sums(desk)
    with pytest.raises(BadInput, match=f"recorded with another {named}"):
        desk.take(replace(request("a"), **changed))
    assert desk.ledger.withdrawal("a") == first
    assert sums(desk) == before


def test_a_bad_line_never_blocks_the_good_ones(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="2")))
    read = [request("a"), BadInput("bad"), request("b")]
    lines = [Line(number, "?", each, "file") for number, each in enumerate(read, 1)]
    results = [taken.result for taken in Intake(desk.ledger, desk.premises).take_in([lines])]
    assert isinstance(results[1], BadInput)
    assert desk.recorded("a", "b") == ["approved", "approved"]


def test_a_rehearsal_decides_and_records_nothing(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1", hours=1, **HARD)))
    with rehearsal(desk.ledger, desk.premises.judge) as stage:
        rehearsed = replace(desk, ledger=stage).states(request("a")) + replace(desk, ledger=stage).states(request("b"))
    assert rehearsed == ["approved", "rejected"]
    assert desk.recorded("a", "b") == ["absent", "absent"]
    assert sums(desk) == {}


# -- windows ---------------------------------------------------------------------------------------------------------


def test_what_was_booked_exactly_one_window_ago_is_out(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1", hours=1, **HARD)))
    desk.take(request("a"))
    desk.clock.at += HOUR - 1
    assert desk.states(request("b")) == ["rejected"]
    desk.clock.at += 1
    assert desk.states(request("c")) == ["approved"]


def test_each_customer_has_a_sum_of_its_own(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1", hours=1, per=Per.CUSTOMER)))
    assert desk.states(request("a"), request("b", customer="c2"), request("c")) == ["approved", "approved", "rejected"]


def test_a_symbol_sums_over_chains_that_count_it_differently(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="3", hours=1, per=Per.ASSET, **HARD)))
    states = desk.states(
        request("a", "1.5", USDT_ETHEREUM, chain="ethereum"),
        request("b", "1.5", USDT_BSC, chain="bsc"),
        request("c", "0.000001", USDT_ETHEREUM, chain="ethereum"),
    )
    assert states == ["approved", "approved", "rejected"]


def test_any_uint256_is_counted_exactly(desk_with: DeskWith) -> None:
    most = Quantity(2**256 - 1, 18)
    desk = desk_with(policy(rule(amount=str(most + most), hours=1, per=Per.ASSET, **HARD)))
    asked = [request(name, str(most), ETH, chain="ethereum") for name in ("a", "b")]
    assert desk.states(*asked, request("c", "0.000000000000000001", ETH, chain="ethereum")) == [
        *("approved", "approved", "rejected"),
    ]
    found = desk.ledger.withdrawal("b")
    assert found is not None
    assert found.request.base_units == 2**256 - 1


def test_a_calendar_day_ends_at_local_midnight(desk_with: DeskWith) -> None:
    day = rule(amount="1", period=Calendar(Unit.DAY, "Europe/Berlin"), per=Per.CUSTOMER)
    desk = desk_with(policy(day))
    desk.clock.at = 1_774_821_599_999  # 2026-03-29 23:59:59.999 in Berlin, at the end of a day of 23 hours
    assert desk.states(request("a"), request("b")) == ["approved", "rejected"]
    desk.clock.at += 1
    assert desk.states(request("c")) == ["approved"]
    assert len(sums(desk)) == 1, "the sum of the day that is over is gone"


def test_a_lifetime_limit_never_returns(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1", period=Lifetime(), per=Per.CUSTOMER)))
    desk.take(request("a"))
    desk.clock.at += 10_000 * HOUR
    assert desk.states(request("b")) == ["rejected"]


def test_fees_count_for_wallet_and_desk_but_not_for_the_customer(desk_with: DeskWith) -> None:
    chains = {"ethereum": ChainFacts({"ETH": ETH}, ETH, 10**16, ("hot-eth",))}
    rules = [rule(name, "1", hours=1, per=per, **HARD) for name, per in (("own", Per.CUSTOMER), ("wallet", Per.WALLET))]
    desk = desk_with(policy(*rules), chains=chains, prices={"ETH": "1"})
    (taken,) = desk.take(request("a", "1", ETH, chain="ethereum"))
    assert [voice.outcome.value for voice in taken.decision.voices] == ["allow", "deny"]
    assert taken.fee_units == 10**16


def test_a_clock_that_steps_back_is_refused_and_records_nothing(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1", hours=1, **HARD)))
    desk.take(request("a"))
    desk.clock.at = START - 1001
    with pytest.raises(ClockWentBack, match="behind the last decision"):
        desk.take(request("b"))
    assert desk.recorded("b") == ["absent"]


def test_a_clock_that_is_set_back_a_little_stands_still(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1")))
    desk.take(request("a"))
    desk.clock.at = START - 500
    (taken,) = desk.take(request("b"))
    assert taken.created_at == START


# -- another policy --------------------------------------------------------------------------------------------------


def test_a_new_window_counts_what_was_booked_before_it(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="9")))
    desk.take(request("old", "2"))
    desk.clock.at += 2 * HOUR
    desk.take(request("young", "2"), request("refused", "10"))
    lifetime = rule("life", "5", period=Lifetime(), per=Per.ASSET)
    desk.policy = policy(rule(amount="3", hours=1, per=Per.CUSTOMER), lifetime)
    assert desk.states(request("a", "1.00000001"), request("b", "1")) == ["rejected", "approved"]
    assert sorted(sums(desk).values()) == [("3", "0"), ("5", "0")]


def test_a_changed_limit_goes_on_with_the_same_sums(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1", hours=1, **HARD)))
    desk.take(request("a"))
    desk.policy = policy(rule(amount="2", hours=1, **HARD))
    assert desk.states(request("b"), request("c", "0.1")) == ["approved", "rejected"]


def test_a_policy_that_comes_back_knows_what_happened_meanwhile(desk_with: DeskWith) -> None:
    first, second = policy(rule(amount="2", hours=1, **HARD)), policy(rule(amount="2"))
    desk = desk_with(first)
    desk.take(request("a"))
    desk.policy = second
    desk.take(request("b"))
    desk.policy = first
    assert desk.states(request("c")) == ["rejected"]


def test_every_decision_names_a_policy_whose_text_is_kept(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="2")))
    (taken,) = desk.take(request("a"))
    assert taken.decision.policy == desk.policy.hash
    assert desk.ledger.policy(taken.decision.policy) == desk.policy.text


# -- values ----------------------------------------------------------------------------------------------------------


def test_a_value_is_frozen_when_it_is_decided(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(value="150", hours=1, **HARD)), prices={"BTC": "100"})
    desk.take(request("a"))
    desk.prices = {"BTC": "101"}
    assert desk.states(request("b", "0.5")) == ["rejected"], "100 + 50.5 > 150"
    desk.prices = {"BTC": "99"}
    assert desk.states(request("c", "0.5")) == ["approved"], "100 stays 100"


def test_without_a_price_a_value_limit_holds(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(value="150")))
    (taken,) = desk.take(request("a"))
    assert taken.state is State.HELD
    assert "no usable price of BTC" in taken.decision.voices[0].reason


def test_a_price_that_jumps_holds_for_an_hour(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(value="1000")), prices={"BTC": "100"})
    assert desk.states(request("a")) == ["approved"]
    desk.prices = {"BTC": "79"}
    assert desk.states(request("b")) == ["held"]
    desk.clock.at += HOUR
    assert desk.states(request("c")) == ["approved"]


def test_one_run_brings_in_no_more_than_its_cap(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="9")), prices={"BTC": "100"}, further={"run_cap": 250 * 10**6})
    assert desk.states(request("a"), request("b"), request("c"), request("d", "0.5")) == [
        *("approved", "approved", "held", "held"),
    ]


# -- evidence, destinations, wallets, balances -----------------------------------------------------------------------


def test_a_new_destination_has_to_cool_down(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="9"), rule("cool", cooling=24 * HOUR, on_exceed=Outcome.HOLD)))
    assert desk.states(request("a"), request("other", destination="d2")) == ["held", "held"]
    desk.clock.at += 24 * HOUR - 1
    assert desk.states(request("b")) == ["held"]
    desk.clock.at += 1
    assert desk.states(request("c"), request("d", customer="c2")) == ["approved", "held"]


def test_a_share_of_the_hot_balance(desk_with: DeskWith) -> None:
    share = rule("share", max_percent=Quantity.parse("5"), on_exceed=Outcome.DENY)
    desk = desk_with(policy(share), hot={"hot-btc": "20"})
    assert desk.states(request("a"), request("b", "1.00000001")) == ["approved", "rejected"]
    desk.hot = {}
    (taken,) = desk.take(request("c"))
    assert taken.state is State.HELD
    assert "nobody answers" in taken.decision.voices[0].reason


def test_a_customer_keeps_the_wallet_that_was_chosen(desk_with: DeskWith) -> None:
    chains = {"bitcoin": ChainFacts({"BTC": BTC}, hot_wallets=("one", "two", "three"))}
    desk = desk_with(policy(rule(amount="9")), chains=chains)
    asked = [request(f"{turn}-{who}", customer=f"c{who}") for turn in range(3) for who in range(20)]
    chosen: dict[str, set[str | None]] = {}
    for taken in desk.take(*asked):
        chosen.setdefault(taken.request.customer, set()).add(taken.wallet)
    assert {len(wallets) for wallets in chosen.values()} == {1}
    assert set().union(*chosen.values()) == {"one", "two", "three"}


def test_rules_about_wallets_hold_where_there_is_no_hot_wallet(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="9"), rule("wallet", "9", hours=1, per=Per.WALLET)))
    assert desk.states(request("a", "1", USDT_BSC, chain="bsc"), request("b")) == ["held", "approved"]


def test_the_hard_cap_of_an_asset_stands_above_the_policy(desk_with: DeskWith) -> None:
    chains = {"bitcoin": ChainFacts({"BTC": BTC}, hard_caps={"BTC": Quantity.parse("5")})}
    desk = desk_with(policy(rule(allow=True)), chains=chains)
    assert desk.states(request("a", "5"), request("b", "5.1")) == ["approved", "rejected"]


def test_a_new_window_beside_one_of_the_same_length_starts_with_what_is_in_it(desk_with: DeskWith) -> None:
    first = rule(amount="9", hours=1, per=Per.CUSTOMER)
    desk = desk_with(policy(first))
    desk.take(request("old", "2"))
    desk.clock.at += HOUR
    desk.policy = policy(first, rule("n", hours=1, max_count=2, on_exceed=Outcome.DENY))
    assert desk.states(request("a"), request("b"), request("c")) == ["approved", "approved", "rejected"]
    assert sorted(booked for booked, _ in sums(desk).values()) == ["2", "2"]


# -- values that come late ---------------------------------------------------------------------------------------------


def test_what_passed_without_a_value_gets_one_before_others_are_decided(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("own", "9", value="100", hours=24, per=Per.CUSTOMER)))
    assert desk.states(request("a", "4")) == ["approved"], "by its amount: there is no price"
    desk.prices = {"BTC": "20"}
    assert desk.states(request("b", "1.1"), request("c", "1")) == ["rejected", "approved"]
    found = desk.ledger.withdrawal("a")
    assert found is not None
    assert found.value == 80 * 10**6
    desk.prices = {"BTC": "19"}
    desk.take(request("d", "0.1"))
    again = desk.ledger.withdrawal("a")
    assert again is not None
    assert again.value == 80 * 10**6, "once valued, for ever"


def test_a_new_rule_in_usd_knows_what_had_no_value(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="9")))
    desk.take(request("a", "4"))
    desk.policy = policy(rule("desk", value="100", hours=24, **HARD))
    desk.prices = {"BTC": "20"}
    assert desk.states(request("b", "1.1"), request("c", "1")) == ["rejected", "approved"]


def test_a_price_cannot_walk_away_in_small_steps(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(value="100000")), prices={"BTC": "100"})
    desk.take(request("a"))
    desk.prices = {"BTC": "81"}
    assert desk.states(request("b")) == ["approved"]
    desk.prices = {"BTC": "66"}
    assert desk.states(request("c")) == ["held"]


def test_a_value_of_any_size_is_recorded(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(value="1")), prices={"BTC": "50000"})
    most = Quantity(2**256 - 1, 8)
    assert desk.states(request("a", str(most)), request("b", "0.00001")) == ["rejected", "approved"]


# -- what customers have ---------------------------------------------------------------------------------------------


@dataclass
class Feed:
    """A feed of balances for tests: customer c1 has ``btc``."""

    btc: str
    as_of: int

    def read(self) -> None:
        pass

    def of(self, customer: str, asset: str, now: int) -> Quantity:
        return Quantity.parse(self.btc)


def test_nobody_asks_for_more_than_the_feed_says_in_one_run_or_in_several(desk_with: DeskWith) -> None:
    feed = Feed("1", START + 4000)  # its clock is ahead of ours
    desk = desk_with(policy(rule(amount="9"), rule("money", require=("balance",))), further={"balances": feed})
    assert desk.states(request("a", "0.6"), request("b", "0.6"), request("c", "0.4")) == [
        *("approved", "rejected", "approved"),
    ]
    desk.clock.at += 2000
    assert desk.states(request("d", "0.1")) == ["rejected"]


def test_money_that_was_taken_off_when_it_was_asked_for_does_not_deny_who_waits(desk_with: DeskWith) -> None:
    feed = Feed("0.5", START)
    money = rule("money", require=("balance",))
    desk = desk_with(policy(rule(amount="1", hours=1), money), further={"balances": feed})
    assert desk.states(request("other", "1", customer="c2"), request("w", "0.5")) == ["rejected", "approved"]
    desk = desk_with(policy(rule(amount="0.5", hours=1), money), further={"balances": feed})
    assert desk.states(request("v", "0.4", customer="c3")) == ["waiting"]
    desk.clock.at += HOUR
    feed.btc, feed.as_of = "0.1", desk.clock.at
    assert [each.state.value for each in run_once(desk.ledger, desk.premises)] == ["approved"]


def test_a_recorded_request_that_cannot_be_read_any_more_says_how_it_stands(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="9")))
    desk.take(request("a"))
    gone = BadInput("chain is not configured", request_id="a", field="chain")
    lines = [Line(1, "", gone, "file"), Line(2, "", BadInput("bad", request_id="b"), "file")]
    told = [taken.result for taken in Intake(desk.ledger, desk.premises).take_in([lines])]
    assert isinstance(told[0], BadInput)
    assert isinstance(told[1], BadInput)
    assert told[0].message == "chain is not configured; a is recorded, and is approved: nothing was changed"
    assert (told[0].facts["field"], told[1].message) == ("chain", "bad")


def test_a_request_whose_tier_is_gone_from_the_policy_counts_as_the_lowest(desk_with: DeskWith) -> None:
    both = rule("basic", "1", match={"tier": "basic"}), rule("vip", "9", hours=1, match={"tier": "vip"})
    desk = desk_with(policy(*both, tiers=("basic", "vip")))
    assert desk.states(request("a", "9", tier="vip"), request("b", "5", tier="vip")) == ["approved", "waiting"]
    desk.clock.at += HOUR
    desk.policy = policy(both[0], tiers=("basic",))
    assert [each.state.value for each in run_once(desk.ledger, desk.premises)] == ["rejected"]


def test_a_changed_number_of_decimals_leaves_the_recorded_fee_as_it_is(desk_with: DeskWith) -> None:
    chains = {"bitcoin": ChainFacts({"BTC": BTC}, BTC, 1000, ("hot-btc",))}
    desk = desk_with(policy(rule(amount="1", hours=1)), chains=chains, prices={"BTC": "1"})
    desk.take(request("a", "0.9"), request("b", "0.9"))
    wide = Asset("BTC", 18)
    desk.chains = {"bitcoin": ChainFacts({"BTC": wide}, wide, 10**13, ("hot-btc",))}
    desk.clock.at += HOUR
    assert run_once(desk.ledger, desk.premises) == []
    found = desk.ledger.withdrawal("b")
    assert found is not None
    assert (found.fee_units, found.state.value) == (1000, "waiting")


def test_a_run_stops_when_the_settings_are_others(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="9")))

    def changed() -> None:
        raise BadSettings("policy.toml was changed meanwhile")

    lines = [Line(1, "", request("a"), "file")]
    with pytest.raises(BadSettings, match="changed"):
        list(Intake(desk.ledger, desk.premises, still=changed).take_in([lines]))
    assert desk.recorded("a") == ["absent"]
