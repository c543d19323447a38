"""A signer as a process of its own, under its own user: it answers on a Unix socket, and to known users only.

The socket lies in a folder that nobody else can write, and the kernel says who is at the other end (SO_PEERCRED, see
unix(7)). Nothing that arrives ends it; a question that does not arrive whole in time ends its connection.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import socket
import stat
import struct
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from cryptosupport.domain.audit import Head, read_head
from cryptosupport.domain.errors import BadInput, BadSettings, Locked, Refused, SupportError
from cryptosupport.domain.paying import HighWater, Order
from cryptosupport.signers.orders import read_order
from cryptosupport.signers.wire import Garbled, failure, receive, send

SECONDS = 10.0
"""So long a question may take to arrive, an answer to leave, and a connection to say nothing."""

AT_ONCE = 16
"""Connections that are open at the same time; further ones are closed."""

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class Serves(Protocol):
    """Who signs."""

    def sign(self, order: Order) -> bytes:
        """The signed bytes."""

    def signed(self, txid: str) -> bool:
        """Whether it has signed this transaction."""

    def remembered(self, request_ids: Sequence[str]) -> Mapping[str, str]:
        """What it signed for those of these withdrawals that it has signed for."""

    def high_water(self) -> HighWater:
        """How much it has signed."""

    def head(self, ledger_id: str) -> Head | None:
        """How far the audit log of a ledger had come."""

    def keep_head(self, ledger_id: str, head: Head) -> None:
        """Remember it."""


class Server:
    """Answers for ``signer`` on the socket at ``path``, to processes of ``uids``; ``say`` hears what goes wrong.

    ``with`` makes the socket, and removes it in the end; `run` answers until `stop`. ``mode`` is that of the socket:
    0o600, or 0o660 for those of a group. Raises `BadSettings` for a place that is not safe, `Locked` where another
    signer answers there.
    """

    def __init__(
        self, path: Path, signer: Serves, uids: Collection[int], *, mode: int = 0o600, seconds: float = SECONDS,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        if mode not in (0o600, 0o660):
            raise BadSettings(f"a socket may be 0600 or 0660, not {mode:04o}")
        self._path, self._signer, self._uids = path, signer, frozenset(uids)
        self._mode, self._seconds, self._say = mode, seconds, say
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._stopped = False

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            _check_folder(self._path.parent)
            stack.callback(os.close, _locked(self._path))
            self._awake, self._wake = socket.socketpair()
            stack.callback(self._awake.close)
            stack.callback(self._wake.close)
            self._wake.setblocking(False)
            self._listener = stack.enter_context(_bound(self._path, self._mode))
            stack.callback(self._path.unlink, missing_ok=True)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(self) -> None:
        """Answer until `stop`; what is being signed then is still answered."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._awake, selectors.EVENT_READ)
            while not self._stopped:
                for key, _ in selector.select():
                    if key.fileobj is self._listener and not self._stopped:
                        self._accept()
        self._listener.close()
        with self._lock:
            left = dict(self._open)
        for connection, thread in left.items():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)  # who has not asked yet is not waited for
            thread.join(2 * self._seconds)

    def stop(self) -> None:
        """Have `run` end; from any thread, and from a signal handler."""
        self._stopped = True
        with suppress(OSError):
            self._wake.send(b"x")

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:  # too many files, or it has gone again
            self._say(f"a connection could not be taken: {error.strerror}")
            return
        with self._lock:
            full = len(self._open) >= AT_ONCE
            if not full:
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._open[connection] = thread
                thread.start()
        if full:
            self._say(f"{AT_ONCE} connections are open: a further one was closed")
            connection.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._talk(connection)
        except Garbled as error:
            self._say(f"a connection is closed: {error}")
            with suppress(OSError, Garbled):
                send(connection, failure(BadInput(str(error))), self._seconds)
        except OSError as error:
            self._say(f"a connection is closed: {error.strerror or error}")
        finally:
            with self._lock:
                self._open.pop(connection, None)
            connection.close()

    def _talk(self, connection: socket.socket) -> None:
        uid = user_of(connection)
        if uid not in self._uids:
            self._say(f"user {uid} asked, and may not")
            send(connection, failure(Refused(f"user {uid} may not ask this signer")), self._seconds)
            return
        while not self._stopped:
            question = receive(connection, self._seconds)
            if question is None:
                return
            send(connection, self._answer(question), self._seconds)

    def _answer(self, question: dict[str, Any]) -> dict[str, object]:
        try:
            match question:
                case {"do": "sign", "order": order, **rest} if not rest:
                    return {"raw": self._signer.sign(read_order(order)).hex()}
                case {"do": "signed", "txid": str(txid), **rest} if not rest:
                    return {"signed": self._signer.signed(txid)}
                case {"do": "remembered", "requests": [*names], **rest} if not rest:
                    return {"remembered": dict(self._signer.remembered([str(name) for name in names]))}
                case {"do": "head", "ledger": str(ledger), **rest} if not rest:
                    found = self._signer.head(ledger)
                    return {"head": None if found is None else found.text}
                case {"do": "keep_head", "ledger": str(ledger), "head": str(text), **rest} if not rest:
                    self._signer.keep_head(ledger, read_head(text))
                    return {}
                case {"do": "high_water", **rest} if not rest:
                    mark = self._signer.high_water()
                    highest = None if mark.highest is None else str(mark.highest)
                    return {"store": mark.store, "signatures": str(mark.signatures), "highest": highest}
            raise BadInput('a question is {"do": "sign", "order": ...}, or {"do": one of signed, head, ...}')
        except SupportError as error:
            self._say(error.message)
            return failure(error)
        except Exception as error:  # no question may end the server; what an error says could hold the secret
            self._say(f"the signer failed: {type(error).__name__}")
            return failure(SupportError(type(error).__name__))


def serve(
    server: Server, signals: Iterable[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
    ready: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Answer until one of ``signals`` arrives; ``ready`` is called when there is somebody who answers. For the main
    thread.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        server.stop()

    with server:
        before = {each: signal.signal(each, stop) for each in signals}
        try:
            ready()
            server.run()
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def user_of(connection: socket.socket) -> int:
    """The user id of the process at the other end of a Unix socket, as the kernel has it."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(told)[1])


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise BadSettings(f"there is no folder for a socket at {folder}: {error.strerror}") from error
    if status.st_mode & 0o022 or status.st_uid not in (0, os.geteuid()):
        raise BadSettings(f"others can write {folder}, and could put a socket of their own there: chmod go-w")


def _locked(path: Path) -> int:
    """A descriptor that keeps other signers from this place while it is open."""
    try:
        number = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise BadSettings(f"{path}.lock cannot be made: {error.strerror}") from error
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(number)
        raise Locked(f"another signer answers at {path}") from error
    return number


def _bound(path: Path, mode: int) -> socket.socket:
    """A socket that listens at ``path``, in the place of one that was left behind. Raises `BadSettings`."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise BadSettings(f"{path} is there, and is no socket")
            path.unlink()
        listener.bind(str(path))
        path.chmod(mode)  # before it listens: nobody can connect yet
        listener.listen(AT_ONCE)
    except OSError as error:
        listener.close()
        raise BadSettings(f"no socket can be made at {path}: {error.strerror or error}") from error
    except BadSettings:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
