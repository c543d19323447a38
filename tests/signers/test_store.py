"""The store of a signer: private, only added to, whole after any crash, and one for all processes."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cryptosupport.domain.errors import BadInput, BadSettings, NoSuchRecord, Refused, Unreachable
from cryptosupport.domain.payouts import Kind
from cryptosupport.signers.store import Store
from tests.signers.signerkit import NOW, SOURCE, Bench, order, withdrawal

ROOT = Path(__file__).parents[2]
TABLES = ("payment", "claim", "signature", "retired", "store")


def sql(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@contextmanager
def later(bench: Bench) -> Iterator[Bench]:
    """The next run, with the same file."""
    made = Bench(bench.path)
    yield made
    made.store.close()


def filled(bench: Bench) -> Path:
    """A store with a row or more in every table."""
    bench.sign(order())
    bench.store.retire("ethereum", SOURCE, ("7",), "0xfeed took nonce 7", NOW)
    return bench.path


# -- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_is_its_users_alone(bench: Bench) -> None:
    before = os.umask(0)
    try:
        bench.sign(order())
    finally:
        os.umask(before)
    assert stat.S_IMODE(bench.path.parent.stat().st_mode) == 0o700
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in bench.path.parent.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert "signer.db-wal" in modes


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
def test_a_file_that_others_can_see_is_not_used(bench: Bench, mode: int) -> None:
    bench.sign(order())
    bench.path.chmod(mode)
    with later(bench) as next_run, pytest.raises(BadSettings, match="nobody else can read or write"):
        next_run.sign(order())


def test_a_folder_that_others_can_write_is_not_used(bench: Bench) -> None:
    bench.path.parent.mkdir()
    bench.path.parent.chmod(0o770)
    with pytest.raises(BadSettings, match="others can write the folder"):
        bench.sign(order())


def test_a_link_a_folder_and_what_is_no_store_are_not_used(bench: Bench) -> None:
    folder = bench.path.parent
    filled(bench)
    (folder / "link").symlink_to(bench.path)
    (folder / "text").write_text("no database" * 200)
    (folder / "text").chmod(0o600)
    sql(folder / "other", "create table payment (request_id text)")
    (folder / "other").chmod(0o600)
    for name in ("link", "text", "other", ".", "text/below"):
        with closing(Store(folder / name)) as store, pytest.raises(BadSettings):
            store.high_water("ethereum", SOURCE)


@pytest.mark.parametrize("table", TABLES)
def test_rows_are_neither_changed_nor_removed_nor_replaced(bench: Bench, table: str) -> None:
    path = filled(bench)
    for statement in (
        f"delete from {table}",
        f"update {table} set {'id' if table == 'store' else 'request_id' if table == 'retired' else 'source'} = 'x'",
        f"insert or replace into {table} select * from {table}",
        f"insert into {table} select * from {table}",
    ):
        if table == "retired":
            statement = statement.replace("set request_id", "set proof")
        with pytest.raises(sqlite3.IntegrityError, match="only added to"):
            sql(path, statement)


def test_a_further_round_needs_the_former_one_retired(bench: Bench) -> None:
    path = filled(bench)
    row = "select request_id, {}, chain, source, claims, pays, ledger_id, first_at from payment"
    with pytest.raises(sqlite3.IntegrityError, match="not retired"):
        sql(path, f"insert into payment {row.format(2)}")
    sql(path, f"insert into payment {row.format(1)}")


@pytest.mark.parametrize("statement", ["drop trigger payment_no_delete", "drop index payment_of_claims"])
def test_a_store_whose_triggers_were_dropped_signs_nothing_more(bench: Bench, statement: str) -> None:
    path = filled(bench)
    bench.store.close()
    sql(path, statement)
    with pytest.raises(BadSettings, match="triggers were changed"):
        bench.sign(order(claims=["8"]))


def test_a_store_that_is_replaced_while_it_is_in_use_signs_nothing_more(bench: Bench) -> None:
    bench.sign(order())
    bench.path.rename(bench.path.with_name("aside"))
    with pytest.raises(BadSettings, match="taken away"):
        bench.sign(order())
    shutil.copy(bench.path.with_name("aside"), bench.path)
    with pytest.raises(BadSettings, match="was replaced"):
        bench.sign(order())


def test_a_copy_that_is_put_in_its_place_later_is_seen_by_its_high_water_mark(bench: Bench) -> None:
    bench.sign(order(withdrawal("w-1"), claims=["9"]))
    bench.store.close()
    shutil.copy(bench.path, bench.path.with_name("backup"))
    bench.sign(order(withdrawal("w-2"), claims=["10"]))
    bench.sign(order(withdrawal("w-2"), claims=["10"], kind=Kind.CANCEL))
    before = bench.signer.high_water()
    assert (before.signatures, before.highest) == (3, 10)  # 10 is more than 9
    assert bench.store.high_water("bsc", SOURCE).signatures == 0
    bench.store.close()
    shutil.copy(bench.path.with_name("backup"), bench.path)
    with pytest.raises(BadSettings, match="was replaced"):  # who has seen the newer one knows it by itself
        bench.signer.high_water()
    bench.store.close()
    with later(bench) as next_run:
        after = next_run.signer.high_water()
    assert (after.store, after.signatures, after.highest) == (before.store, 1, 9)
    bench.path.unlink()
    with later(bench) as next_run:
        empty = next_run.signer.high_water()
    assert (empty.signatures, empty.highest) == (0, None)
    assert empty.store != before.store


def test_claims_that_are_no_numbers_have_no_highest(bench: Bench) -> None:
    bench.sign(order(claims=["ab:0", "cd:1"]))
    assert bench.signer.high_water().highest is None
    bench.sign(order(withdrawal("w-2"), claims=[str(2**64 - 2)]))
    assert bench.signer.high_water().highest == 2**64 - 2


def test_claims_are_retired_with_a_proof_only_and_when_there_are_such(bench: Bench) -> None:
    bench.sign(order())
    with pytest.raises(BadInput, match="what proves"):
        bench.store.retire("ethereum", SOURCE, ("7",), "  ", NOW)
    with pytest.raises(NoSuchRecord, match="nothing was signed with 8"):
        bench.store.retire("ethereum", SOURCE, ("8",), "a proof", NOW)


def test_a_store_that_another_process_holds_is_unreachable(bench: Bench) -> None:
    bench.sign(order())
    impatient = Bench(bench.path)
    impatient.store = Store(bench.path, lock_seconds=0)
    with closing(sqlite3.connect(bench.path, isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(Unreachable, match="locked; nothing was signed"):
            impatient.sign(order())
    impatient.sign(order())
    impatient.store.close()


def test_a_full_disk_hands_out_nothing(bench: Bench) -> None:
    bench.sign(order())
    connection = bench.store._file._connection
    assert connection is not None
    (pages,) = connection.execute("pragma page_count").fetchone()
    connection.execute(f"pragma max_page_count = {pages}")

    def sign_many() -> None:
        for number in range(8, 200):
            bench.sign(order(withdrawal(f"w-{number}"), claims=[str(number)]))
            bench.later()

    with pytest.raises(Unreachable, match="full"):
        sign_many()
    connection.execute("pragma max_page_count = 100000")
    mark = bench.signer.high_water()
    with closing(sqlite3.connect(bench.path)) as read:
        assert read.execute("select count(*) from payment").fetchone() == (mark.signatures,)


# -- crashes ----------------------------------------------------------------------------------------------------------

CRASH = """
import os, signal, sqlite3, sys
from pathlib import Path
from tests.signers.signerkit import Bench, order, withdrawal

