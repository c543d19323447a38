"""One at a time: who comes second is told at once, or waits."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from cryptosupport.domain.errors import BadSettings, Locked
from cryptosupport.outside.locks import lock


def test_the_second_is_told_and_comes_in_when_the_first_has_gone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "run.lock"
    with lock(path), pytest.raises(Locked, match=f"another run holds the lock {path}"), lock(path):
        raise AssertionError
    with lock(path):
        assert path.stat().st_mode & 0o777 == 0o600


def test_who_has_patience_waits_for_the_other(tmp_path: Path) -> None:
    path, inside, done = tmp_path / "run.lock", threading.Event(), threading.Event()

    def hold() -> None:
        with lock(path):
            inside.set()
            done.wait(0.2)

    other = threading.Thread(target=hold)
    other.start()
    inside.wait()
    with pytest.raises(Locked), lock(path, patience=0.02):
        raise AssertionError
    with lock(path, patience=30):
        pass
    other.join()


def test_a_lock_without_a_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadSettings, match="cannot be made"), lock(tmp_path / "file" / "run.lock"):
        raise AssertionError
