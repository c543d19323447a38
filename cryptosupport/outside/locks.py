"""One run at a time, by a lock file: the system lets go of it when its holder ends, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptosupport.domain.errors import BadSettings, Locked


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` meanwhile; the file stays, so that nobody locks one that is on its way out.

    Raises `Locked` when another run holds it, `BadSettings` where there is no place for it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadSettings(f"the lock file {path} cannot be made: {error.strerror}") from error
    try:
        _take(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Locked(f"another run holds the lock {path}") from error
    except OSError as error:
        raise BadSettings(f"{path} cannot be locked: {error.strerror}; put the data folder on another disk") from error
