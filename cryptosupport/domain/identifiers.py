"""What somebody pasted: a transaction id, a link to one, or something that only looks like it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from cryptosupport.domain.errors import NotATxid

LONGEST = 2048
"""Characters of one line that are looked at; nothing that holds an id is longer."""

_TXID = re.compile(r"(?:0x)?[0-9a-f]{64}", re.ASCII)
_IN_URL = re.compile(r"(?<![0-9a-zA-Z])(?:0x)?[0-9a-fA-F]{64}(?![0-9a-zA-Z])", re.ASCII)
_HEX = re.compile(r"(?:0x)?[0-9a-f]+", re.ASCII)
_BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]+", re.ASCII)
# Bitcoin's WIF and BIP 32, and the lengths of a BIP 39 phrase: who pastes one of these is about to lose the coins.
_PRIVATE_KEY = re.compile(
    r"(?<![0-9a-zA-Z])(?:[5KLc9][1-9A-HJ-NP-Za-km-z]{50,51}|[a-zA-Z]prv[1-9A-HJ-NP-Za-km-z]{100,112})(?![0-9a-zA-Z])"
)
_PHRASE_WORDS = frozenset({12, 15, 18, 21, 24})
# Inside a longer text: BIP 39 has words of 3 to 8 letters, none of them one of those that hold sentences together.
_PHRASE_INSIDE = re.compile(
    r"(?<![0-9a-z])(?:(?!(?:the|and|that|with|from|this|they|was|were|has|have|had|not|but|are|for|which|there|their)\b)"
    r"[a-z]{3,8}(?:[\s_-]+(?:[0-9]{1,2}[.):]?\s*)?|(?![0-9a-z]))){12,24}",
    re.ASCII | re.IGNORECASE,
)
_BETWEEN_WORDS = re.compile("[,;\"'\u3001\uff0c]")
_CUT = re.compile(r"…|\.\.+|\*\*+")
# Spaces, quotes and brackets around an id; zero-width and direction characters anywhere in it.
_AROUND = " \t\r\n\v\f\u00a0\u3000\"'`<>()[]{},;\u3002\uff0c"
_INVISIBLE = dict.fromkeys([*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF, 0x00AD])


@dataclass(frozen=True, slots=True)
class Explorer:
    """Where a chain's transactions are shown: a host, and the start of its paths when networks share the host."""

    chain: str
    host: str
    path: str


class Pasted(NamedTuple):
    """A transaction id as somebody gave it: lower case hex, with 0x where it was there. ``chain`` comes from a
    link's host.
    """

    text: str
    chain: str | None = None


def explorer(chain: str, template: str | None, hosts: Iterable[str] = ()) -> list[Explorer]:
    """The explorers of a chain, from the template of its settings and further hosts ("mempool.space/testnet4")."""
    places = [] if template is None else [template.partition("{txid}")[0]]
    places += [f"https://{host}/" for host in hosts]
    split = [urlsplit(place) for place in places]
    return [Explorer(chain, _host(part.netloc), part.path) for part in split if part.netloc]


def parse_txid(text: str, explorers: Iterable[Explorer] = ()) -> Pasted:
    """Read a pasted transaction id or explorer link.

    Raises `NotATxid` that says what the text is instead: an address, a cut id, a number of digits that does not fit.

    >>> parse_txid(" 0xAB" + "0" * 62 + " ").text[:6]
    '0xab00'
    """
    if len(text) == 64 or len(text) == 66:  # nearly always clean already
        lowered = text.lower()
        if _TXID.fullmatch(lowered):
            return Pasted(lowered)
    return _parse_unclean(text, tuple(explorers))


def cleaned(text: str) -> str:
    """``text`` without what copying puts around it (spaces, quotes, brackets) or into it (invisible characters)."""
    return text.translate(_INVISIBLE).strip(_AROUND)


def is_secret(text: str) -> bool:
    """Whether ``text`` holds a private key or is a recovery phrase: such a text is shown nowhere.

    A key of 64 hex digits cannot be told from a transaction id, and is none here.

    >>> is_secret("abandon " * 11 + "about")
    True
    """
    text = cleaned(text[:LONGEST])
    if any(not _HEX.fullmatch(found.lower()) for found in _PRIVATE_KEY.findall(text)):
        return True
    words = _BETWEEN_WORDS.sub(" ", text).split()
    return len(words) in _PHRASE_WORDS and all(word.isalpha() and len(word) <= 8 for word in words)


