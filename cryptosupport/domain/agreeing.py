"""What several nodes together say of a payout: money is released only when enough operators say the same. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from cryptosupport.domain.payouts import Absent, Mined, Seen, Taken, Unclear


@dataclass(frozen=True, slots=True)
class Voice:
    """What one node says of a payout. ``head`` is the height of its latest block, ``operator`` who runs it."""

    operator: str
    node: str
    head: int
    seen: Seen


Verdict: TypeAlias = tuple[object, ...]


def agree(voices: Sequence[Voice], quorum: int) -> Seen:
    """What to make of ``voices``, of which there is at least one.

    What one calls final is final when ``quorum`` different operators call it so, and no other contradicts it: a node
    that is behind does not, one that has another transaction there does.
    """
    finals = [voice for voice in voices if _verdict(voice.seen) is not None and _is_final(voice.seen)]
    for final in finals:
        for other in voices:
            if other is not final and _contradicts(other, final):
                return Unclear(f"{final.node} says {_words(final.seen)}, {other.node} says {_words(other.seen)}")
    if finals:
        operators = {voice.operator for voice in finals}  # all say the same, or they would contradict each other
        agreed = max((voice.seen for voice in finals), key=_standing)
        return agreed if len(operators) >= quorum else _not_final(agreed)
    return max((_not_final(voice.seen) if quorum > 1 else voice.seen for voice in voices), key=_standing)


def _verdict(seen: Seen) -> Verdict | None:
    """What is claimed for good, once it is final; None for what claims nothing."""
    match seen:
        case Mined():
            return "mined", seen.number, seen.block_hash, seen.ok
        case Taken(by=by) if by is not None:
            return "taken", by
        case _:
            return None


def _is_final(seen: Seen) -> bool:
    return isinstance(seen, Mined | Taken) and seen.final


def _not_final(seen: Seen) -> Seen:
    return replace(seen, final=False) if isinstance(seen, Mined | Taken) else seen


def _contradicts(other: Voice, final: Voice) -> bool:
    verdict = _verdict(other.seen)
    if verdict is not None:
        return verdict != _verdict(final.seen)
    # Its place is unused there, in a chain that has come past the block in which it was used.
    past = isinstance(final.seen, Mined) and other.head >= final.seen.height
    return past and isinstance(other.seen, Absent)


def _standing(seen: Seen) -> tuple[int, int]:
    """How much it settles, for choosing among what several nodes say."""
    match seen:
        case Mined(confirmations=confirmations):
            return 4, -confirmations if seen.final else confirmations
        case Taken(by=by):
            return 3, by is not None
        case Unclear():
            return 2, 0
        case Absent(pooled=pooled):
            return 1, pooled
        case _:
            assert_never(seen)


def _words(seen: Seen) -> str:
    match seen:
        case Mined():
            outcome = "done" if seen.ok else "failed"
            return f"attempt {seen.number} is in block {seen.height} ({seen.block_hash}), {outcome}"
        case Taken(by=by):
            return f"{by or 'something else'} has its place"
        case Unclear(why=why):
            return why
        case Absent():
            return "its place is not used"
        case _:
            assert_never(seen)
