"""A small desk for the tests of its rules: requests, policies, and what hypothesis makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from cryptosupport.domain.money import NOTHING, Asset, Quantity
from cryptosupport.domain.policy.decision import Decision, Outcome, Voice
from cryptosupport.domain.policy.judging import Case, Evidence, Judge, Used
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Period, Sliding, Unit
from cryptosupport.domain.policy.rules import EVIDENCE, Booking, Per, Policy, Rule

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For properties: a busy machine is no fault of theirs."""

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 1_795_305_600_000  # 2026-11-22T00:00:00Z
TIERS = ("basic", "verified", "vip")
ASSETS: dict[str, dict[str, Asset]] = {
    "bitcoin": {"BTC": Asset("BTC", 8)},
    "ethereum": {"ETH": Asset("ETH", 18), "USDT": Asset("USDT", 6, "0xdAC1")},
    "bsc": {"BNB": Asset("BNB", 18), "USDT": Asset("USDT", 18, "0x5539")},
}
WALLETS = {
    "hot-btc": ("bitcoin", "hot"),
    "cold-btc": ("bitcoin", "cold"),
    "hot-eth": ("ethereum", "hot"),
    "hot-eth-2": ("ethereum", "hot"),
}


def q(text: str) -> Quantity:
    """A decimal."""
    return Quantity.parse(text)


def dollars(text: str) -> int:
    """USD as micro-USD."""
    return q(text).at(6)


def only(**match: str) -> dict[str, frozenset[str]]:
    """What a rule matches: ``only(asset="BTC ETH")``."""
    return {name: frozenset(values.split()) for name, values in match.items()}


BOOKING = Booking(
    "c-1", "basic", None, "BTC", "bitcoin", "hot-btc", "bc1q", "file", Quantity(10**8, 8), dollars("50000")
)


def booking(**facts: Any) -> Booking:
    """One BTC of customer c-1, worth 50,000 USD, but for ``facts``."""
    return replace(BOOKING, **facts)


def case(now: int = NOW, **facts: Any) -> Case:
    """That request with all that rules may ask; ``facts`` are of the case, or else of the booking."""
    own = {name: value for name, value in facts.items() if name in Case.__dataclass_fields__}
    return Case(booking(**{name: value for name, value in facts.items() if name not in own}), now, **own)


def judge(*rules: Rule) -> Judge:
    """A policy of these rules."""
    return Judge(Policy(rules, TIERS))


def decided(rule: Rule, asked: Case, used: str = "0") -> Decision:
    """What a policy of one rule says where ``used`` is used everywhere."""
    return judge(rule).decide(asked, lambda place: q(used))


# -- made by hypothesis


def some(names: Mapping[str, Any] | tuple[str, ...]) -> st.SearchStrategy[frozenset[str]]:
    """One or two of the names."""
    return st.frozensets(st.sampled_from(sorted(names)), min_size=1, max_size=2)


SYMBOLS = ("BTC", "ETH", "USDT", "BNB")
FACTS: dict[str, tuple[str, ...]] = {
    "customer": ("c-1", "c-2"),
    "tier": TIERS,
    "country": ("CH", "DE"),
    "asset": SYMBOLS,
    "chain": tuple(ASSETS),
    "wallet": tuple(WALLETS),
    "destination": ("d-1", "d-2"),
    "source": ("file", "backend"),
}


@st.composite
def matches(draw: st.DrawFn) -> dict[str, frozenset[str]]:
    """What a rule may match on; mostly little, so that rules meet requests."""
    names = draw(st.lists(st.sampled_from(sorted(FACTS)), max_size=2, unique=True))
    return {name: draw(some(FACTS[name])) for name in names}


def periods() -> st.SearchStrategy[Period]:
    """Short enough that a test gets out of them."""
    return st.one_of(
        st.sampled_from([Sliding(10 * MINUTE), Sliding(HOUR), Sliding(DAY)]),
        st.sampled_from([Calendar(Unit.DAY, "UTC"), Calendar(Unit.WEEK, "America/Havana")]),
        st.just(Lifetime()),
    )


AMOUNTS = st.integers(0, 8).map(lambda halves: Quantity(halves * 5, 1))
VALUES = st.integers(0, 40).map(lambda hundreds: hundreds * 100_000_000)
ON_EXCEED = st.sampled_from([None, Outcome.DENY, Outcome.HOLD, Outcome.WAIT])


@st.composite
def limits(draw: st.DrawFn) -> dict[str, Any]:
    """One or two limits of a rule, with or without a period."""
    made: dict[str, Any] = {"on_exceed": draw(ON_EXCEED)}
    kinds = {
        "max_amount": AMOUNTS,
        "max_value": VALUES,
        "max_percent": st.integers(0, 100).map(lambda percent: Quantity(percent, 0)),
    }
    if draw(st.booleans()):
        made |= {"per": draw(st.sampled_from(Per)), "period": draw(periods())}
        kinds["max_count"] = st.integers(0, 4)
    for name in draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=2, unique=True)):
        made[name] = draw(kinds[name])
    return made


