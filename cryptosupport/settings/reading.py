"""A settings file as frozen structs. Unknown keys are refused with the file, the key and the nearest good one."""

from __future__ import annotations

import errno
import os
import stat
import tomllib
from pathlib import Path
from typing import IO, Any, ClassVar, TypeVar

import msgspec

from cryptosupport.domain.errors import BadSettings
from cryptosupport.settings.values import nearest

MOST_BYTES = 1 << 20
"""A file of settings or prices that is larger is not read."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of a settings file. ``given`` names the fields that come from elsewhere and no file may hold."""

    given: ClassVar[tuple[str, ...]] = ()


S = TypeVar("S", bound=Section)


def is_there(path: Path) -> bool:
    """Whether something has this name, be it a link that leads nowhere: only then do defaults not count."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}") from error
    return True


def open_file(path: Path) -> IO[bytes]:
    """Open a regular file to read. Raises `OSError`, also for a pipe, which would keep us waiting, and a device."""

    def at_once(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY)

    file = open(path, "rb", opener=at_once)  # noqa: SIM115 - for the caller to close
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file")
    return file


def content(path: Path) -> bytes:
    """What is in a regular file of at most `MOST_BYTES`. Raises `OSError` for any other."""
    with open_file(path) as file:
        read = file.read(MOST_BYTES + 1)
    if len(read) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MOST_BYTES} bytes")
    return read


def parse(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises `BadSettings`."""
    try:
        return tomllib.loads(content(path).decode())
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, not TOML, or a number of thousands of digits
        raise BadSettings(f"{path} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise BadSettings(f"{path} is not valid TOML: it is nested too deeply") from error


def read(path: Path, kind: type[S]) -> S:
    """A whole file as a ``kind``. Raises `BadSettings`."""
    return convert(path, parse(path), kind)


def convert(path: Path, table: object, kind: type[S], where: str = "") -> S:
    """A table of ``path``, named ``where`` there, as a ``kind``. Raises `BadSettings`."""
    _refuse_unknown(path, table, kind, where)
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        said = str(error)
        unquoted = "Expected `str" in said and ("got `float`" in said or "got `int`" in said)
        hint = "; write the number in quotes" if unquoted else ""
        raise BadSettings(f"{path}{f' [{where}]' if where else ''}: {said}{hint}") from error


def _refuse_unknown(path: Path, table: object, kind: Any, where: str) -> None:
    """Raise `BadSettings` naming the first key that ``kind`` does not have, and the nearest one that it has."""
    for struct in _sections(kind):
        if not isinstance(table, dict):
            return
        fields = msgspec.structs.fields(struct)
        known = {field.encode_name: field.type for field in fields if field.name not in struct.given}
        for key, value in table.items():
            if key not in known:
                place = f"{path}{f' [{where}]' if where else ''}"
                raise BadSettings(f"{place}: unknown key {key!r}{nearest(key, known)}", key=key)
            inside = f"{where}.{key}" if where else key
            for child, named in _children(known[key], value):
                _refuse_unknown(path, child, known[key], f"{inside}.{named}" if named else inside)


def _sections(kind: Any) -> list[type[Section]]:
    """The section that a type annotation holds (in a union, tuple or dict), if any."""
    if isinstance(kind, type) and issubclass(kind, Section):
        return [kind]
    return [section for part in getattr(kind, "__args__", ()) for section in _sections(part)]


def _children(kind: Any, value: object) -> list[tuple[object, str]]:
    """The tables below ``value`` that ``kind`` describes, each with its name."""
    if isinstance(value, dict) and getattr(kind, "__origin__", None) is dict:
        return [(table, name) for name, table in value.items()]
    if isinstance(value, list):
        return [(table, str(index + 1)) for index, table in enumerate(value)]
    return [(value, "")]
