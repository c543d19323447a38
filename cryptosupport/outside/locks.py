"""One run at a time, by a lock file: the system lets go of it when its holder ends, however that ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptosupport.domain.errors import BadSettings, Locked

_PAUSE = 0.01


@contextmanager
def lock(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock file ``path`` meanwhile; the file stays, so that nobody locks one that is on its way out.

    Raises `Locked` when another run still holds it after ``patience`` seconds, `BadSettings` where there is no place
    for it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadSettings(f"the lock file {path} cannot be made: {error.strerror}") from error
    try:
        until = time.monotonic() + patience
        while not _taken(descriptor, path):
            if time.monotonic() >= until:
                raise Locked(f"another run holds the lock {path}")
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise BadSettings(f"{path} cannot be locked: {error.strerror}; put the data folder on another disk") from error
    return True
