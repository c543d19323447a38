"""The part of `doctor` that looks at withdrawals: policy, intake, prices, ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptosupport.desk.diagnose_guards import Guarded, examine_guards
from cryptosupport.desk.verdicts import Outcome, Verdict, bad_settings, ok, unreachable, warn
from cryptosupport.domain.errors import BadSettings, Refused, SupportError, Unreachable
from cryptosupport.domain.personal import SUBJECT
from cryptosupport.domain.policy.lint import Remark
from cryptosupport.domain.policy.periods import duration
from cryptosupport.domain.policy.rules import Policy
from cryptosupport.domain.prices import NoPrice, Pricing

_STANDS_STILL = 1000
"""The clock may be behind the last decision by so many milliseconds."""

_SEE = "see the message; `cryptosupport ledger status` says more"
"""What to do differs from fault to fault, and each says it itself."""


@dataclass(frozen=True, slots=True)
class Withdrawing:
    """What is examined; each is read when its turn comes and may raise `BadSettings`.

    ``policy`` is None without policy.toml. ``intake`` reads the keys that sign requests. ``prices`` are those of all
    assets, with what is wrong with their files; ``ledger`` the record of `ledger status`. ``last_decision`` is when the
    ledger's last decision was made, and ``now`` the time, both in milliseconds since 1970. ``personal`` are the
    key that personal data is sealed with (None: it is in clear) and the keys that there are, by their ids. ``freezes``
    are those that count, each in words, and what to warn of beside. ``guarded`` is what else stands beside the policy;
    ``hear`` is told what goes wrong with the policy, which may be an attack.
    """

    policy: Callable[[], Policy | None]
    remarks: Callable[[Policy], Sequence[Remark]]
    intake: Callable[[], object]
    prices: Callable[[], tuple[Sequence[Pricing], Sequence[str]]]
    min_sources: Callable[[], int]
    ledger: Callable[[], Mapping[str, Any]]
    last_decision: Callable[[], int | None]
    now: Callable[[], int]
    personal: Callable[[], tuple[str | None, tuple[str, ...]]] | None = None
    freezes: Callable[[], tuple[Sequence[str], Sequence[str]]] | None = None
    guarded: Guarded | None = None
    hear: Callable[[SupportError], None] = lambda error: None


def examine(withdrawing: Withdrawing) -> Iterator[Verdict]:
    """A verdict on each part, whatever the others say. Without a policy nothing else is asked: nothing is paid here."""
    try:
        policy = withdrawing.policy()
    except (BadSettings, Refused) as error:
        withdrawing.hear(error)
        yield bad_settings("policy.toml", error.message, "correct the file; `cryptosupport policy check` says more")
        return
    if policy is None:
        yield ok("policy.toml", "there is none: every withdrawal is denied")
        return
    yield from _policy(policy, withdrawing.remarks)
    try:
        withdrawing.intake()
    except BadSettings as error:
        yield bad_settings("intake", error.message, "correct [intake] in desk.toml")
    if any(rule.max_value is not None or rule.above_value is not None for rule in policy.rules):
        yield from _prices(withdrawing)
    ledger = _ledger(withdrawing)
    yield ledger
    if ledger.outcome is Outcome.OK:
        if withdrawing.personal is not None:
            yield _personal(withdrawing.personal)
        if withdrawing.guarded is not None:
            yield from examine_guards(withdrawing.guarded)
        if withdrawing.freezes is not None:
            yield from _freezes(withdrawing.freezes)


def _policy(policy: Policy, remarks: Callable[[Policy], Sequence[Remark]]) -> Iterator[Verdict]:
    said = f"{len(policy.rules)} rules, hash {policy.hash[:16]}"
    try:
        found = remarks(policy)
    except BadSettings as error:  # told of its own file; a doctor goes on
        yield bad_settings("policy.toml", f"it meets settings that cannot be used: {error.message}", "correct those")
        return
    for remark in found:
        about = f"rule {remark.rule}: " if remark.rule else ""
        if remark.level == "error":
            yield bad_settings("policy.toml", f"{about}{remark.message}", "correct the rule")
        else:
            yield warn("policy.toml", f"{about}{remark.message}", "see `cryptosupport policy check`")
    if not found:
        yield ok("policy.toml", said)


def _prices(withdrawing: Withdrawing) -> Iterator[Verdict]:
    """Rules with values hold whatever has no usable price."""
    prices, complaints = withdrawing.prices()
    for complaint in complaints:
        yield warn("prices", complaint, "correct or renew the price file")
    for one in prices:
        if isinstance(one, NoPrice):
            advice = "renew the price files: limits in USD hold what has no price"
            yield warn("prices", f"{one.symbol}: {one.reason}", advice)
    if withdrawing.min_sources() < 2:
        said = "one source of prices is enough for limits in USD"
        yield warn("prices", said, "name two files of different feeds, and set min_sources = 2 in [prices]")
    elif not complaints and not any(isinstance(one, NoPrice) for one in prices):
        yield ok("prices", f"{len(prices)} symbols have a price that counts")


def _ledger(withdrawing: Withdrawing) -> Verdict:
    try:
        status, last_at = withdrawing.ledger(), withdrawing.last_decision()
    except Unreachable as error:
        return unreachable("ledger", error.message, _SEE)
    except BadSettings as error:
        return bad_settings("ledger", error.message, _SEE)
    if status["revision"] is None:
        return ok("ledger", f"{status['url']}: not made yet; the first withdrawal makes it")
    if status["revision"] != status["head"]:
        said = f"{status['url']} is at revision {status['revision']}, this program needs {status['head']}"
        return bad_settings("ledger", said, "run `cryptosupport ledger upgrade`")
    behind = 0 if last_at is None else last_at - withdrawing.now()
    if behind > _STANDS_STILL:
        said = f"the clock is {duration(behind)} behind the last decision ({status['last_decision_at']})"
        return bad_settings("ledger", f"{said}; nothing is decided until it is right", "set it: run an NTP client")
    recorded, last = sum(status["withdrawals"].values()), status["last_decision_at"] or "none"
    return ok("ledger", f"{status['url']}, {recorded} withdrawals, last decision {last}")


def _personal(examined: Callable[[], tuple[str | None, tuple[str, ...]]]) -> Verdict:
    try:
        in_force, held = examined()
    except Unreachable as error:
        return unreachable("personal data", error.message, _SEE)
    except BadSettings as error:
        return bad_settings("personal data", error.message, "see `cryptosupport keys check`")
    if in_force is not None and in_force not in held:
        said = f"it is sealed with the key {in_force}, which the keyring does not hold"
        return bad_settings("personal data", said, f"put it back with `cryptosupport keys set {SUBJECT}`")
    if not held:
        said = "note and beneficiary are kept in clear"
        return warn("personal data", said, f"run `cryptosupport keys set {SUBJECT} --random`")
    return ok("personal data", f"sealed with the key {in_force or held[0]}")


def _freezes(freezes: Callable[[], tuple[Sequence[str], Sequence[str]]]) -> Iterator[Verdict]:
    """A freeze is no fault; nobody should have forgotten it."""
    try:
        counting, overdue = freezes()
    except Unreachable as error:
        yield unreachable("freezes", error.message, _SEE)
        return
    except BadSettings as error:
        yield bad_settings("freezes", error.message, _SEE)
        return
    for told in counting:
        yield warn("freezes", told, "two people lift it: `cryptosupport freeze lift`")
    for told in overdue:
        yield warn("freezes", told, "lift it, or freeze anew with another --expires")
    if not counting and not overdue:
        yield ok("freezes", "nothing is frozen")
