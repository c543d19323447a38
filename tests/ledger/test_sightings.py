"""The memory of earlier look-ups."""

import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cryptosupport.domain.transactions import Sighting
from cryptosupport.ledger.sightings import Forgetful, Sightings

SEEN = Sighting("ethereum", "0xaa", 100, 100, "pending", sender="0x11", nonce=2**64 - 2)


def refuse(message: str) -> None:
    raise AssertionError(message)


def memory(folder: Path) -> Sightings:
    return Sightings(folder / "deep" / "sightings.db", refuse)


def test_what_was_seen_is_recalled_by_a_later_process(tmp_path: Path) -> None:
    first = memory(tmp_path)
    first.remember([SEEN, replace(SEEN, txid="bb", chain="bitcoin", inputs=("cc:0", "dd:1"), nonce=None)])
    first.close()
    later = memory(tmp_path)
    assert later.recall("ethereum", ["0xaa", "0xbb"]) == {"0xaa": SEEN}
    assert later.recall("bitcoin", ["bb"])["bb"].inputs == ("cc:0", "dd:1")
    later.close()


def test_the_first_sighting_and_known_facts_stay(tmp_path: Path) -> None:
    kept = memory(tmp_path)
    kept.remember([SEEN])
    kept.remember([Sighting("ethereum", "0xaa", 200, 200, "confirming", "0xblock", 7)])
    kept.remember([Sighting("ethereum", "0xaa", 300, 300, "pending")])
    now = kept.recall("ethereum", ["0xaa"])["0xaa"]
    assert (now.first_seen, now.last_seen, now.state) == (100, 300, "pending")
    assert (now.block_hash, now.height, now.sender, now.nonce) == ("0xblock", 7, "0x11", 2**64 - 2)
    kept.close()


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    def write(own: Sightings, start: int) -> None:
        for number in range(start, start + 200):
            own.remember([replace(SEEN, txid=str(number))])
        own.close()

    together(lambda start: write(memory(tmp_path), start), (0, 1000))
    both = memory(tmp_path)
    assert len(both.recall("ethereum", [str(n) for n in [*range(200), *range(1000, 1200)]])) == 400
    both.close()


def test_processes_that_make_the_file_at_once_wait_for_each_other(tmp_path: Path) -> None:
    def write(own: Sightings, number: int) -> None:
        own.remember([replace(SEEN, txid=str(number))])
        own.close()

    for attempt in range(50):
        folder = tmp_path / str(attempt)
        together(lambda number: write(memory(folder), number), range(4))  # noqa: B023  # done before the next attempt
        kept = memory(folder)
        assert len(kept.recall("ethereum", [str(number) for number in range(4)])) == 4
        kept.close()


def together(write: Callable[[int], None], numbers: Iterable[int]) -> None:
    threads = [threading.Thread(target=write, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_file_that_cannot_be_used_is_a_warning_once(tmp_path: Path) -> None:
    warnings: list[str] = []
    (tmp_path / "sightings.db").write_bytes(b"this is no database" * 100)
    broken = Sightings(tmp_path / "sightings.db", warnings.append)
    broken.remember([SEEN])
    broken.remember([SEEN])
    assert broken.recall("ethereum", ["0xaa"]) == {}
    assert len(warnings) == 1
    assert "not remembered" in warnings[0]
    broken.close()


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    (tmp_path / "file").write_text("")
    broken = Sightings(tmp_path / "file" / "sightings.db", warnings.append)
    broken.remember([SEEN])
    assert len(warnings) == 1
    broken.close()


def test_a_file_that_another_holds_is_a_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    path = tmp_path / "sightings.db"
    Sightings(path, refuse).remember([SEEN])
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("begin immediate")
    locked_out = Sightings(path, warnings.append)
    locked_out.remember([SEEN])
    assert len(warnings) == 1
    holder.close()


@pytest.mark.parametrize(
    "damage",
    [
        "nonce = 'x'",
        "nonce = '-1'",
        "nonce = '99999999999999999999999999'",
        "first_seen = 'soon'",
        "last_seen = 9e99",
        "last_seen = -1",
        "height = -5",
    ],
)
def test_a_damaged_row_is_passed_over_with_a_warning_and_the_others_count(tmp_path: Path, damage: str) -> None:
    warnings: list[str] = []
    kept = Sightings(tmp_path / "sightings.db", warnings.append)
    kept.remember([SEEN, replace(SEEN, txid="0xbb")])
    with closing(sqlite3.connect(tmp_path / "sightings.db", isolation_level=None)) as other:
        other.execute(f"update sighting set {damage} where txid = '0xaa'")
    assert list(kept.recall("ethereum", ["0xaa", "0xbb"])) == ["0xbb"]
    assert warnings == [f"a damaged entry in {tmp_path / 'sightings.db'} is passed over"]
    kept.remember([replace(SEEN, txid="0xcc")])
    assert "0xcc" in kept.recall("ethereum", ["0xcc"])
    kept.close()


def test_a_time_beyond_every_calendar_is_the_last_one_that_can_be_shown(tmp_path: Path) -> None:
    kept = memory(tmp_path)
    kept.remember([replace(SEEN, first_seen=99_999_999_999_999, last_seen=99_999_999_999_999)])
    seen = kept.recall("ethereum", ["0xaa"])["0xaa"]
    for time in (seen.first_seen, seen.last_seen):
        assert datetime.fromtimestamp(time, UTC).year == 9999
    kept.close()


def test_a_sender_that_is_no_text_is_no_address(tmp_path: Path) -> None:
    kept = memory(tmp_path)
    kept.remember([SEEN, replace(SEEN, txid="0xbb")])
    with closing(sqlite3.connect(tmp_path / "deep" / "sightings.db", isolation_level=None)) as other:
        other.execute("update sighting set sender = x'ff' where txid = '0xaa'")
    assert kept.addresses() == ["0x11"]
    kept.close()


def test_forgetful_keeps_nothing() -> None:
    nothing = Forgetful()
    nothing.remember([SEEN])
    assert nothing.recall("ethereum", ["0xaa"]) == {}
    nothing.close()
