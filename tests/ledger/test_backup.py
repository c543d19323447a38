"""A copy is whole or not there, of one moment, and a ledger like the one that it was made of."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, text

from cryptosupport.domain.errors import BadInput, BadSettings, Unreachable
from cryptosupport.ledger import backup, schema, tables
from cryptosupport.ledger.backup import back_up
from cryptosupport.ledger.engine import open_engine, reading, writing
from tests.ledger.ledgerkit import a_row, stamp

UINT256 = 2**256 - 1


@contextmanager
def restored(copy: Path) -> Iterator[Engine]:
    """The copy, opened as a ledger."""
    engine = open_engine(f"sqlite:///{copy}", Path())
    schema.ready(engine)
    yield engine
    engine.dispose()


def rows(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """All that a ledger holds, by table."""
    with reading(engine) as connection:
        found = {
            name: connection.execute(select(table).order_by(*table.primary_key)).all()
            for name, table in tables.metadata.tables.items()
        }
    return {name: [tuple(row) for row in each] for name, each in found.items()}


@pytest.fixture
def ledger(ledger_engine: Engine) -> Engine:
    """A ledger with a row or more in every table."""
    schema.ready(ledger_engine)
    amounts = [0, 1, 2**63, UINT256]
    withdrawals = [
        a_row(tables.withdrawal, id=n, request_id=f"r-{n}", base_units=amount, value=amount, note="客户 \U0010ffff")
        | {"signed": bytes(range(256)), "fee_units": amount}
        for n, amount in enumerate(amounts, 1)
    ]
    with writing(ledger_engine) as connection:
        connection.execute(insert(tables.withdrawal), withdrawals)
        connection.execute(
            insert(tables.decision), [a_row(tables.decision, withdrawal_id=n, turn=1) for n in range(1, 5)]
        )
        connection.execute(insert(tables.tally), [a_row(tables.tally, booked=UINT256**2, waiting=-(UINT256**2))])
        connection.execute(insert(tables.last_price), [a_row(tables.last_price, usd=UINT256)])
        connection.execute(insert(tables.policy), [a_row(tables.policy, text="[[rules]]")])
        connection.execute(insert(tables.note), [a_row(tables.note, withdrawal_id=1)])
        for table in (tables.window, tables.audit, tables.statement, tables.change, tables.freeze):
            connection.execute(insert(table), [a_row(table)])
        for table in (tables.screen_list, tables.screen_entry, tables.hook, tables.hook_due):
            connection.execute(insert(table), [a_row(table)])
        connection.execute(insert(tables.purse), [a_row(tables.purse)])
        connection.execute(insert(tables.payout), [a_row(tables.payout, id=1, fee=UINT256)])
        connection.execute(insert(tables.payout_claim), [a_row(tables.payout_claim, payout_id=1)])
        connection.execute(insert(tables.payout_item), [a_row(tables.payout_item, payout_id=1, withdrawal_id=1)])
        connection.execute(insert(tables.attempt), [a_row(tables.attempt, payout_id=1, raw=bytes(range(256)))])
        connection.execute(tables.book.update().values(last_id=4, last_at=2**40, policy="h"))
    return ledger_engine


def test_a_copy_is_a_ledger_with_the_same_rows(ledger: Engine, tmp_path: Path) -> None:
    counts = back_up(ledger, tmp_path / "copy.db")
    before = rows(ledger)
    assert counts == {name: len(each) for name, each in before.items()}
    assert min(counts.values()) >= 1
    with restored(tmp_path / "copy.db") as copy:
        assert rows(copy) == before
        assert schema.status(copy)["revision"] == schema.HEAD


def test_a_copy_is_one_file_for_its_owner_alone_that_a_read_only_disk_can_hold(ledger: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    back_up(ledger, folder / "copy.db")
    assert [path.name for path in folder.iterdir()] == ["copy.db"]
    assert (folder / "copy.db").stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(folder / "copy.db")) as copy:
        assert copy.execute("pragma journal_mode").fetchone() == ("delete",)
        assert copy.execute("pragma foreign_key_check").fetchall() == []


def test_a_copy_of_a_copy_is_the_same(ledger: Engine, tmp_path: Path) -> None:
    back_up(ledger, tmp_path / "copy.db")
    with restored(tmp_path / "copy.db") as copy:
        back_up(copy, tmp_path / "second.db")
    with restored(tmp_path / "second.db") as second:
        assert rows(second) == rows(ledger)


WRITER = """
import sys
from pathlib import Path
from sqlalchemy import insert
from cryptosupport.ledger import tables
from cryptosupport.ledger.engine import open_engine, writing
engine = open_engine(sys.argv[1], Path(sys.argv[2]))
number = 0
while True:
    with writing(engine) as connection:
        rows = [{"hash": f"{number:09}-{part}", "text": "x" * 20000, "first_at": number} for part in range(10)]
        connection.execute(insert(tables.policy), rows)
        connection.execute(tables.book.update().values(last_id=number + 1))
    number += 1
    if number % 10 == 0:
        print(number, flush=True)
