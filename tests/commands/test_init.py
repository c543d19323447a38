"""`init` writes settings to edit, for their owner alone, and never over what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryptosupport.domain.errors import BadSettings
from cryptosupport.settings import (
    PRESETS,
    chain_names,
    folder_to_write,
    load_chain,
    load_desk,
    load_wallets,
    write_presets,
)
from tests.conftest import Program


def test_the_folder_holds_every_preset_and_works_at_once(run: Program, tmp_path: Path) -> None:
    target = tmp_path / "desk" / "settings"
    done = run("init", str(target))
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"wrote 15 file(s) to {target}" in done.stdout
    assert f"cryptosupport doctor --configs {target}" in done.stdout
    assert chain_names(target) == chain_names(PRESETS)
    assert [load_chain(target, name) for name in chain_names(target)] == [
        load_chain(PRESETS, name) for name in chain_names(PRESETS)
    ]
    assert load_desk(target) == load_desk(tmp_path)
    assert load_wallets(target) == {}


def test_nobody_but_the_owner_can_read_or_write_what_is_written(run: Program, tmp_path: Path) -> None:
    target = tmp_path / "settings"
    run("init", str(target))
    assert {path.stat().st_mode & 0o777 for path in (target, target / "chains")} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in target.rglob("*.toml")} == {0o600}


def test_what_is_there_already_is_kept_and_named(run: Program, tmp_path: Path) -> None:
    (tmp_path / "chains").mkdir()
    mine = tmp_path / "chains" / "ethereum.toml"
    mine.write_text("mine", encoding="utf-8")
    done = run("init", str(tmp_path), "--json")
    assert done.exit_code == 0
    assert done.json["folder"] == str(tmp_path)
    assert done.json["kept"] == [str(mine)]
    assert len(done.json["written"]) == 14
    assert mine.read_text(encoding="utf-8") == "mine"
    again = run("init", str(tmp_path))
    assert again.exit_code == 0
    assert f"wrote 0 file(s) to {tmp_path}" in again.stdout
    assert again.stdout.count("kept as it is: ") == 15


def test_a_link_that_leads_nowhere_is_not_written_through(run: Program, tmp_path: Path) -> None:
    target = tmp_path / "settings"
    target.mkdir()
    (target / "desk.toml").symlink_to(tmp_path / "elsewhere")
    assert str(target / "desk.toml") in run("init", str(target), "--json").json["kept"]
    assert not (tmp_path / "elsewhere").exists()


def test_only_the_named_chains_are_written(run: Program, tmp_path: Path) -> None:
    target = tmp_path / "settings"
    assert run("init", str(target), "--chain", "bitcoin", "--chain", "bsc").exit_code == 0
    assert chain_names(target) == ["bitcoin", "bsc"]


def test_a_chain_without_a_preset_is_bad_input_and_nothing_is_written(run: Program, tmp_path: Path) -> None:
    done = run("init", str(tmp_path / "settings"), "--chain", "etherium")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "did you mean ethereum?" in done.stderr
    assert not (tmp_path / "settings").exists()


def test_a_file_where_the_folder_should_be_is_bad_input(run: Program, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("init", str(tmp_path / "file"), "--json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert '"code":"bad_input"' in done.stderr


def test_a_folder_that_cannot_be_made_is_bad_settings(run: Program, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("init", str(tmp_path / "file" / "below"))
    assert (done.exit_code, done.stdout) == (8, "")
    assert "cannot be written: Not a directory" in done.stderr


def test_chains_that_is_a_file_is_bad_settings(tmp_path: Path) -> None:
    (tmp_path / "chains").touch()
    with pytest.raises(BadSettings, match="chains cannot be written: File exists"):
        write_presets(tmp_path)


def test_it_writes_where_the_program_will_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder_to_write("here", {"CRYPTOSUPPORT_CONFIGS": "there"}) == Path("here")
    assert folder_to_write(None, {"CRYPTOSUPPORT_CONFIGS": "there"}) == Path("there")
    assert folder_to_write(None, {}) == tmp_path / ".config" / "cryptosupport"


def test_without_dir_it_is_the_folder_of_configs(run: Program, tmp_path: Path) -> None:
    assert run("init", "--json").json["folder"] == str(tmp_path / "configs")
