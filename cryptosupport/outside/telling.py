"""Who is told of changes (`[hooks]` of desk.toml): a program by its standard input, an address by a signed POST.

A program has taken it when it ends with exit code 0, an address when it answers with HTTP 2xx. Whatever else happens,
it has not; nothing of what is said then is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cryptosupport.domain.errors import BadSettings
from cryptosupport.outside.asking import Address, Asked, Asking, Program
from cryptosupport.transport.hooks import SignedNode

if TYPE_CHECKING:
    from cryptosupport.domain.ports import Clock
    from cryptosupport.settings import EventHook

SHORTEST_KEY = 16
"""Characters of the secret that signs: a shorter one can be found by trying."""
_LONGEST_REASON = 200


class Told:
    """Somebody who is told; fits the port `Receiver`. ``header`` and ``key`` are what those of ``hook`` refer to.

    Raises `BadSettings` for a URL or a secret that cannot be used.
    """

    def __init__(self, hook: EventHook, header: str | None, key: str | None, clock: Clock) -> None:
        self._asked: Asked
        if hook.command is not None:
            self._asked, self._end = Program(hook.command, clock), b"\n"
        else:
            if key is None or len(key) < SHORTEST_KEY:
                raise BadSettings(
                    f"the secret that signs what an address is told needs at least {SHORTEST_KEY} characters: make one "
                    "with `openssl rand -hex 32`"
                )
            signing = key.encode()
            self._asked, self._end = Address(lambda: SignedNode(hook, header, signing, clock)), b""
        self._asking = Asking(self._asked, hook.timeout_ms / 1000, clock)

    @property
    def longest(self) -> float:
        """The seconds after which `tell` has returned."""
        return self._asking.longest

    def tell(self, bodies: Mapping[int, bytes]) -> dict[int, str | None]:
        """Tell all of them at the same time; of each None where it was taken, else why not, as people may read it."""
        written = {number: body + self._end for number, body in bodies.items()}
        return self._asking.all(written, lambda _: None, self._why)

    def _why(self, why: str) -> str | None:
        return self._asked.legible(f"{self._asked.name}: {why}", _LONGEST_REASON)

    def close(self) -> None:
        """Let go of what was opened."""
        self._asked.close()
