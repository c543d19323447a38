"""Programs of others, run for one answer: they get little, may say little, and end when their time is up.

A program runs in a session of its own, so that it can be ended with all that it has started (but for what left for yet
another session), and Ctrl-C at our terminal does not reach it. It is ended by SIGKILL: no program can put that off.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress

MOST_PRINTED = 64 * 1024
"""Bytes that a program may print."""

_TICK = 0.01
"""Seconds between two looks at whether it has ended, or its time is up."""
_PASSED_ON = ("PATH", "LANG", "HOME")
"""All that a program gets of our environment: the rest of it may hold secrets."""


class RunFailed(Exception):
    """There is nothing that counts; the text says why, without anything that the program printed."""


class OutOfTime(Exception):
    """The program had not ended when its time was up."""


def run(command: Sequence[str], given: bytes, time_is_up: Callable[[], bool]) -> bytes:
    """What ``command`` prints, given ``given`` on its standard input; it has to end with exit code 0.

    When this returns or raises, the program and its process group are gone. Raises `OutOfTime`, `RunFailed`.
    """
    try:
        process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            start_new_session=True,
        )
    except OSError as error:
        raise RunFailed(f"cannot be started: {error.strerror}") from error
    try:
        printed = _printed(process, given, time_is_up)
    except OSError as error:
        raise RunFailed(f"cannot be asked: {error.strerror}") from error
    finally:
        _end(process)
    if process.returncode < 0:
        raise RunFailed(f"was ended by signal {-process.returncode}")
    if process.returncode:
        raise RunFailed(f"ended with exit code {process.returncode}")
    return printed


def _printed(process: subprocess.Popen[bytes], given: bytes, time_is_up: Callable[[], bool]) -> bytes:
    """What the program has printed when it ends. What it started may go on and keep its pipes open: never mind."""
    assert process.stdin is not None
    assert process.stdout is not None
    printed = bytearray()
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdin, selectors.EVENT_WRITE)
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            ended = _has_ended(process)  # before reading: all that it printed is in the pipe by then
            before = len(printed)
            for key, _ in selector.select(0 if ended else _TICK):
                if key.fileobj is process.stdout:
                    read = os.read(key.fd, MOST_PRINTED)
                    printed += read
                    if not read:
                        selector.unregister(process.stdout)
                elif not (given := _left(key.fd, given)):
                    selector.unregister(process.stdin)
                    process.stdin.close()
            if len(printed) > MOST_PRINTED:
                raise RunFailed(f"printed more than {MOST_PRINTED // 1024} KiB")
            if ended and len(printed) == before:
                return bytes(printed)
            if time_is_up():
                raise OutOfTime


def _left(pipe: int, given: bytes) -> bytes:
    """Write what the pipe takes; what is left is returned, nothing where the program does not read on, as it may."""
    try:
        return given[os.write(pipe, given) :]
    except BlockingIOError:
        return given
    except BrokenPipeError:
        return b""


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has. Its exit code is left for later: until then nobody else can get its id, which `_end` kills by."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and all of its process group, and let no zombie stay."""
    with suppress(ProcessLookupError, PermissionError):  # nobody is left, or somebody who is not ours to end
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()
    process.wait()
