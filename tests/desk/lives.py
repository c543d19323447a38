"""Any life of a desk: what is asked, cancelled and waited for, under any policy, on a real ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import Engine

from cryptosupport.desk.cancel import cancel
from cryptosupport.desk.run_once import run_once
from cryptosupport.domain.books import Wanted
from cryptosupport.domain.policy.rules import Policy
from cryptosupport.domain.withdrawals import UNSIGNED, Beneficiary, Request, Verification
from tests.desk.deskkit import BTC, ETH, HOUR, START, USDT_BSC, USDT_ETHEREUM, Desk, Turned, ledger_in, request
from tests.domain.policy import making
from tests.ledger.ledgerkit import emptied

POLICIES = st.one_of(making.policies(), making.queues()).map(
    lambda made: Policy(made.rules, made.tiers, repr(made.rules))
)
WHERE = {"bitcoin": [BTC], "ethereum": [ETH, USDT_ETHEREUM], "bsc": [USDT_BSC]}


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Any request to the desk; its id comes later."""
    chain = draw(st.sampled_from(sorted(WHERE)))
    shown = st.builds(
        Verification,
        identity=st.booleans(),
        two_factor=st.booleans(),
        at=st.sampled_from([None, START // 1000, START // 1000 - 7200]),
    )
    return request(
        "",
        draw(st.sampled_from(["0.5", "1", "2", "3.5"])),
        draw(st.sampled_from(WHERE[chain])),
        chain=chain,
        customer=draw(st.sampled_from(["c-1", "c-2"])),
        destination=draw(st.sampled_from(["d-1", "d-2"])),
        tier=draw(st.sampled_from([None, *making.TIERS])),
        country=draw(st.sampled_from([None, "CH", "FR"])),
        verification=draw(st.none() | shown),
        beneficiary=draw(st.sampled_from([None, Beneficiary("Ann", self_hosted=True)])),
    )


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.lists(requests(), min_size=1, max_size=4)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("again"), st.none()),
        st.tuples(st.just("sleep"), st.sampled_from([600_000, HOUR - 5, HOUR, 24 * HOUR])),
        st.tuples(st.just("price"), st.sampled_from(["950", "1000", "1100"])),
    ),
    min_size=3,
    max_size=14,
)


def live(desk: Desk, steps: list[tuple[str, Any]]) -> None:
    """Let the desk do them, each a moment after the other; whoever waits is decided again before others come."""
    for what, which in steps:
        desk.clock.at += 1
        recorded = list(desk.ledger.withdrawals(Wanted()))
        match what:
            case "submit":
                run_once(desk.ledger, desk.premises)
                desk.clock.at += 1
                desk.take(*(replace(each, request_id=f"r{len(recorded) + place}") for place, each in enumerate(which)))
            case "cancel":
                able = [each.request.request_id for each in recorded if each.state in UNSIGNED]
                if able:
                    cancel(desk.ledger, desk.premises, able[which % len(able)])
            case "again":
                run_once(desk.ledger, desk.premises)
            case "sleep":
                desk.clock.at += which
            case "price":
                desk.prices = {"BTC": which, "ETH": which}


def new_desk(engine: Engine, chosen: Policy) -> Desk:
    """A desk on the ledger, emptied; its hot wallets hold more than anybody asks for."""
    emptied(engine)
    clock, huge = Turned(), "1" + "0" * 40
    hot = {"hot-btc": huge, "hot-eth": huge}
    return Desk(ledger_in(engine, clock), clock, chosen, {"BTC": "1000", "ETH": "1000"}, hot)
