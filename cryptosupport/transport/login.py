"""User and password of an endpoint: from its settings, from its URL, or from bitcoind's cookie file."""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path

from cryptosupport.domain.errors import BadSettings


class CookieUnreadable(Exception):
    """The cookie file cannot be used; the text says why."""


class Login:
    """What goes into the header Authorization. ``secrets`` are the texts that nobody should read."""

    refused = "refuses the user and password"
    missing = "wants a user and password, or a key in the url"

    def __init__(self, user: str, password: str, cookie_file: str | None) -> None:
        self.secrets: frozenset[str] = frozenset()
        self._cookie_file = None if cookie_file is None else Path(cookie_file).expanduser()
        self._header: bytes | None = None
        if self._cookie_file is None and (user or password):
            self._keep(user, password)

    def header(self) -> bytes | None:
        """The header's value, or None for none. Raises `CookieUnreadable`."""
        if self._header is None and self._cookie_file is not None:
            self._read(self._cookie_file)
        return self._header

    def differs_by_now(self, refused: bytes | None) -> bool:
        """Read the cookie file again, since the node writes a new one when it starts. Raises `CookieUnreadable`."""
        if self._cookie_file is not None:
            self._read(self._cookie_file)
        return self._header != refused

    def _read(self, path: Path) -> None:
        try:
            with path.open(encoding="utf-8") as file:
                user, colon, password = file.read(4096).strip().partition(":")
        except UnicodeDecodeError:
            colon = ""
        except OSError as error:
            hint = "is the node running, and may this user read it?"
            raise CookieUnreadable(f"cannot read the cookie file {path} ({error.strerror}): {hint}") from None
        if not colon:
            raise CookieUnreadable(f"{path} is not a cookie file: it does not hold USER:PASSWORD")
        self._keep(user, password)

    def _keep(self, user: str, password: str) -> None:
        pair = b64encode(f"{user}:{password}".encode()).decode()
        self.secrets = frozenset({password, pair} - {""})
        self._header = f"Basic {pair}".encode()


class Token(Login):
    """A header that is sent as it is, such as "Bearer ...". Raises `BadSettings`, which does not show it."""

    refused = "refuses the header"
    missing = "wants a header, or a key in the url"

    def __init__(self, header: str) -> None:
        super().__init__("", "", None)
        if not header.isascii() or not header.isprintable() or header != header.strip() or not header:
            raise BadSettings("the secret for a header has to be one line of printable ASCII, without blanks around it")
        self._header = header.encode()
        self.secrets = frozenset({header, header.rpartition(" ")[2], *_inside(header)})


def _inside(header: str) -> list[str]:
    """The user and password that "Basic ..." holds."""
    scheme, _, pair = header.partition(" ")
    if scheme.lower() != "basic":
        return []
    try:
        text = b64decode(pair, validate=True).decode()
    except ValueError:
        return []
    return [part for part in (text, text.partition(":")[2]) if part]