"""


def test_a_copy_is_of_one_moment_while_others_write(
    ledger_url: str, ledger_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_PAGES", 50)  # in many pieces, as a large ledger is
    schema.ready(ledger_engine)
    command = [sys.executable, "-c", WRITER, ledger_url, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(5):
            writer.stdout.readline()
        for number in range(3):
            counts = back_up(ledger_engine, tmp_path / f"{number}.db")
            with restored(tmp_path / f"{number}.db") as copy, reading(copy) as connection:
                last = connection.execute(select(tables.book.c.last_id)).scalar_one()
            assert counts["policy"] == 10 * last  # each transaction wrote ten and counted itself
            assert last >= 50
        writer.kill()
    with reading(ledger_engine) as connection:
        assert connection.execute(select(tables.book.c.last_id)).scalar_one() > last  # it went on meanwhile


def test_a_file_that_is_there_is_never_written_over(ledger: Engine, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("mine", encoding="utf-8")
    (tmp_path / "link.db").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    for name in ("copy.db", "link.db", "folder"):
        with pytest.raises(BadInput, match="is there already"):
            back_up(ledger, tmp_path / name)
    assert (tmp_path / "copy.db").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_is_not_there_is_bad_input(ledger: Engine, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be written: No such file or directory"):
        back_up(ledger, tmp_path / "nowhere" / "copy.db")
    with pytest.raises(BadInput, match="cannot be written: File name too long"):
        back_up(ledger, tmp_path / ("x" * 250))


def test_without_a_ledger_there_is_nothing_to_copy(ledger_engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="nothing to back up"):
        back_up(ledger_engine, tmp_path / "copy.db")
    with ledger_engine.begin() as connection:
        connection.execute(text("create table users (id integer)"))
    with pytest.raises(BadSettings, match="holds no ledger: nothing to back up"):
        back_up(ledger_engine, tmp_path / "copy.db")
    assert not list(tmp_path.glob("*copy*"))


LIMITED = """
import resource, signal, sys
from pathlib import Path
from cryptosupport.ledger.backup import back_up
from cryptosupport.ledger.engine import open_engine
engine = open_engine(sys.argv[1], Path(sys.argv[2]))
engine.connect().close()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
back_up(engine, Path(sys.argv[3]))
"""


def test_a_copy_that_the_disk_cannot_hold_is_not_there(ledger_url: str, ledger: Engine, tmp_path: Path) -> None:
    with writing(ledger) as connection:
        connection.execute(insert(tables.policy).values(hash="large", text="x" * 500_000, first_at=0))
    target = tmp_path / "copy.db"
    command = [sys.executable, "-c", LIMITED, ledger_url, str(tmp_path / "data"), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("cryptosupport.domain.errors.Unreachable")
    assert str(target) in last
    assert not list(tmp_path.glob("*copy*"))


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from cryptosupport.ledger.backup import back_up
from cryptosupport.ledger.engine import open_engine
def interrupt(event, arguments):
    if event == sys.argv[4] and str(arguments[0]).endswith(".part"):
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(interrupt)
back_up(open_engine(sys.argv[1], Path(sys.argv[2])), Path(sys.argv[3]))
"""


@pytest.mark.parametrize("moment", ["sqlite3.connect", "os.rename"])
def test_ctrl_c_leaves_no_copy_behind(ledger_url: str, ledger: Engine, tmp_path: Path, moment: str) -> None:
    where = [ledger_url, str(tmp_path / "data"), str(tmp_path / "copy.db")]
    command = [sys.executable, "-c", INTERRUPTED, *where, moment]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGINT, done.stderr
    assert not list(tmp_path.glob("*copy*"))


def test_a_damaged_ledger_is_told_and_not_kept_as_a_copy(tmp_path: Path) -> None:
    engine = open_engine("sqlite:///ledger.db", tmp_path)
    schema.ready(engine)
    with writing(engine) as connection:
        connection.execute(insert(tables.policy).values(hash="h", text="x" * 50_000, first_at=0))
    engine.dispose()
    damaged = bytearray((tmp_path / "ledger.db").read_bytes())
    damaged[-40_960:-36_864] = b"\xff" * 4096
    (tmp_path / "ledger.db").write_bytes(damaged)
    with pytest.raises(Unreachable, match="is damaged"):
        back_up(engine, tmp_path / "copy.db")
    engine.dispose()
    assert not list(tmp_path.glob("*copy*"))


def test_a_ledger_of_an_older_version_is_copied_before_it_is_upgraded(ledger: Engine, tmp_path: Path) -> None:
    stamp(ledger, "0000")
    if ledger.dialect.name == "sqlite":
        assert back_up(ledger, tmp_path / "copy.db")["withdrawal"] == 4
    else:
        with pytest.raises(BadSettings, match="at revision 0000 and this program copies 0004: use pg_dump"):
            back_up(ledger, tmp_path / "copy.db")
