"""The folder over which a signer elsewhere is asked: what is to be signed as a file, and what comes back beside it.

    hot-3f9c2d71-5b0a77c1e9d24a06.psbt          written here: the wallet, what its attempts have in common, its txid
    hot-3f9c2d71-5b0a77c1e9d24a06-signed.psbt   put there by people, under this very name, or by `signer import`

The same payment asks for the same file. A file is written whole or not at all; a request that somebody changed is told,
and written anew. A request goes when it is used, or when one for a newer attempt takes its place; what came back stays,
and nobody looks at it again.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptosupport.domain.errors import BadInput, BadSettings, Refused, Unsigned

LONGEST = 16_000_000
"""Bytes of a file that came back; more is not read."""

_END, _SIGNED = ".psbt", "-signed.psbt"
_MODE = 0o640


@dataclass(frozen=True, slots=True)
class Paper:
    """One request: ``stem`` is its name without an ending, ``set`` that of all requests of its payment."""

    folder: Path
    set: str
    stem: str

    @property
    def path(self) -> Path:
        """The file that is to be signed."""
        return self.folder / f"{self.stem}{_END}"

    @property
    def signed(self) -> Path:
        """The file that comes back."""
        return self.folder / f"{self.stem}{_SIGNED}"

    def ask(self, psbt: bytes) -> None:
        """Have the file there, and no older one of the same payment. Raises `Refused` where somebody changed it."""
        try:
            before = _content(self.path)
        except FileNotFoundError:
            before = None
        except OSError:
            before = b""
        if before != psbt:
            _write(self.path, psbt)
        for other in _requests(self.folder, f"{self.set}-"):
            if other != self.path:
                with suppress(OSError):
                    other.unlink()
        if before is not None and before != psbt:
            raise Refused(
                f"{self.path} was changed by somebody, and is written anew. Have nothing signed that was taken from it "
                "before, and find out who can write that folder"
            )

    def returned(self) -> bytes:
        """What came back. Raises `Unsigned` where nothing did, `Refused` for what is no plain file."""
        try:
            return _content(self.signed)
        except FileNotFoundError:
            raise Unsigned(
                f"have {self.path} signed, and what comes back put beside it as {self.signed.name}, or taken in by "
                "`cryptosupport signer import FILE`"
            ) from None
        except OSError as error:
            raise Refused(f"{self.signed} cannot be read: {error.strerror or error}") from error

    def request(self) -> bytes:
        """What is asked for. Raises `Refused`."""
        try:
            return _content(self.path)
        except OSError as error:
            raise Refused(f"{self.path} cannot be read: {error.strerror or error}") from error

    def bring(self, content: bytes) -> None:
        """Put what came back in its place, whole."""
        _write(self.signed, content)

    def used(self) -> None:
        """Take the request away: its signature is known."""
        with suppress(OSError):
            self.path.unlink()


@dataclass(frozen=True, slots=True)
class Folder:
    """The requests of one wallet."""

    path: Path
    wallet: str

    def examine(self) -> None:
        """Raise `BadSettings` where files cannot be put there, or anybody of this machine can."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise BadSettings(f"the folder {self.path} cannot be used: {error.strerror}") from error
        if not stat.S_ISDIR(status.st_mode):
            raise BadSettings(f"{self.path} is no folder")
        if status.st_mode & stat.S_IWOTH:
            raise BadSettings(f"everybody can write the folder {self.path}: chmod o-w")
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise BadSettings(f"files cannot be written to {self.path}")

    def paper(self, claims: Sequence[str], txid: str) -> Paper:
        """The request for a transaction of a payment that is known by its claims."""
        of = f"{self._prefix}-{sha256(' '.join(sorted(claims)).encode()).hexdigest()[:8]}"
        return Paper(self.path, of, f"{of}-{txid[:16]}")

    def waiting(self) -> list[Paper]:
        """The requests that are there. Raises `BadSettings`."""
        self.examine()
        stems = [path.name.removesuffix(_END) for path in _requests(self.path, f"{self._prefix}-")]
        form = re.compile(rf"{re.escape(self._prefix)}-[0-9a-f]{{8}}-[0-9a-f]{{16}}")
        return [Paper(self.path, each.rpartition("-")[0], each) for each in sorted(stems) if form.fullmatch(each)]

    @property
    def _prefix(self) -> str:
        return re.sub(r"[^A-Za-z0-9_.-]", "_", self.wallet)


def read_returned(path: Path) -> bytes:
    """A file that came back, from wherever it is. Raises `BadInput`."""
    try:
        return _content(path, follow=True)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from error


def _requests(folder: Path, start: str) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(start) and path.name.endswith(_END) and not path.name.endswith(_SIGNED):
            yield path


def _content(path: Path, follow: bool = False) -> bytes:
    """The bytes of a plain file. Raises `OSError` for anything else, without waiting for it."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    with os.fdopen(os.open(path, flags), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no plain file")
        if status.st_size > LONGEST:
            raise OSError(f"it has more than {LONGEST} bytes")
        return file.read(LONGEST + 1)


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, on the disk before this ends. Raises `BadSettings`."""
    part = path.with_name(f".{path.name}.part")
    try:
        with suppress(FileNotFoundError):
            part.unlink()
        number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise BadSettings(f"{path} cannot be written: {error.strerror or error}") from error