@st.composite
def restrictions(draw: st.DrawFn) -> dict[str, Any]:
    """What only restricts: approvals, a cooling time, evidence, or no at all."""
    kind = draw(st.sampled_from(["approvals", "sum", "cooling", "require", "deny"]))
    if kind == "approvals":
        above: dict[str, Any] = draw(st.sampled_from([{}, {"above_value": dollars("500")}, {"above_amount": q("1")}]))
        return {"approvals": draw(st.integers(1, 3)), **above}
    if kind == "sum":
        scope = {"per": draw(st.sampled_from(Per)), "period": draw(periods())}
        return {"approvals": draw(st.integers(1, 3)), "above_value": draw(VALUES), **scope}
    if kind == "cooling":
        return {"cooling": draw(st.sampled_from([MINUTE, HOUR])), "on_exceed": draw(ON_EXCEED)}
    if kind == "require":
        shown = draw(st.sampled_from(EVIDENCE))
        return {"require": (shown,), "max_age": draw(st.sampled_from([None, HOUR])), "on_exceed": draw(ON_EXCEED)}
    return {"deny": True}


@st.composite
def rules(draw: st.DrawFn, name: str = "r", *, permits: bool | None = None) -> Rule:
    """Any rule that settings can hold; one that permits or only restricts where that is asked for."""
    if permits is None:
        permits = draw(st.sampled_from([True, True, True, False]))
    does = draw(st.one_of(limits(), st.just({"allow": True})) if permits else restrictions())
    return Rule(name, draw(matches()), **does)


@st.composite
def policies(draw: st.DrawFn, most: int = 5) -> Policy:
    """A policy of up to ``most`` rules; mostly one that permits something."""
    made = [draw(rules(f"r{number}")) for number in range(draw(st.integers(0, most)))]
    if draw(st.integers(0, 9)):
        made.append(Rule("ceiling", max_value=dollars("4000"), max_amount=q("4")))
    return Policy(tuple(made), TIERS)


@st.composite
def cases(draw: st.DrawFn, now: int = NOW) -> Case:
    """Any request to the small desk."""
    chain = draw(st.sampled_from(sorted(ASSETS)))
    asset = ASSETS[chain][draw(st.sampled_from(sorted(ASSETS[chain])))]
    assert asset.decimals is not None
    hot = [name for name, (where, role) in WALLETS.items() if where == chain and role == "hot"]
    amount = Quantity(draw(st.integers(1, 8)) * 10**asset.decimals // 2, asset.decimals)
    own = asset.contract is None
    asked = Booking(
        customer=draw(st.sampled_from(["c-1", "c-2", "c-3"])),
        tier=draw(st.sampled_from(TIERS)),
        country=draw(st.sampled_from(["CH", "DE", "FR", None])),
        asset=asset.symbol,
        chain=chain,
        wallet=draw(st.sampled_from(hot)) if hot else None,
        destination=draw(st.sampled_from(["d-1", "d-2", "d-3"])),
        source=draw(st.sampled_from(["file", "backend", "stdin"])),
        amount=amount,
        value=draw(st.sampled_from([None, *[units * 100_000_000 for units in range(1, 30)]])),
        fee=Quantity(1, asset.decimals) if own else NOTHING,
        fee_value=draw(st.sampled_from([0, 1_000_000])),
    )
    evidence = {
        name: Evidence(draw(st.booleans()), draw(st.sampled_from([None, now, now - 2 * HOUR]))) for name in EVIDENCE
    }
    return Case(
        asked,
        now,
        no_value="no price",
        known_since=draw(st.sampled_from([None, now, now - MINUTE, now - HOUR])),
        evidence=evidence,
        hot_balance=draw(st.sampled_from([q("8"), q("100")])),
        customer_balance=draw(st.sampled_from([None, q("2"), q("100")])),
        further=draw(st.sampled_from([(), (), (), (Voice("hard cap", Outcome.DENY, "too much"),)])),
    )


@st.composite
def queues(draw: st.DrawFn) -> Policy:
    """A policy under which much waits: small limits of the desk, its wallets and its customers, and little else."""
    made = [Rule("ceiling", max_amount=q("3"), on_exceed=draw(st.sampled_from([Outcome.HOLD, Outcome.DENY])))]
    for number in range(draw(st.integers(1, 4))):
        limits: list[dict[str, Any]] = [{"max_amount": q("3")}, {"max_count": 2}, {"max_value": dollars("3000")}]
        does = draw(st.sampled_from(limits))
        per = draw(st.sampled_from([Per.GLOBAL, Per.WALLET, Per.ASSET, Per.CUSTOMER]))
        asked = draw(st.sampled_from([None, None, Outcome.WAIT, Outcome.HOLD]))
        match = draw(st.sampled_from([{}, {}, only(asset="BTC"), only(customer="c-1")]))
        made.append(Rule(f"r{number}", match, per, draw(periods()), on_exceed=asked, **does))
    if draw(st.booleans()):
        made.append(draw(rules("restricts", permits=False)))
    return Policy(tuple(made), TIERS)


@st.composite
def plain_cases(draw: st.DrawFn, now: int = NOW) -> Case:
    """A request for whole and half coins with nothing special about it."""
    asked = draw(cases(now))
    units = draw(st.sampled_from([1, 2, 3, 4, 5, 7]))
    amount = Quantity(units * 5 * 10 ** (asked.booking.amount.decimals - 1), asked.booking.amount.decimals)
    shown = {name: Evidence(True, now) for name in EVIDENCE}
    return replace(asked, booking=replace(asked.booking, amount=amount), further=(), evidence=shown)


def any_use() -> st.SearchStrategy[Used]:
    """Sums that are used already: by place, and always the same for one place."""
    used = st.sampled_from([0, 0, 1, 2, 4, 500, 1000, 2000, 3500])
    return st.lists(used, min_size=7, max_size=7).map(_by_place)


def _by_place(units: list[int]) -> Used:
    return lambda place: Quantity(units[sum(map(ord, "".join(place))) % len(units)], 0)
