"""The signer as a process of its own: who may ask, what arrives badly, and what becomes of lost answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cryptosupport.domain.errors import (
    BadInput,
    BadSettings,
    Edited,
    Frozen,
    Locked,
    NodesFailed,
    Refused,
    SupportError,
    Tampered,
    Unreachable,
)
from cryptosupport.domain.paying import HighWater, Order
from cryptosupport.domain.payouts import Kind
from cryptosupport.signers.orders import write_order
from cryptosupport.signers.remote import RemoteSigner
from cryptosupport.signers.serving import AT_ONCE, Server, serve
from cryptosupport.signers.wire import LONGEST
from tests.signers.signerkit import MALLORY, SECRET, Bench, Tools, approval, for_approval, frozen, order

ROOT = Path(__file__).parents[2]
US = {os.geteuid()}


@contextmanager
def served(path: Path, signer: Any, *, uids: set[int] = US, seconds: float = 5.0, **rest: Any) -> Iterator[list[str]]:
    """A server in a thread; what it says."""
    said: list[str] = []
    with Server(path, signer, uids, seconds=seconds, say=said.append, **rest) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield said
        finally:
            server.stop()
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "signer.sock"


@pytest.fixture
def remote(path: Path) -> RemoteSigner:
    return RemoteSigner(path, 5.0)


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(5)
    connection.connect(str(path))
    return connection


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4) + body


def answer_of(connection: socket.socket) -> Any:
    head = connection.recv(4, socket.MSG_WAITALL)
    return json.loads(connection.recv(int.from_bytes(head), socket.MSG_WAITALL)) if head else None


# -- signing over the socket ------------------------------------------------------------------------------------------


def test_what_was_asked_for_is_signed_over_the_socket(bench: Bench, path: Path, remote: RemoteSigner) -> None:
    held = for_approval(2)
    with served(path, bench.signer):
        raw = remote.sign(order(held, statements=(approval(held, "alice"), approval(held, "bob"))))
        assert remote.high_water() == bench.signer.high_water()
        assert remote.high_water().highest == 7
        signed = held.request.request_id
        found = remote.remembered([*(f"none-{number}" for number in range(150)), signed])
        assert found == bench.signer.remembered([signed])
        assert found[signed].startswith("7 of 0x")
    assert Tools().read(raw).claims == ("7",)
    assert not path.exists()
    assert repr(remote) == f"<RemoteSigner {path}>"


def test_what_it_refuses_is_refused_here(bench: Bench, path: Path, remote: RemoteSigner) -> None:
    with served(path, bench.signer) as said:
        remote.sign(order())
        with pytest.raises(Refused, match="could be paid twice"):
            remote.sign(order(claims=["8"]))
        with pytest.raises(Refused, match="do not pay"):
            remote.sign(order(pays=[(MALLORY, None, "5")]))
        bench.freezes.append(frozen("all"))
        with pytest.raises(Frozen, match="a drill"):
            remote.sign(order())
        remote.sign(order(kind=Kind.CANCEL))
    assert len(said) == 3


class Fails:
    """A signer that raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def sign(self, order: Order) -> bytes:
        """Raise."""
        raise self.error

    def high_water(self) -> HighWater:
        """Raise."""
        raise self.error


ERRORS: list[tuple[Exception, type[SupportError]]] = [
    (Refused("no"), Refused), (Frozen("no"), Frozen), (Tampered("no"), Tampered), (BadSettings("no"), BadSettings),
    (Edited("no"), BadSettings), (BadInput("no"), BadInput), (Unreachable("no"), Unreachable),
    (NodesFailed("ethereum", ()), Unreachable), (SupportError("no"), Unreachable), (ValueError(SECRET), Unreachable),
]  # fmt: skip


@pytest.mark.parametrize(("error", "kind"), ERRORS, ids=lambda each: getattr(each, "__name__", ""))
def test_errors_come_back_as_the_same_classes(
    path: Path, remote: RemoteSigner, error: Exception, kind: type[SupportError]
) -> None:
    with served(path, Fails(error)) as said:
        for ask in (lambda: remote.sign(order()), remote.high_water):
            with pytest.raises(kind) as caught:
                ask()
            assert type(caught.value) is kind
            assert SECRET not in f"{caught.value} {said}"


def test_several_questions_go_over_one_connection(bench: Bench, path: Path) -> None:
    with served(path, bench.signer), connect(path) as connection:
        for fee in (10, 11, 12):
            connection.sendall(framed(json.dumps({"do": "sign", "order": write_order(order(fee=fee))}).encode()))
            assert "raw" in answer_of(connection)
        connection.sendall(framed(b'{"do":"high_water"}') * 2)
        assert [answer_of(connection)["signatures"] for _ in range(2)] == ["3", "3"]


