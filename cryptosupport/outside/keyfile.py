"""A keyring for machines without a desktop: all secrets in one sealed file.

    PYTHON_KEYRING_BACKEND=cryptosupport.outside.keyfile.Keyring     (not needed: keyring finds it by itself)
    CRYPTOSUPPORT_KEYRING_PASSPHRASE_FILE=/etc/cryptosupport/passphrase
    CRYPTOSUPPORT_KEYRING_FILE=~/.local/share/cryptosupport/keyring  (the default)

The file is JSON. `scrypt` (RFC 7914) makes a key of the passphrase; AES-256-GCM (NIST SP 800-38D) seals all entries as
one text, with the rest of the header, as JSON without blanks, as associated data. So names are as secret as values, and
no entry can be taken out or swapped; only an older copy of the whole file cannot be told from the newest.

A writer holds a lock file from reading to renaming. Whoever reads needs none: the name leads to the old file or to the
new one, both whole. A file that cannot be opened is never written over.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Literal, NoReturn, TypeAlias

import msgspec
from keyring.backend import KeyringBackend
from keyring.compat.properties import classproperty
from keyring.errors import InitError, KeyringLocked, PasswordDeleteError, PasswordSetError

from cryptosupport.domain.errors import BadSettings, Locked
from cryptosupport.outside.locks import lock
from cryptosupport.settings.reading import MOST_BYTES, content, open_file

Entries: TypeAlias = dict[str, dict[str, str]]
"""Secrets by service and name."""

PASSPHRASE_FILE = "CRYPTOSUPPORT_KEYRING_PASSPHRASE_FILE"
PASSPHRASE = "CRYPTOSUPPORT_KEYRING_PASSPHRASE"
FILE = "CRYPTOSUPPORT_KEYRING_FILE"

PATIENCE = 30.0
"""Seconds that a writer waits for another one."""

_PRIORITY = 20
"""Above the desktop's (5) and above the chain of all (10): who sets a passphrase means this keyring and no other."""

_MOST_MEMORY = 256 << 20
_LONGEST_PASSPHRASE = 4096
_SALT, _NONCE = 16, 12


class _Scrypt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    salt: bytes
    n: int = 1 << 15
    r: int = 8
    p: int = 1

    def __post_init__(self) -> None:
        """Raise `ValueError` for what is weaker than this program makes it, or eats memory or hours."""
        fair = self.n >= 1 << 15 and self.n & (self.n - 1) == 0 and self.r >= 8 and 1 <= self.p <= 4
        if not fair or 128 * self.n * self.r > _MOST_MEMORY or not _SALT <= len(self.salt) <= 64:
            raise ValueError("its scrypt parameters are out of bounds")


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    format: Literal["cryptosupport.keyring"] = "cryptosupport.keyring"
    version: Literal[1] = 1
    cipher: Literal["AES-256-GCM"] = "AES-256-GCM"
    scrypt: _Scrypt


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    header: _Header
    nonce: bytes
    sealed: bytes


class _Version(msgspec.Struct, frozen=True):
    version: int


class _OfVersion(msgspec.Struct, frozen=True):
    """What files of every version have, also of those to come."""

    header: _Version


class Keyring(KeyringBackend):
    """The keyring in a sealed file. Every fault is a `keyring.errors.KeyringError` that shows no secret."""

    @classproperty
    def priority(cls) -> float:
        """Before all others where a passphrase is configured. Raises `RuntimeError` where none is."""
        if not os.environ.get(PASSPHRASE_FILE) and not os.environ.get(PASSPHRASE):
            raise RuntimeError(f"no passphrase is configured: set ${PASSPHRASE_FILE} or ${PASSPHRASE}")
        return _PRIORITY

    def get_password(self, service: str, username: str) -> str | None:
        """The secret, None where there is none. Raises `KeyringLocked`, `InitError`."""
        return _read(_path(), _passphrase())[1].get(service, {}).get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a secret in place of any earlier one. Raises `PasswordSetError`, `KeyringLocked`, `InitError`."""

        def put(entries: Entries) -> None:
            entries.setdefault(service, {})[username] = password

        _change(put, PasswordSetError)

    def delete_password(self, service: str, username: str) -> None:
        """Forget a secret. Raises `PasswordDeleteError`, also where there is none, `KeyringLocked`, `InitError`."""

        def drop(entries: Entries) -> None:
            if entries.get(service, {}).pop(username, None) is None:
                raise PasswordDeleteError(f"{_path()} holds no secret of that name")
            if not entries[service]:
                del entries[service]

        _change(drop, PasswordDeleteError)


# -- what is configured ----------------------------------------------------------------------------------------------


def _path() -> Path:
    """The file. Raises `InitError` for a user without a home who names none, and for a name that is not absolute."""
    named = os.environ.get(FILE)
    try:
        path = Path(named).expanduser() if named else Path.home() / ".local/share/cryptosupport/keyring"
    except RuntimeError as error:
        raise InitError(f"this user has no home folder: name the file of the keyring in ${FILE}") from error
    if not path.is_absolute():  # else a cron job in another folder would begin another keyring
        raise InitError(f"${FILE} names {path}, which is another file in every folder: write the whole path")
    return path


def _passphrase() -> bytes:
    """The passphrase: a file's before a variable's, without one newline at its end. Raises `InitError`."""
    named = os.environ.get(PASSPHRASE_FILE)
    said = f"${PASSPHRASE_FILE}" if named else f"${PASSPHRASE}"
    text = _kept_from_others(Path(named), said) if named else os.fsencode(os.environ.get(PASSPHRASE, ""))
    passphrase = text.removesuffix(b"\n").removesuffix(b"\r")
    if not passphrase:
        raise InitError(f"there is no passphrase in {said}: write one there")
    if len(passphrase) > _LONGEST_PASSPHRASE:
        raise InitError(f"the passphrase in {said} has more than {_LONGEST_PASSPHRASE} bytes: is this the right file?")
    return passphrase


def _kept_from_others(path: Path, said: str) -> bytes:
    """The start of a file that nobody but its owner can read or write: this user, or root."""
    try:
        with open_file(path) as file:
            status = os.fstat(file.fileno())
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise InitError(f"{said} names {path}, which others can read or write: run `chmod 600` on it")
            if status.st_uid not in (0, os.geteuid()):
                raise InitError(f"{said} names {path}, which belongs to another user: make it your own with `chown`")
            return file.read(_LONGEST_PASSPHRASE + 3)
    except OSError as error:
        raise InitError(f"{said} names {path}, which cannot be read: {error.strerror}") from error


# -- the file --------------------------------------------------------------------------------------------------------


def _read(path: Path, passphrase: bytes) -> tuple[_Header | None, Entries]:
    """What the file holds; no header and nothing where there is no file yet. Raises `KeyringLocked`."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        data = content(path)
    except FileNotFoundError:
        if path.is_symlink():  # of a disk that is not mounted, say: another keyring must not begin in its place
            raise KeyringLocked(f"{path} is a link that leads nowhere: mount the disk, or remove the link") from None
        return None, {}
    except OSError as error:
        raise KeyringLocked(f"{path} cannot be read: {error.strerror}") from error
    file = _decoded(path, data)
    try:
        key = _derived(passphrase, file.header.scrypt)
        plain = AESGCM(key).decrypt(file.nonce, file.sealed, msgspec.json.encode(file.header))
    except InvalidTag:
        said = "the passphrase is not the one that it was made with, or the file is damaged"
        advice = f"give the right one in ${PASSPHRASE_FILE} or ${PASSPHRASE}, or put back a copy; it was left as it is"
        raise KeyringLocked(f"{path} cannot be opened: {said}: {advice}") from None
    entries: Entries = json.loads(plain)
    return file.header, entries


