"""The keys that personal data is sealed with: AES-256-GCM (NIST SP 800-38D), under keys of the keyring.

The keyring holds one or more keys of 64 hexadecimal digits with a blank between, the newest first. The id of a key is
the start of a SHA-256 of it. A sealed text is ``box1:KEYID:`` and the base64 of a nonce of 96 random bits, the
ciphertext and the tag; where it belongs, and its key's id, are associated data. Random nonces are safe for 2**32 texts
under one key (section 8.3): rotate long before that.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Callable
from typing import NoReturn

from cryptosupport.domain.errors import BadSettings, Tampered
from cryptosupport.domain.personal import BOX, KEY_ID, SUBJECT, NoBox, missing

_KEY = re.compile(r"[0-9a-fA-F]{64}")
_TOKEN = re.compile(r"box1:([0-9a-f]{8}):([A-Za-z0-9+/]+={0,2})")
_SEPARATOR = b"cryptosupport.personal-data/1\n"
_NONCE, _TAG = 12, 16


def key_id(key: bytes) -> str:
    """The id of a key, which tells nothing about it.

    >>> key_id(bytes(32))
    'e9435a2f'
    """
    return hashlib.sha256(_SEPARATOR + key).hexdigest()[:KEY_ID]


class Box:
    """Seals with any of ``keys``, each of 32 bytes, the newest first (`domain.personal.Box`)."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._keys = {key_id(key): AESGCM(key) for key in keys}

    def key_ids(self) -> tuple[str, ...]:
        """The ids of the keys, the newest first."""
        return tuple(self._keys)

    def seal(self, plain: bytes, place: str, key_id: str) -> str:
        """The sealed text. Raises `BadSettings` when there is no such key."""
        key = self._keys.get(key_id)
        if key is None:
            missing(key_id)
        nonce = os.urandom(_NONCE)
        sealed = nonce + key.encrypt(nonce, plain, _bound(key_id, place))
        return f"{BOX}{key_id}:{base64.b64encode(sealed).decode()}"

    def open(self, token: str, place: str) -> bytes:
        """What was sealed. Raises `BadSettings` when its key is missing, `Tampered` when it was changed or moved."""
        from cryptography.exceptions import InvalidTag

        found = _TOKEN.fullmatch(token)
        if found is None:
            _tampered(place)
        named, text = found.groups()
        key = self._keys.get(named)
        if key is None:
            missing(named)
        try:
            sealed = base64.b64decode(text, validate=True)
            if len(sealed) < _NONCE + _TAG or base64.b64encode(sealed).decode() != text:
                _tampered(place)
            plain: bytes = key.decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(named, place))
        except (InvalidTag, binascii.Error):
            _tampered(place)
        return plain

    def left_in_clear(self) -> None:
        """Nothing is, where there are keys."""


def read_keys(secret: str) -> tuple[bytes, ...]:
    """The keys of the keyring's text. Raises `BadSettings`, which shows nothing of it."""
    parts = secret.split()
    if not parts or not all(map(_KEY.fullmatch, parts)):
        raise BadSettings(
            f"what [privacy] key in desk.toml leads to is no key: 64 hexadecimal digits, or several such with a blank "
            f"between, the newest first; `cryptosupport keys set {SUBJECT} --random` makes one"
        )
    return tuple(dict.fromkeys(map(bytes.fromhex, parts)))


class KeptKeys:
    """The keys as they are kept elsewhere, read when first asked for (`domain.personal.Box` and `Keys`).

    ``read`` gives the keyring's text, None where there is none; ``write`` replaces it. A key that is not known may have
    been made meanwhile, so that they are read again for it. ``warn`` hears that something is kept in clear.
    """

    def __init__(
        self, read: Callable[[], str | None], write: Callable[[str], None], warn: Callable[[], None] = lambda: None
    ) -> None:
        self._read = read
        self._write = write
        self._warn = warn
        self._box: Box | NoBox | None = None

    def key_ids(self) -> tuple[str, ...]:
        """The ids of the keys, the newest first. Raises `BadSettings`."""
        return self._opened().key_ids()

    def seal(self, plain: bytes, place: str, key_id: str) -> str:
        """The sealed text. Raises `BadSettings` when there is no such key."""
        return self._with(key_id).seal(plain, place, key_id)

    def open(self, token: str, place: str) -> bytes:
        """What was sealed. Raises `BadSettings` when its key is missing, `Tampered` when it was changed or moved."""
        found = _TOKEN.fullmatch(token)
        box = self._opened() if found is None else self._with(found[1])
        return box.open(token, place)

    def left_in_clear(self) -> None:
        """Tell somebody."""
        self._warn()

    def make(self) -> str:
        """Put a new key in front of the others; return its id. Raises `BadSettings`."""
        made = os.urandom(32)
        self._replace((made, *self._kept()))
        return key_id(made)

    def forget(self, kept: str) -> None:
        """Lose all keys but the one with the id ``kept``. Raises `BadSettings`."""
        keys = tuple(key for key in self._kept() if key_id(key) == kept)
        if not keys:
            missing(kept)
        self._replace(keys)

    def _with(self, key_id: str) -> Box | NoBox:
        box = self._opened()
        if key_id not in box.key_ids():
            self._box = None
            box = self._opened()
        return box

    def _opened(self) -> Box | NoBox:
        if self._box is None:
            keys = self._kept()
            self._box = Box(keys) if keys else NoBox()
        return self._box

    def _kept(self) -> tuple[bytes, ...]:
        secret = self._read()
        return () if secret is None else read_keys(secret)

    def _replace(self, keys: tuple[bytes, ...]) -> None:
        self._write(" ".join(key.hex() for key in keys))
        self._box = None
        if self._kept() != keys:
            raise BadSettings("the keyring did not keep the keys of personal data; nothing was sealed")


def _bound(key_id: str, place: str) -> bytes:
    return b"\n".join((_SEPARATOR.rstrip(), key_id.encode(), place.encode()))


def _tampered(place: str) -> NoReturn:
    column, _, whose = place.partition("/")
    raise Tampered(
        f"{column} of {whose} was changed in the database behind this program, or moved there from elsewhere: look at "
        "`cryptosupport audit log` and find out who did it, or put it back from a backup",
        place=place,
    )