folder, real, most = Path(sys.argv[1]), sqlite3.connect, 200

def attempt(last, after):
    # Sign, and die before SQLite executes the statement of this number (or before the one after it)
    count = 0
    def seen(statement):
        nonlocal count
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
    def connect(*given, **named):
        connection = real(*given, **named)
        if str(given[0]) != ":memory:":
            connection.set_trace_callback(seen)
        return connection
    sqlite3.connect = connect
    bench = Bench(folder / str(last) / "signer.db")
    if after:
        count = -10**6
        bench.sign(order(withdrawal("w-0"), claims=["0"]))
        count = 0
    out = folder / str(last) / "handed-out"
    raw = bench.signer.sign(order(withdrawal("w-1"), withdrawal("w-2"), claims=["7"]))
    out.write_bytes(raw)
    os._exit(0)

for last in range(1, most):
    child = os.fork()
    if not child:
        try:
            attempt(last, sys.argv[2] == "used")
        finally:
            os._exit(9)
    _, status = os.waitpid(child, 0)
    print(last, os.WTERMSIG(status), os.WEXITSTATUS(status), flush=True)
    if not os.WIFSIGNALED(status):
        break
"""


@pytest.mark.parametrize("store", ["new", "used"])
def test_killed_at_any_statement_it_never_hands_out_two_payments(tmp_path: Path, store: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASH, str(tmp_path), store], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    runs = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(runs) > (20 if store == "used" else 30)
    assert all(killed == signal.SIGKILL for _, killed, _ in runs[:-1])
    assert runs[-1][1:] == (0, 0), done.stderr
    remembered = set()
    for number, *_ in runs:
        folder = tmp_path / str(number)
        handed_out = (folder / "handed-out").exists()
        bench = Bench(folder / "signer.db")
        try:  # whoever lost the ledger meanwhile asks for another place
            bench.sign(order(withdrawal("w-1"), withdrawal("w-2"), claims=["8"]))
            second = True
        except Refused:
            second = False
            bench.sign(order(withdrawal("w-1"), withdrawal("w-2"), claims=["7"]))  # a lost answer
        bench.store.close()
        assert not (handed_out and second), f"killed at statement {number}: paid twice"
        remembered.add(not second)
        with closing(sqlite3.connect(folder / "signer.db")) as read:
            assert read.execute("select count(*) from payment where request_id in ('w-1', 'w-2')").fetchone() == (2,)
    assert remembered == {True, False}


# -- several at once --------------------------------------------------------------------------------------------------

RACE = """
import sys
from pathlib import Path
from cryptosupport.domain.errors import Refused
from tests.signers.signerkit import Bench, order