def test_many_at_once_are_answered(bench: Bench, path: Path, remote: RemoteSigner) -> None:
    done: list[bytes] = []
    with served(path, bench.signer):
        threads = [threading.Thread(target=lambda: done.append(remote.sign(order()))) for _ in range(AT_ONCE // 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(done) == AT_ONCE // 2


# -- who may ask ------------------------------------------------------------------------------------------------------


def test_a_user_who_may_not_ask_is_refused(bench: Bench, path: Path, remote: RemoteSigner) -> None:
    with served(path, bench.signer, uids={os.geteuid() + 1}) as said:
        with pytest.raises(Refused, match=f"user {os.geteuid()} may not ask this signer"):
            remote.sign(order())
        with pytest.raises(Refused):
            remote.high_water()
    assert bench.signer.high_water().signatures == 0
    assert said == [f"user {os.geteuid()} asked, and may not"] * 2


@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_the_socket_is_private_and_so_is_its_folder(bench: Bench, path: Path, mode: int) -> None:
    before = os.umask(0)
    try:
        with served(path, bench.signer, mode=mode):
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_places_that_are_not_safe_are_not_used(bench: Bench, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("a file")
    with pytest.raises(BadSettings, match="no socket"), served(path, bench.signer):
        pass
    assert path.read_text() == "a file"
    path.parent.chmod(0o770)
    with pytest.raises(BadSettings, match="others can write"), served(path, bench.signer):
        pass
    with pytest.raises(BadSettings, match="0600 or 0660"):
        Server(path, bench.signer, US, mode=0o666)
    with pytest.raises(BadSettings, match="no socket can be made"), served(path.parents[1] / ("x" * 120), bench.signer):
        pass


def test_a_second_server_does_not_take_the_place_and_a_left_socket_is_replaced(
    bench: Bench, path: Path, remote: RemoteSigner
) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    with served(path, bench.signer):
        with pytest.raises(Locked, match="another signer answers"), served(path, bench.signer):
            pass
        remote.sign(order())


# -- what arrives badly -----------------------------------------------------------------------------------------------

ORDER = json.dumps({"do": "sign", "order": write_order(order())}).encode()
BAD: dict[str, bytes] = {
    "nothing": b"",
    "a length of nothing": framed(b""),
    "too long": (LONGEST + 1).to_bytes(4) + b"x" * 10,
    "far too long": b"\xff\xff\xff\xff",
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "half a length": b"\x00\x00",
    "half a message": framed(ORDER)[:-20],
    "garbage": framed(os.urandom(50)),
    "no UTF-8": framed(b'{"do": "\xff"}'),
    "no object": framed(b'["do", "sign"]'),
    "a float": framed(b'{"do": "sign", "order": 1.5}'),
    "an integer": framed(b'{"do": "sign", "order": 15}'),
    "NaN": framed(b'{"do": "sign", "order": NaN}'),
    "a key twice": framed(b'{"do": "sign", "do": "sign"}'),
    "very deep": framed(b'{"do":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "an unknown question": framed(b'{"do": "retire", "claims": ["7"]}'),
    "a question without one": framed(b'{"order": {}}'),
    "more than a question": framed(ORDER[:-1] + b', "uid": "0"}'),
    "an order that is none": framed(b'{"do": "sign", "order": {"chain": "ethereum"}}'),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_never_ends_the_server(bench: Bench, path: Path, remote: RemoteSigner, name: str) -> None:
    with served(path, bench.signer):
        for _ in range(3):
            with connect(path) as connection:
                connection.sendall(BAD[name])
                connection.shutdown(socket.SHUT_WR)
                try:
                    answer = answer_of(connection)
                except ConnectionResetError:
                    answer = None
            assert answer is None or answer["error"]["code"] == "bad_input", answer
        assert bench.signer.high_water().signatures == 0
        remote.sign(order())


def test_who_says_nothing_or_speaks_too_slowly_is_cut_off(bench: Bench, path: Path) -> None:
    with served(path, bench.signer, seconds=1.0) as said, connect(path) as silent, connect(path) as slow:
        began = time.monotonic()
        for byte in framed(ORDER)[:3]:
            slow.sendall(bytes([byte]))
            time.sleep(0.05)
        assert silent.recv(1) == b""
        assert slow.recv(1) == b""
        assert time.monotonic() - began < 25
    assert len(said) == 2


def test_too_many_connections_are_closed_and_the_others_are_answered(
    bench: Bench, path: Path, remote: RemoteSigner
) -> None:
    with served(path, bench.signer) as said:
        held = [connect(path) for _ in range(AT_ONCE)]
        with pytest.raises(Unreachable, match="is lost"):
            remote.sign(order())
        held[0].sendall(framed(b'{"do":"high_water"}'))
        assert answer_of(held[0])["signatures"] == "0"
        for each in held:
            each.close()
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                remote.sign(order())
                break
            except Unreachable:
                time.sleep(0.01)
        assert bench.signer.high_water().signatures == 1
    assert "further one was closed" in said[0]


def test_an_order_that_is_too_large_is_refused_before_it_is_sent(
    remote: RemoteSigner, bench: Bench, path: Path
) -> None:
    with served(path, bench.signer), pytest.raises(Refused, match="too large"):
        remote.sign(order(statements=(approval(for_approval(), "alice", facts={"x": "y" * LONGEST}),)))


# -- lost answers -----------------------------------------------------------------------------------------------------


def test_a_signer_that_is_not_there_is_unreachable(remote: RemoteSigner, path: Path) -> None:
    with pytest.raises(Unreachable, match="no signer answers"):
        remote.sign(order())
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    with pytest.raises(Unreachable, match=r"no signer answers.*refused"):
        remote.high_water()


@contextmanager
def answering(path: Path, answer: Callable[[socket.socket], object]) -> Iterator[None]:
    """A server that does ``answer`` with each of two connections."""
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def work() -> None:
            for _ in range(2):
                connection, _address = listener.accept()
                with connection:
                    connection.recv(LONGEST)
                    answer(connection)

        thread = threading.Thread(target=work)
        thread.start()
        yield
        thread.join(5)


ANSWERS: dict[str, bytes] = {
    "none": b"",
    "half": framed(b'{"raw":"00ff"}')[:-3],
    "garbage": b"HTTP/1.1 200 OK\r\n\r\n",
    "no bytes": framed(b'{"raw":""}'),
    "no hex": framed(b'{"raw":"zz"}'),
    "another answer": framed(b'{"store":"x","signatures":"many","highest":null}'),
    "an error that is none": framed(b'{"error":5}'),
    "an error without words": framed(b'{"error":{"code":"refused"}}'),
    "an error of another kind": framed(b'{"error":{"code":"nonsense","message":"\\u001b[31mred"}}'),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_lost_or_senseless_answer_is_unreachable(path: Path, remote: RemoteSigner, name: str) -> None:
    with answering(path, lambda connection: connection.sendall(ANSWERS[name])):
        for ask in (lambda: remote.sign(order()), remote.high_water):
            with pytest.raises(Unreachable) as caught:
                ask()
            assert caught.value.message.isprintable()


def test_an_answer_that_does_not_come_in_time_is_unreachable(path: Path) -> None:
    hasty = RemoteSigner(path, 0.1)
    with answering(path, lambda connection: time.sleep(0.3)):
        for _ in range(2):
            with pytest.raises(Unreachable, match="may have signed; the same order can be asked for again"):
                hasty.sign(order())


# -- a process of its own ---------------------------------------------------------------------------------------------

SERVE = """
import os, sys
from pathlib import Path
from cryptosupport.signers.serving import Server, serve
from tests.signers.signerkit import Bench
import time
bench = Bench(Path(sys.argv[2]))
slow = bench.tools.sign
def sign(text, secret):
    Path(sys.argv[2]).with_name("signing").touch()
    time.sleep(float(sys.argv[3]))
    return slow(text, secret)
bench.tools.sign = sign
server = Server(Path(sys.argv[1]), bench.signer, {os.geteuid()}, seconds=5)
serve(server)
bench.store.close()
print("ended", flush=True)
"""


@contextmanager
def process(path: Path, bench: Bench, slow: float = 0.0) -> Iterator[subprocess.Popen[str]]:
    """A signer in a process of its own, that answers already."""
    command = [sys.executable, "-c", SERVE, str(path), str(bench.path), str(slow)]
    run = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    try:
        until = time.monotonic() + 60
        while not is_answered(path):
            assert run.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        yield run
    finally:
        run.kill()
        run.communicate()


def is_answered(path: Path) -> bool:
    try:
        RemoteSigner(path, 5).high_water()
    except Unreachable:
        return False
    return True


def test_sigterm_ends_it_after_what_it_is_signing(bench: Bench, path: Path, remote: RemoteSigner) -> None:
    with process(path, bench, slow=0.5) as run, connect(path) as idle:
        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.append(remote.sign(order())))
        thread.start()
        until = time.monotonic() + 60
        while not bench.path.with_name("signing").exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        run.send_signal(signal.SIGTERM)
        thread.join(60)
        assert len(got) == 1
        assert run.wait(60) == 0  # who has asked nothing is not waited for
        assert run.stdout is not None
        assert run.stdout.read() == "ended\n"
        assert idle.recv(1) == b""
    assert not path.exists()


def test_killed_while_it_signs_it_answers_nothing_and_the_next_one_pays_once(
    bench: Bench, path: Path, remote: RemoteSigner
) -> None:
    with process(path, bench) as run:
        remote.sign(order())
        run.send_signal(signal.SIGKILL)
        run.wait()
        with pytest.raises(Unreachable):
            remote.sign(order(claims=["8"]))
    with process(path, bench):
        with pytest.raises(Refused, match="could be paid twice"):
            remote.sign(order(claims=["8"]))
        remote.sign(order())


def test_the_handlers_of_signals_are_put_back(bench: Bench, path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    timer.start()
    serve(Server(path, bench.signer, US), [signal.SIGTERM])
    timer.join()
    assert signal.getsignal(signal.SIGTERM) is before
