"""desk.toml [hooks.NAME]: who is told of each change of a withdrawal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryptosupport.settings.guards import Hook
from cryptosupport.settings.values import check, milliseconds, nearest, reference

if TYPE_CHECKING:
    from cryptosupport.domain.withdrawals import State

LONGEST = "10s"
"""A pass of `withdraw run` waits for it."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


class EventHook(Hook, frozen=True):
    """Somebody who is told: a program, or an address. ``secret`` refers to what signs what an address is told.

    ``states`` are the states that it is told of; without them all.
    """

    secret: str | None = None
    states: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if milliseconds(self.timeout) > milliseconds(LONGEST):
            raise ValueError(f"timeout: {self.timeout!r}: use at most {LONGEST}, payments wait for it")
        check("secret", reference, self.secret)
        if self.url is not None and self.secret is None:
            raise ValueError(
                'secret: a url needs one, as "keyring:hook-NAME", or anybody could tell it of payments that never were'
            )
        if self.command is not None and self.secret is not None:
            raise ValueError("secret: it goes with a url; a program is run by this desk, and gets no secret from here")
        for name in self.states:
            if name not in (known := {each.value for each in _all_states()}):
                raise ValueError(f"states: {name!r} is no state of a withdrawal{nearest(name, known)}")

    @property
    def wanted(self) -> frozenset[State]:
        """The states that it is told of."""
        return frozenset(each for each in _all_states() if not self.states or each in self.states)


def check_names(hooks: dict[str, EventHook]) -> None:
    """Raise `ValueError` for a name that is none."""
    for name in hooks:
        if not _NAME.fullmatch(name):
            raise ValueError(f"hooks: {name!r} is no name: use up to 40 letters, digits, - and _")


def _all_states() -> type[State]:
    from cryptosupport.domain.withdrawals import State  # a look-up of a transaction does not need it

    return State
