"""The freeze file: whatever is wrong with it freezes, and what was lifted leaves it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.freezes import Freeze, Scope, line_of, read_lines
from cryptosupport.outside.freezefile import append, forget, read

ID = "00112233aabbccdd"


def scopes(path: Path) -> list[str]:
    return [line.scope.text for line in read(path)]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def freeze(scope: Scope, reason: str = "a drill", id: str = ID) -> Freeze:
    return Freeze(id, scope, reason, "alice", True, 0, "operator")


def test_without_a_file_nothing_is_frozen(tmp_path: Path) -> None:
    assert read(tmp_path / "freeze") == []
    assert read(tmp_path / "no" / "freeze") == []


@pytest.mark.parametrize(
    "content",
    [
        b"all\n",
        b"all",
        b"all because of the outflow\n",
        b"",
        b"\n \t\n",
        b"# only a comment\n",
        b"everything!\n",
        b"chain=\n",
        b"0011223344556677\n",
        b"\xff\xfe\x00\xc3\x28 garbage",
        "all\n".encode("utf-16"),
        "﻿asset=BTC\n".encode(),
        b"x" * (1 << 20),
        b"y" * ((1 << 20) + 1),
        b"asset=BTC\n" * 100_000,
    ],
    ids=lambda content: f"{content[:12]!r} of {len(content)}",
)
def test_a_file_that_says_nothing_else_for_sure_freezes_everything(tmp_path: Path, content: bytes) -> None:
    lines = read(written(tmp_path / "freeze", content))
    assert [line.scope for line in lines] == [Scope("all")] * len(lines)
    assert 1 <= len(lines) <= 2
    assert all(line.reason.isprintable() and len(line.reason) <= 300 for line in lines)


def test_a_folder_a_pipe_and_a_link_that_leads_nowhere_freeze_everything(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("folder", "pipe", "link"):
        assert scopes(tmp_path / name) == ["all"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_freezes_everything(tmp_path: Path) -> None:
    path = written(tmp_path / "freeze", b"asset=BTC\n")
    path.chmod(0)
    assert scopes(path) == ["all"]


def test_two_files_that_cannot_be_read_are_two_freezes(tmp_path: Path) -> None:
    path = tmp_path / "freeze"
    path.mkdir()
    os.utime(path, (1, 1))
    (first,) = read(path)
    os.utime(path, (2, 2))
    (second,) = read(path)
    assert first.freeze_id != second.freeze_id
    os.utime(path, (2, 2))
    time.sleep(0.02)
    path.chmod(0o711)  # it was readable meanwhile, perhaps
    (third,) = read(path)
    assert third.freeze_id != second.freeze_id
    assert read(path) == [third]
    assert third.unread


def test_lines_name_what_they_freeze_and_why(tmp_path: Path) -> None:
    text = f"# since monday\n\nasset=BTC depeg\n{ID} customer=Ann%20B%25 it was\n"
    lines = read(written(tmp_path / "freeze", text.encode()))
    assert [(line.scope, line.reason) for line in lines] == [
        (Scope("asset", "BTC"), "depeg"),
        (Scope("customer", "Ann B%"), "it was"),
    ]
    assert lines[1].freeze_id == ID


@pytest.mark.parametrize("value", ["Ann B", "a%20b", "100%", "客户 7", "%25 %20"])
def test_a_line_of_the_program_means_what_was_frozen(value: str) -> None:
    (line,) = read_lines(line_of(freeze(Scope("customer", value), "two\nlines\x00")), 0)
    assert (line.id, line.scope, line.reason) == (ID, Scope("customer", value), "two lines?")


def test_what_a_person_writes_is_another_freeze_when_it_is_written_again(tmp_path: Path) -> None:
    path = written(tmp_path / "freeze", b"all\n")
    os.utime(path, (1, 1))
    (before,) = read(path)
    assert read(path) == [before]
    os.utime(path, (2, 2))
    (after,) = read(path)
    assert before.freeze_id != after.freeze_id


def test_a_line_is_added_on_a_line_of_its_own(tmp_path: Path) -> None:
    path = written(tmp_path / "freeze", b"asset=BTC")
    append(path, [line_of(freeze(Scope("asset", "ETH")))])
    assert scopes(path) == ["asset=BTC", "asset=ETH"]
    assert path.read_text(encoding="utf-8") == f"asset=BTC\n{ID} asset=ETH a drill\n"


def test_where_no_file_can_be_written_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "folder", tmp_path / "file" / "freeze", tmp_path / "pipe"):
        with pytest.raises(BadSettings, match="cannot be written"):
            append(path, ["all\n"])


def test_what_was_lifted_leaves_the_file_and_the_rest_stays_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path / "freeze", f"# why\nall\n{ID} asset=ETH a\nasset=BTC\n".encode())
    path.chmod(0o660)
    os.utime(path, (7, 7))
    everything, _, btc = (line.freeze_id for line in read(path))
    forget(path, {everything, ID})
    assert path.read_text(encoding="utf-8") == "# why\nasset=BTC\n"
    assert path.stat().st_mode & 0o777 == 0o660
    assert [line.freeze_id for line in read(path)] == [btc]
    forget(path, {btc})
    assert not path.exists()
    forget(path, {btc})


def test_a_file_in_which_nothing_was_lifted_is_not_touched(tmp_path: Path) -> None:
    path = written(tmp_path / "freeze", b"all\n")
    before = path.stat()
    forget(path, {"ffffffffffffffff"})
    forget(path, set())
    assert path.stat() == before


def test_an_empty_file_that_was_lifted_is_removed(tmp_path: Path) -> None:
    path = written(tmp_path / "freeze", b"# drill\n")
    (line,) = read(path)
    forget(path, {line.freeze_id})
    assert not path.exists()


def test_two_at_once_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "freeze"
    ids = [f"{number:016x}" for number in range(60)]

    def add(which: list[str]) -> None:
        for id in which:
            append(path, [line_of(freeze(Scope("customer", f"c-{id}"), id=id))])

    def lift(which: list[str]) -> None:
        for id in which:
            while all(line.id != id for line in read(path)):
                pass
            forget(path, {id})

    halves = ids[:20], ids[20:40], ids[40:]
    work = [threading.Thread(target=add, args=[half]) for half in halves]
    work.append(threading.Thread(target=lift, args=[halves[0]]))
    for each in work:
        each.start()
    for each in work:
        each.join()
    assert sorted(line.freeze_id for line in read(path)) == ids[20:]
