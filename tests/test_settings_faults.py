"""Settings that cannot be used, or not be read, are exit 8 with the file named; nothing of a secret is shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cryptosupport.domain.errors import BadSettings
from cryptosupport.settings import (
    PRESETS,
    DeskSettings,
    Endpoint,
    chain_names,
    data_folder,
    find_folder,
    folder_to_write,
    load_chain,
    load_desk,
    load_wallets,
)
from cryptosupport.settings.policy import load_policy
from cryptosupport.settings.reading import MOST_BYTES

EVM = 'family = "evm"\n'
ENDPOINT = EVM + "endpoints = [%s]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "chains").mkdir()
    return tmp_path


def refusal(folder: Path, text: str) -> str:
    """What is said about chains/dev.toml when it holds ``text``."""
    path = folder / "chains" / "dev.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadSettings) as caught:
        load_chain(folder, "dev")
    assert caught.value.exit_code == 8
    assert caught.value.message.startswith(str(path))
    return caught.value.message


@contextmanager
def closed(path: Path) -> Iterator[None]:
    """``path`` may not be read or searched, not by root either."""
    path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        path.chmod(0o700)


# -- what stands in a file -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ENDPOINT % '"127.0.0.1:8545"', "url: use http:// or https://"),
        (ENDPOINT % '"http://a", "wss://eth.example.com/v2/KEYKEY"', "url: use http:// or https://"),
        (ENDPOINT % '"http://[::1"', "url: its host or port cannot be read"),
        (ENDPOINT % '{ url = "http://a:99999" }', "url: its host or port cannot be read"),
        (ENDPOINT % '"https:///v2/KEYKEY"', "url: it names no host"),
        (ENDPOINT % '{ url = "http://a", timeout = "999999999d" }', "timeout has to be above zero and at most 1h"),
        (ENDPOINT % '{ url = "http://a", cookie_file = "~nosuchuser/x" }', "cookie_file: the home folder that its ~"),
        (ENDPOINT % '{ url = "http://a", cookie_file = "a\\u0000b" }', "cookie_file: it holds a NUL"),
        (EVM + 'explorer = "https://[::1/tx/{txid}"', "explorer or explorer_hosts: "),
        (EVM + 'explorer_hosts = ["[bad"]', "explorer or explorer_hosts: "),
        (EVM + 'block_time = "999999999d"', "block_time '999999999d': use at most 1d"),
        (EVM + "chain_id = 0", "chain_id: use 1 or more"),
        (EVM + "chain_id = -1", "chain_id: use 1 or more"),
        (EVM + f"chain_id = {'9' * 5000}", "is not valid TOML: "),
        (f"x = {'[' * 5000}{']' * 5000}", "nested too deeply"),
        ('family = "__init__"', "family '__init__': use evm or bitcoin"),
        ('family = "_evm"', "family '_evm': "),
        ('family = "evm.chain"', "family 'evm.chain': "),
    ],
)
def test_what_cannot_be_used_is_refused_and_the_file_is_named(folder: Path, text: str, said: str) -> None:
    shown = refusal(folder, text)
    assert said in shown
    assert "KEYKEY" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@s3cr/word@127.0.0.1:9/",
        "http://user:hunter2/s3cr@127.0.0.1:9/",
        "http://user:hunter2@s3cr@127.0.0.1:9/",
        "http://user:hunter2#s3cr@127.0.0.1:9/",
        "http://user:hunter2?s3cr@127.0.0.1:9/",
        "http://user:1/s3cr@127.0.0.1:9/",
    ],
)
@pytest.mark.parametrize("form", ['"%s"', '{ url = "%s" }'])
def test_a_password_that_hides_where_the_host_begins_is_refused_and_not_shown(
    folder: Path, url: str, form: str
) -> None:
    said = refusal(folder, ENDPOINT % (form % url))
    assert "in a user, password or path write %40 for @, %2F for /" in said
    assert not [part for part in ("hunter2", "s3cr", "word@", "127.0.0.1") if part in said]


@pytest.mark.parametrize("url", ["http://user:hunter2%2Fs3cr%40@127.0.0.1:9/", "https://[::1]:8545/v2", "keyring:node"])
def test_a_url_whose_host_is_certain_is_taken(url: str) -> None:
    assert Endpoint(url=url).url == url


# -- which files there are -------------------------------------------------------------------------------------------


def test_an_editors_hidden_files_are_no_chains(folder: Path) -> None:
    (folder / "chains" / ".#dev.toml").symlink_to("nobody@nowhere.17")
    (folder / "chains" / ".dev.toml").touch()
    assert chain_names(folder) == []


@pytest.mark.parametrize(("name", "said"), [("dev", "No such file or directory"), ("loop", "symbolic links")])
def test_a_chain_that_is_a_link_to_nothing_is_named(folder: Path, name: str, said: str) -> None:
    (folder / "chains" / "dev.toml").symlink_to("nowhere")
    (folder / "chains" / "loop.toml").symlink_to("loop.toml")
    with pytest.raises(BadSettings, match=rf"chains/{name}\.toml cannot be read: .*{said}"):
        load_chain(folder, name)


def test_a_file_whose_name_no_chain_can_have_is_named(folder: Path) -> None:
    (folder / "chains" / "dev (copy).toml").touch()
    with pytest.raises(BadSettings, match=r"dev \(copy\)\.toml: a chain's name holds .* rename the file"):
        load_chain(folder, "dev (copy)")


def test_a_chain_name_longer_than_any_file_name_is_no_chain(folder: Path) -> None:
    with pytest.raises(BadSettings, match="there are: none"):
        load_chain(folder, "x" * 300)


@pytest.mark.parametrize("name", ["wallets.toml", "desk.toml"])
@pytest.mark.parametrize("is_link", [True, False])
def test_a_link_to_nothing_and_a_folder_are_not_taken_for_an_absent_file(
    folder: Path, name: str, is_link: bool
) -> None:
    if is_link:
        (folder / name).symlink_to("nowhere")
    else:
        (folder / name).mkdir()
    with pytest.raises(BadSettings, match=rf"{name} cannot be read: "):
        load_wallets(folder) if name == "wallets.toml" else load_desk(folder)


@pytest.mark.parametrize("name", ["wallets.toml", "desk.toml", "policy.toml", "chains/dev.toml"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("pipe", "it is no regular file"),
        ("/dev/zero", "it is no regular file"),
        ("large", "it has more than 1048576 bytes"),
    ],
)
def test_what_is_no_file_and_what_is_too_large_is_told_and_not_waited_for(
    folder: Path, name: str, kind: str, said: str
) -> None:
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "large":
        (folder / name).write_bytes(b"#" * (MOST_BYTES + 1))
    else:
        (folder / name).symlink_to(kind)
    read = {"wallets.toml": load_wallets, "desk.toml": load_desk, "policy.toml": load_policy}
    with pytest.raises(BadSettings, match=rf"{name} cannot be read: .*{said}"):
        read.get(name, lambda folder: load_chain(folder, "dev"))(folder)


def test_a_file_of_the_greatest_size_is_read(folder: Path) -> None:
    (folder / "desk.toml").write_bytes(b"#" * MOST_BYTES)
    assert load_desk(folder) == DeskSettings()


# -- folders that are closed, too long, or nobody's ------------------------------------------------------------------


def test_settings_that_may_not_be_read_are_bad_settings(folder: Path) -> None:
    (folder / "desk.toml").touch()
    with closed(folder):
        for read in (chain_names, load_desk, load_wallets, lambda folder: load_chain(folder, "dev")):
            with pytest.raises(BadSettings, match="cannot be read: Permission denied"):
                read(folder)


def test_a_closed_home_is_told_and_the_presets_do_not_answer_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".config").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    with closed(tmp_path / ".config"), pytest.raises(BadSettings, match="cannot be read: Permission denied"):
        find_folder(None, {})


def test_a_folder_name_that_is_too_long_is_bad_settings() -> None:
    with pytest.raises(BadSettings, match="cannot be read: File name too long"):
        find_folder("x" * 5000, {})


def test_a_user_without_a_home_works_with_named_folders_and_with_the_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert data_folder("/data", {}) == Path("/data")
    assert find_folder(str(PRESETS), {}) == PRESETS
    if not Path("/etc/cryptosupport").is_dir():
        assert find_folder(None, {}) == PRESETS
    with pytest.raises(BadSettings, match="no home folder: name a folder for data with --data DIR"):
        data_folder(None, {})
    with pytest.raises(BadSettings, match="no home folder: name the folder to write"):
        folder_to_write(None, {})
