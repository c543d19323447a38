"""Reading RLP, and nothing but its one right encoding.

Source: the Ethereum yellow paper, appendix B, and the tests "RLPTests" of github.com/ethereum/tests.
"""

from __future__ import annotations

from typing import TypeAlias

Item: TypeAlias = "bytes | list[Item]"

_DEEPEST = 8
_SHORT = 55  # bytes that need no length of their length


def read(raw: bytes) -> Item:
    """The one item that ``raw`` is the encoding of: bytes, or a list of items.

    Raises `ValueError` for what is cut short, goes on after its end, or could be written shorter.

    >>> read(bytes.fromhex("c483636174"))
    [b'cat']
    """
    item, end = _item(raw, 0, len(raw), 0)
    if end != len(raw):
        raise ValueError("bytes follow the item")
    return item


def number(item: Item, limit: int) -> int:
    """A number below ``limit``, as it stands in RLP: big-endian without leading zeros. Raises `ValueError`."""
    if not isinstance(item, bytes) or item[:1] == b"\0":
        raise ValueError("a list, or leading zeros, where a number has to be")
    value = int.from_bytes(item, "big")
    if value >= limit:
        raise ValueError(f"the number {value if value < 1 << 256 else 'of more than 32 bytes'} is too large")
    return value


def _item(raw: bytes, at: int, end: int, depth: int) -> tuple[Item, int]:
    """The item at ``at``, and where it ends, which is ``end`` at most."""
    if at >= end:
        raise ValueError("cut short")
    first = raw[at]
    if first < 0x80:
        return raw[at : at + 1], at + 1
    is_list = first >= 0xC0
    start, size = _length(raw, at, end, first - (0xC0 if is_list else 0x80))
    stop = start + size
    if stop > end:
        raise ValueError("cut short")
    if is_list:
        return _list(raw, start, stop, depth + 1), stop
    if size == 1 and raw[start] < 0x80:
        raise ValueError("a single byte with a length before it")
    return raw[start:stop], stop


def _list(raw: bytes, at: int, stop: int, depth: int) -> list[Item]:
    if depth > _DEEPEST:
        raise ValueError("lists within lists within lists")
    items: list[Item] = []
    while at < stop:
        item, at = _item(raw, at, stop, depth)
        items.append(item)
    return items


def _length(raw: bytes, at: int, end: int, short: int) -> tuple[int, int]:
    """Where the payload starts, and its length: ``short`` itself, or written in so many bytes more than `_SHORT`."""
    if short <= _SHORT:
        return at + 1, short
    start = at + 1 + short - _SHORT
    written = raw[at + 1 : start]
    if start > end or written[0] == 0:
        raise ValueError("a length that is cut short, or has leading zeros")
    size = int.from_bytes(written, "big")
    if size <= _SHORT:
        raise ValueError("a length that could be written shorter")
    return start, size
