"""Words that strangers wrote: contracts put anything into a revert reason, and nodes into an error."""

from __future__ import annotations

LONGEST = 200

# Characters that Unicode calls printable and that show nothing: fillers and variation selectors.
_UNSEEN = frozenset(map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10))))


def plain(text: str, longest: int = LONGEST) -> str:
    """At most ``longest`` visible characters of ``text`` on one line.

    Controls (terminal escapes too), characters that change the direction of writing and those of no width are left out;
    what separates lines becomes a space.

    >>> plain("no\\x1b[31m\\nmoney\\u202e")
    'no[31m money'
    """
    read = text[: 4 * longest]
    if not (read.isascii() and read.isprintable()):
        read = "".join(c if c.isprintable() and c not in _UNSEEN else " " if c.isspace() else "" for c in read)
    read = " ".join(read.split())
    return read if len(read) <= longest and len(text) <= 4 * longest else read[: longest - 1] + "…"
