"""Keep keys out of what people read: messages, reprs and logs. Text from a node is also made printable, on one line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, parse_qsl, unquote

_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,15})://([^\s'\"<>`|\\^{}]+)")
_USER_INFO = re.compile(r"[^\s/@'\"<>()]{1,256}:[^\s/@'\"<>()]{1,256}@")
_PLAIN_SEGMENT = re.compile(
    r"(?i)(?:v[0-9]{1,2}|api|rpc|jsonrpc|json-rpc|http|https|public|wallet|mainnet|testnet[34]?|signet|regtest|sepolia|bitcoin|btc"
    r"|ethereum|eth|bsc|bnb|polygon|arbitrum|optimism|base|xlayer|okt|oktc|exchain|ext|bc|c|tx|txs|block|blocks|address|fee|mempool"
    r"|status|tip|height|main|one|[0-9]{1,6}|)"
)
"""Path segments that are words, not keys; every other one is hidden."""

LONGEST = 8_000
"""Characters of a text that are looked at."""


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """Hide ``secrets``, and in every URL the user and password, the query, and what may be a key in the path.

    >>> mask("GET https://user:pw@node.example/v2/8f3kd02k?key=1 failed", ["hunter2"])
    'GET https://node.example/v2/… failed'
    """
    for secret in sorted(set(secrets), key=len, reverse=True):
        if secret and secret in text:
            text = _hide(text, secret)
    if "://" in text:
        text = _URL.sub(lambda found: f"{found[1]}://{_bare(found[2])}", text)
    return _USER_INFO.sub("…@", text) if "@" in text else text


def legible(text: str, secrets: Iterable[str], limit: int) -> str:
    """``text`` as it may be shown: masked, on one line, without control characters, cut to ``limit`` characters."""
    text = mask(text[:LONGEST], secrets)
    if not text.isprintable():
        text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def secrets_of(url: SplitResult) -> frozenset[str]:
    """What nobody should read of an endpoint's ``url``: its password, query, and path segments that may be keys."""
    # A user without a password is a key.
    parts = {url.query, url.fragment, url.password or url.username or ""}
    for name, value in parse_qsl(url.query):
        parts.add(value or name)
    parts.update(part for part in url.path.split("/") if not _PLAIN_SEGMENT.fullmatch(part))
    return frozenset(form for part in parts for form in (part, unquote(part)) if form)


def _hide(text: str, secret: str) -> str:
    """Replace a long secret everywhere, a short one only where it stands alone, so that words stay whole."""
    if len(secret) >= 8:
        return text.replace(secret, "…")
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", "…", text)


def _bare(rest: str) -> str:
    """A URL after its scheme, without user, query, fragment, and path segments that may be keys."""
    ending = rest[len(rest.rstrip(".,;:!)")) :]
    authority, *after = re.split(r"[/?#]", rest[: len(rest) - len(ending)], maxsplit=1)
    if after and "@" in after[0]:  # a password with such letters: who knows where the host begins
        return f"…{ending}"
    path = rest[len(authority) : len(rest) - len(ending)].partition("?")[0].partition("#")[0]
    shown = "/".join(part if _PLAIN_SEGMENT.fullmatch(part) else "…" for part in path.split("/"))
    return authority.rpartition("@")[2] + shown + ending
