"""When a pass ended and succeeded last on this machine: a small file in the data folder, which is always whole."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec

from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.metrics import LastRun
from cryptosupport.settings.reading import content, is_there


def read(path: Path) -> LastRun | None:
    """The last pass, None without one. Raises `BadSettings` for a file that cannot be read or is none of ours."""
    if not is_there(path):
        return None
    try:
        return msgspec.json.decode(content(path), type=LastRun)
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path} does not say when a pass ended: remove it, the next pass writes it") from error


def write(path: Path, run: LastRun) -> None:
    """Remember a pass. Raises `BadSettings`: then the file is as it was."""
    name = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(number, "wb") as file:
            file.write(msgspec.json.encode(run))
        os.replace(name, path)
    except OSError as error:
        if name is not None:
            with suppress(OSError):
                os.unlink(name)
        raise BadSettings(f"{path} cannot be written: {error.strerror}") from error