def _decoded(path: Path, data: bytes) -> _Sealed:
    """The parts of the file. Raises `KeyringLocked` for what this program did not write."""
    try:
        version = msgspec.json.decode(data, type=_OfVersion).header.version
        if version > 1:
            raise KeyringLocked(f"{path} is of version {version}, made by a later cryptosupport: update this one")
        file = msgspec.json.decode(data, type=_Sealed)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        _damaged(path)
    if len(file.nonce) != _NONCE:
        _damaged(path)
    return file


def _damaged(path: Path) -> NoReturn:
    advice = f"put back a copy, or name another file in ${FILE}; it was left as it is"
    raise KeyringLocked(f"{path} is no keyring of cryptosupport, or is damaged: {advice}") from None


@lru_cache(maxsize=4)
def _derived(passphrase: bytes, scrypt: _Scrypt) -> bytes:
    """The key of 32 bytes. It takes a fifth of a second, so a process does it once."""
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=scrypt.salt, length=32, n=scrypt.n, r=scrypt.r, p=scrypt.p).derive(passphrase)


def _change(change: Callable[[Entries], None], failure: type[PasswordSetError | PasswordDeleteError]) -> None:
    """Read, change and write, while no other writer does. Raises ``failure``."""
    named, passphrase = _path(), _passphrase()
    _read(named, passphrase)  # derives the key before others have to wait for it
    path = Path(os.path.realpath(named))  # behind a link, the file is replaced, not the link
    try:
        with lock(path.with_name(f"{path.name}.lock"), PATIENCE):
            header, entries = _read(named, passphrase)
            change(entries)
            _write(path, _sealed(header or _Header(scrypt=_Scrypt(os.urandom(_SALT))), entries, passphrase), failure)
    except Locked as error:
        raise failure(f"{error.message} for {PATIENCE:g} s; nothing was changed: try again") from error
    except BadSettings as error:
        raise failure(f"{error.message}; nothing was changed") from error
    except OSError as error:
        said = f"{path} cannot be written: {error.strerror}"
        raise failure(f"{said}; look with `cryptosupport keys list` whether it was changed") from error


def _sealed(header: _Header, entries: Entries, passphrase: bytes) -> bytes:
    """The whole file, with a nonce that never was."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    plain = json.dumps(entries, separators=(",", ":")).encode()  # ASCII: a lone surrogate comes back as it was
    nonce = os.urandom(_NONCE)
    sealed = AESGCM(_derived(passphrase, header.scrypt)).encrypt(nonce, plain, msgspec.json.encode(header))
    return msgspec.json.encode(_Sealed(header=header, nonce=nonce, sealed=sealed)) + b"\n"


def _write(path: Path, data: bytes, failure: type[PasswordSetError | PasswordDeleteError]) -> None:
    """Put ``data`` in place of the file, so that it lasts. A temporary file that a dead writer left makes way."""
    if len(data) > MOST_BYTES:
        raise failure(f"{path} would have more than {MOST_BYTES} bytes, more than is read; nothing was changed")
    temporary = path.with_name(f"{path.name}.tmp")
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file.fileno(), rest) :]
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except OSError:  # a full disk, say: what is half written takes no room
        with suppress(OSError):
            os.unlink(temporary)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
