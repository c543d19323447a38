"""Personal data: note and beneficiary of a request, the signed bytes that repeat both, and what is written about it.

**How it is kept.** Where there is a key, every such text is sealed, each on its own, as ``box1:KEYID:BASE64``. Without
a key it is kept in clear. A text in clear that could be taken for a sealed one begins with U+0001, which no text that
comes in may hold.

**Which key.** The audit log says which key is in force: a run seals with that one or with none, so that a key that is
no longer in force is never needed for anything new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, NoReturn, Protocol, TypeVar

from cryptosupport.domain.errors import BadSettings

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

BOX = "box1:"
"""What every sealed text begins with; the id of its key follows, and a colon."""

KEY_ID = 8
"""How many hexadecimal digits the id of a key has."""

CLEAR = "\x01"
"""What a text in clear begins with when it could be taken for a sealed one."""

MASK = "•••"
"""What is shown of personal data that is not revealed."""

SUBJECT = "personal-data"
"""What the audit log calls all of it together."""

ENABLED, ROTATING, ROTATED = "privacy.enabled", "privacy.rotating", "privacy.rotated"
FORGOTTEN, REVEALED = "privacy.forgotten", "privacy.revealed"
"""The acts: the first key, a new one, all is under the new one, old ones are gone, somebody saw personal data."""


class Box(Protocol):
    """Seals and opens. A ``place`` names what is sealed and whose it is; what is moved elsewhere does not open."""

    def key_ids(self) -> tuple[str, ...]:
        """The ids of the keys that there are, the newest first; none where personal data is to be kept in clear."""

    def seal(self, plain: bytes, place: str, key_id: str) -> str:
        """The sealed text. Raises `BadSettings` when there is no such key."""

    def open(self, token: str, place: str) -> bytes:
        """What was sealed. Raises `BadSettings` when its key is missing, `Tampered` when it was changed or moved."""

    def left_in_clear(self) -> None:
        """Hear that something is kept in clear."""


class NoBox:
    """Keeps everything in clear."""

    def key_ids(self) -> tuple[str, ...]:
        """None."""
        return ()

    def seal(self, plain: bytes, place: str, key_id: str) -> str:
        """Raises `BadSettings`."""
        missing(key_id)

    def open(self, token: str, place: str) -> bytes:
        """Raises `BadSettings`."""
        missing(key_of(token) or "?")

    def left_in_clear(self) -> None:
        """Nobody minds."""


class Keys(Protocol):
    """The keys that seal personal data, where they are kept."""

    def key_ids(self) -> tuple[str, ...]:
        """The ids of the keys, the newest first."""

    def make(self) -> str:
        """Put a new key in front of the others; return its id. Raises `BadSettings`."""

    def forget(self, kept: str) -> None:
        """Lose all keys but the one with the id ``kept``. Raises `BadSettings`."""


@dataclass(frozen=True, slots=True)
class Sealed(Generic[T_co]):
    """Something personal as the ledger has it; nobody has looked inside yet. ``read`` makes of the text what it is."""

    token: str = field(repr=False)
    place: str
    box: Box = field(repr=False, compare=False)
    read: Callable[[bytes], T_co] = field(repr=False, compare=False)

    def open(self) -> T_co:
        """What is inside. Raises `BadSettings` when its key is missing, `Tampered` when it was changed or moved."""
        return self.read(self.box.open(self.token, self.place))


def opened(value: T | Sealed[T]) -> T:
    """Something personal in clear, sealed or not. Raises as `Sealed.open` does."""
    return value.open() if isinstance(value, Sealed) else value


def masked(value: object) -> str | None:
    """What is shown of it: nothing of nothing.

    >>> masked("urgent"), masked(None)
    ('•••', None)
    """
    return None if value is None else MASK


def in_clear(text: str) -> str:
    """A text as it is kept in clear.

    >>> in_clear("urgent"), in_clear("box1:urgent")
    ('urgent', '\\x01box1:urgent')
    """
    return CLEAR + text if text.startswith((BOX, CLEAR)) else text


def key_of(kept: str) -> str | None:
    """The id of the key that a text is kept under; None for one in clear.

    >>> key_of("box1:0a1b2c3d:AAAA"), key_of("urgent")
    ('0a1b2c3d', None)
    """
    return kept[len(BOX) : len(BOX) + KEY_ID] if kept.startswith(BOX) else None


def place(column: str, *whose: object) -> str:
    """Where something personal belongs.

    >>> place("note.text", "w-1", 2)
    'note.text/2/w-1'
    """
    request_id, *rest = map(str, whose)
    return "/".join([column, *rest, request_id])  # the request id last: it may hold a stroke


def missing(key_id: str) -> NoReturn:
    """Raise `BadSettings`: there is no key with this id."""
    raise BadSettings(
        f"personal data in the ledger is sealed with the key {key_id}, and [privacy] key in desk.toml leads to no such "
        f"key: put it back with `cryptosupport keys set {SUBJECT}`, all keys in one line, the newest first",
        key=key_id,
    )
