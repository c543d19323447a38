"""The part of `doctor` that looks at hooks: do they take what they are told?"""

from __future__ import annotations

from collections.abc import Mapping

from cryptosupport.desk.verdicts import Verdict, bad_settings, ok
from cryptosupport.domain.events import Standing
from cryptosupport.domain.policy.periods import duration

OVERDUE = 3_600_000
"""What was not taken for so many milliseconds is overdue."""


def examine_hooks(standings: Mapping[str, Standing], now: int) -> list[Verdict]:
    """A verdict on each hook at ``now`` (milliseconds since 1970)."""
    return [_examine(f"hook {name}", standing, now) for name, standing in standings.items()]


def _examine(name: str, standing: Standing, now: int) -> Verdict:
    if standing.since is None:
        return ok(name, "it has taken all that it was told")
    said = f"{standing.due} changes are due to it, the first one for {duration(max(now - standing.since, 0))}"
    if now - standing.since > OVERDUE:
        return bad_settings(name, said, "see what `cryptosupport withdraw run` says of it, and mend the receiver")
    return ok(name, said)
