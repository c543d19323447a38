"""User and password of an endpoint: from its settings, from its URL, or from bitcoind's cookie file."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path


class CookieUnreadable(Exception):
    """The cookie file cannot be used; the text says why."""


class Login:
    """What goes into the header Authorization. ``secrets`` are the texts that nobody should read."""

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
