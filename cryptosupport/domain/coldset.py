"""The cold set: where money of the desk may be swept to, because two people signed that these places are its own.

A place is added, changed or removed by a version of the set (`domain.operators.Change`). What is added or changed waits
for its time, from the first version on; what is removed does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from cryptosupport.domain.withdrawals import canonical


@dataclass(frozen=True, slots=True)
class Cold:
    """One cold wallet: its ``address``, or its public ``descriptor``, on one chain."""

    name: str
    chain: str
    address: str | None = None
    descriptor: str | None = None

    @property
    def known_by(self) -> str:
        """What it is known by on its chain."""
        return self.address or self.descriptor or ""


def content_of_cold(colds: Mapping[str, Cold]) -> str:
    """A cold set as the content of a change."""
    return canonical({name: asdict(each) for name, each in colds.items()}).decode()


def cold_of(content: str) -> dict[str, Cold]:
    """The cold set of a change. Raises `ValueError` for a content that is none."""
    try:
        return {name: Cold(**each) for name, each in json.loads(content).items()}
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError("this is no cold set") from error


def loosened_cold(before: Mapping[str, Cold], after: Mapping[str, Cold]) -> tuple[str, ...]:
    """Where money may go that it could not go to before."""
    return tuple(
        f"{name} on {each.chain} becomes a place for sweeps: {each.known_by}"
        for name, each in after.items()
        if before.get(name) != each
    )


def differences(before: Mapping[str, Cold], after: Mapping[str, Cold]) -> tuple[str, ...]:
    """All that differs, a line each."""
    gone = (f"- {name} on {each.chain}: {each.known_by}" for name, each in before.items() if after.get(name) != each)
    come = (f"+ {name} on {each.chain}: {each.known_by}" for name, each in after.items() if before.get(name) != each)
    return (*gone, *come)