bench = Bench(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
try:
    bench.sign(order(claims=[sys.argv[2]]))
    print("signed")
except Refused as error:
    print("refused", error)
"""


def race(path: Path, claims: list[str]) -> list[str]:
    """What processes say that sign the same withdrawal with different claims at once."""
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(path), claim], cwd=ROOT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for claim in claims
    ]  # fmt: skip
    for run in runs:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("\n")
        run.stdin.flush()
    return [run.communicate(timeout=90)[0] for run in runs]


@pytest.mark.parametrize("there", [False, True])
def test_of_processes_that_race_for_one_withdrawal_exactly_one_wins(bench: Bench, there: bool) -> None:
    if there:
        bench.sign(order(withdrawal("w-0"), claims=["1"]))
    said = race(bench.path, ["7", "8", "9"])
    assert sum(each == "signed\n" for each in said) == 1, said
    assert sum("could be paid twice" in each for each in said) == 2, said


def test_of_threads_with_stores_of_their_own_exactly_one_wins_each_withdrawal(bench: Bench) -> None:
    won: list[str] = []

    def work(claim: int) -> None:
        own = Bench(bench.path)
        for number in range(20):
            try:
                own.sign(order(withdrawal(f"w-{number}", 1), claims=[str(100 * number + claim)]))
                won.append(f"w-{number}")
            except Refused:
                pass
        own.store.close()

    threads = [threading.Thread(target=work, args=(claim,)) for claim in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == sorted(f"w-{number}" for number in range(20))