def without_secrets(text: str) -> str:
    """``text`` with "…" for each private key and recovery phrase in it; a phrase is told by its words, and roughly.

    >>> without_secrets("seed: " + "zoo " * 11 + "wrong, they said")
    'seed: …, they said'
    """
    return _PHRASE_INSIDE.sub("…", _PRIVATE_KEY.sub(_hidden, text))


def _hidden(found: re.Match[str]) -> str:
    return found[0] if _HEX.fullmatch(found[0].lower()) else "…"


def about_secret(wanted: str) -> str:
    """What to say to somebody who pasted a secret where ``wanted`` ("an address") was asked for."""
    return (
        f"this looks like a private key or a recovery phrase, not {wanted}: never paste it anywhere. Whoever has seen "
        "it can take the coins, so move them to a new wallet"
    )


def is_cut(text: str) -> bool:
    """Whether the middle of ``text`` was left out: `0x12…ab`, `0x12...ab`, `0x12**ab`."""
    return _CUT.search(text) is not None


def _parse_unclean(text: str, explorers: tuple[Explorer, ...]) -> Pasted:
    if len(text) > LONGEST:
        raise NotATxid(f"this line of {len(text)} characters is no transaction id")
    cleaned = text.translate(_INVISIBLE).strip(_AROUND)
    if not cleaned:
        raise NotATxid("nothing was given: paste a transaction id")
    if is_secret(cleaned):
        raise NotATxid(about_secret("a transaction id"), input=shortened(cleaned))
    if "/" in cleaned:
        return _from_url(cleaned, explorers)
    lowered = cleaned.lower()
    if _TXID.fullmatch(lowered):
        return Pasted(lowered)
    raise NotATxid(_explain(cleaned, lowered), input=shortened(cleaned))


def _from_url(text: str, explorers: tuple[Explorer, ...]) -> Pasted:
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
    except ValueError as error:
        raise NotATxid(f"{shortened(text)} is not a link that can be read", input=shortened(text)) from error
    found = _IN_URL.findall(parts.path) or _IN_URL.findall(f"{parts.query}#{parts.fragment}")
    if not found and "address" in parts.path:
        raise NotATxid("this link leads to an address, not to a transaction", input=shortened(text))
    if not found:
        raise NotATxid("this link holds no transaction id: paste the id itself", input=shortened(text))
    host = _host(parts.netloc)
    fitting = [one for one in explorers if one.host == host and parts.path.startswith(one.path)]
    longest = max(fitting, key=lambda one: len(one.path), default=None)
    chains = {one.chain for one in explorers if one.host == host} if longest is None else {longest.chain}
    return Pasted(found[-1].lower(), chains.pop() if len(chains) == 1 else None)


def _host(netloc: str) -> str:
    return netloc.rpartition("@")[2].partition(":")[0].lower().removeprefix("www.")


@lru_cache(maxsize=1024)
def _explain(text: str, lowered: str) -> str:
    """Say what a text is that is no transaction id."""
    if _CUT.search(text):
        return f"{shortened(text)} is cut short: the middle of the id is missing, so ask for the whole id"
    if re.fullmatch(r"0x[0-9a-f]{40}", lowered):
        return f"{text} is an address, not a transaction id: see `cryptosupport address check {text}`"
    if _looks_like_address(text, lowered):
        return f"{text} looks like an address, not a transaction id: see `cryptosupport address check {text}`"
    if _BASE58.fullmatch(text) and 80 <= len(text) <= 90:
        return f"{shortened(text)} has the form of a Solana signature; no configured chain has such ids"
    if re.fullmatch(r"[0-9]+(-[0-9]+)?", text) and len(text) < 40:
        return f"{text} is a block height or an index, not a transaction id"
    if _HEX.fullmatch(lowered):
        digits = len(lowered.removeprefix("0x"))
        return (
            f"{shortened(text)} has {digits} hex digits and a transaction id has 64: it was cut or has extra characters"
        )
    return f"{shortened(text)} is not a transaction id: one has 64 hex digits, after 0x on EVM chains"


def _looks_like_address(text: str, lowered: str) -> bool:
    if re.fullmatch(r"(bc|tb|bcrt)1[0-9a-z]{6,87}", lowered):
        return True
    return _BASE58.fullmatch(text) is not None and 25 <= len(text) <= 50 and not _HEX.fullmatch(lowered)


def shortened(text: str) -> str:
    """At most 80 printable characters of a text that somebody else wrote; of a secret nothing: "…"."""
    if is_secret(text):
        return "…"
    text = without_secrets(text[:LONGEST])
    clean = "".join(character if character.isprintable() else "?" for character in text)
    return clean if len(clean) <= 80 else f"{clean[:60]}…{clean[-12:]}"
