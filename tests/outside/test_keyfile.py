"""The sealed keyring: what others can see of it, many writers at once, a kill at any moment, and hostile files."""

from __future__ import annotations

import base64
import configparser
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from keyring.errors import InitError, KeyringError, KeyringLocked, PasswordDeleteError, PasswordSetError

from cryptosupport.outside import keyfile
from cryptosupport.outside.keyfile import FILE, PASSPHRASE, PASSPHRASE_FILE, Keyring
from cryptosupport.settings.reading import MOST_BYTES

ROOT = Path(__file__).parents[2]
SERVICE = "cryptosupport"
SECRET = "legal winner thank year"
WORDS = "correct horse"


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the keyring, which is not there yet; its passphrase is in the environment."""
    path = tmp_path / "secrets" / "keyring"
    monkeypatch.setenv(FILE, str(path))
    monkeypatch.setenv(PASSPHRASE, WORDS)
    monkeypatch.delenv(PASSPHRASE_FILE, raising=False)
    return path


def kept(name: str) -> str | None:
    return Keyring().get_password(SERVICE, name)


def keep(name: str, value: str = SECRET) -> None:
    Keyring().set_password(SERVICE, name, value)


def child(*arguments: str) -> subprocess.Popen[str]:
    """A process of `keykit`."""
    line = [sys.executable, "-W", "error", "-m", "tests.outside.keykit", *arguments]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> Any:
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return json.loads(text)


def changed(path: Path, *keys: str, to: object) -> None:
    """Change one value of the file."""
    table = whole = json.loads(path.read_bytes())
    for key in keys[:-1]:
        table = table[key]
    table[keys[-1]] = to
    path.write_text(json.dumps(whole), encoding="utf-8")


# -- what is kept ----------------------------------------------------------------------------------------------------


def test_what_is_set_comes_back_and_what_is_deleted_does_not() -> None:
    assert kept("hot-eth") is None
    keep("hot-eth", "one")
    keep("hot-btc", "two")
    keep("hot-eth", "three")
    Keyring().set_password("another program", "hot-eth", "four")
    assert (kept("hot-eth"), kept("hot-btc"), kept("hot")) == ("three", "two", None)
    Keyring().delete_password(SERVICE, "hot-eth")
    assert (kept("hot-eth"), kept("hot-btc")) == (None, "two")
    assert Keyring().get_password("another program", "hot-eth") == "four"
    with pytest.raises(PasswordDeleteError, match="holds no secret of that name"):
        Keyring().delete_password(SERVICE, "hot-eth")


@pytest.mark.parametrize("value", ["", " \n", "密钥", "a\0b", "\udcff", "-----BEGIN\nkey\n-----END\n", "x" * 65536])
def test_every_text_comes_back_as_it_was(value: str) -> None:
    keep("name é\n", value)
    assert kept("name é\n") == value


def test_neither_names_nor_values_are_in_the_file_and_only_its_owner_can_read_it(path: Path) -> None:
    keep("hot-eth")
    data = path.read_bytes()
    sealed = base64.b64decode(json.loads(data)["sealed"])
    for part in (b"hot-eth", SERVICE.encode(), SECRET.encode(), WORDS.encode()):
        assert part not in sealed
        assert base64.b64encode(part)[:-4] not in data
    assert b"hot-eth" not in data
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_any_program_with_scrypt_and_aes_gcm_can_open_it(path: Path) -> None:
    keep("hot-eth")
    file = json.loads(path.read_bytes())
    scrypt = file["header"]["scrypt"]
    assert (scrypt["n"], scrypt["r"], scrypt["p"]) == (1 << 15, 8, 1)
    salt = base64.b64decode(scrypt.pop("salt"))
    key = hashlib.scrypt(WORDS.encode(), salt=salt, **scrypt, maxmem=1 << 26, dklen=32)
    header = json.dumps(json.loads(path.read_bytes())["header"], separators=(",", ":")).encode()
    nonce, sealed = base64.b64decode(file["nonce"]), base64.b64decode(file["sealed"])
    assert json.loads(AESGCM(key).decrypt(nonce, sealed, header)) == {SERVICE: {"hot-eth": SECRET}}


def test_a_nonce_is_never_used_twice(path: Path) -> None:
    nonces = set()
    for _ in range(20):
        keep("hot-eth")
        nonces.add(json.loads(path.read_bytes())["nonce"])
    assert len(nonces) == 20


def test_a_process_derives_the_key_once() -> None:
    keep("hot-eth")
    before = keyfile._derived.cache_info().misses
    for _ in range(20):
        assert kept("hot-eth") == SECRET
    assert keyfile._derived.cache_info().misses == before


def test_a_link_stays_a_link_and_what_it_leads_to_is_changed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    (tmp_path / "disk").mkdir()
    path.symlink_to(tmp_path / "disk" / "sealed")
    for change in (lambda: keep("hot-eth"), lambda: kept("hot-eth")):
        with pytest.raises(KeyringLocked, match="is a link that leads nowhere"):
            change()
    path.unlink()
    keep("hot-eth")
    path.rename(tmp_path / "disk" / "sealed")
    path.symlink_to(tmp_path / "disk" / "sealed")
    keep("hot-btc")
    assert path.is_symlink()
    assert (kept("hot-eth"), kept("hot-btc")) == (SECRET, SECRET)


# -- many at once, and killed ----------------------------------------------------------------------------------------


def test_eight_writers_at_once_lose_nothing() -> None:
    processes = [child("write", f"writer-{number}", "5") for number in range(8)]
    for process in processes:
        said(process)
    for number in range(8):
        for each in range(5):
            assert kept(f"writer-{number}-{each}") == f"value writer-{number} {each}"


OLD, NEW = {"a": "old", "b": "stays"}, {"a": "new", "b": "stays"}


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        ("kill first", {"a": None, "b": None}, {"a": "new", "b": None}),
        ("kill set", OLD, NEW),
        ("kill delete", OLD, {"a": None, "b": "stays"}),
    ],
)
def test_a_kill_at_every_step_leaves_the_old_file_or_the_new_one_and_the_next_writer_works(
    change: str, before: dict[str, str | None], after: dict[str, str | None]
) -> None:
    found = said(child(change))
    assert found["broken"] == []
    renamed = found["points"].index("after rename")  # the points before it leave the old one
    assert found["states"] == [before] * renamed + [after] * (len(found["points"]) - renamed)


def test_the_file_is_on_disk_before_its_name_and_the_name_before_the_writer_says_so() -> None:
    steps = [step for step in said(child("kill set"))["points"] if step.startswith("after")]
    order = [step for step in steps if step in ("after flock", "after write", "after fsync", "after rename")]
    assert order == ["after flock", *["after write"] * (len(order) - 4), "after fsync", "after rename", "after fsync"]
    assert order.count("after write") > 3


def test_a_kill_at_any_moment_loses_nothing_that_was_told() -> None:
    assert said(child("kill at random", "40")) == []


def test_a_writer_waits_for_another_one_and_says_so_when_that_takes_too_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("hot-eth", "old")
    monkeypatch.setattr(keyfile, "PATIENCE", 0.05)
    with open(path.with_name("keyring.lock"), "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(PasswordSetError, match=r"another run holds the lock .*keyring.lock for 0.05 s"):
            keep("hot-eth", "new")
        with pytest.raises(PasswordDeleteError, match="nothing was changed: try again"):
            Keyring().delete_password(SERVICE, "hot-eth")
        assert kept("hot-eth") == "old"  # who reads does not wait
    keep("hot-eth", "new")
    assert kept("hot-eth") == "new"


def test_what_a_dead_writer_left_behind_does_no_harm(path: Path) -> None:
    keep("hot-eth")
    path.with_name("keyring.tmp").write_bytes(b"half")
    path.with_name("keyring.lock").write_bytes(b"12345")
    assert kept("hot-eth") == SECRET
    keep("hot-btc")
    assert (kept("hot-eth"), path.with_name("keyring.tmp").exists()) == (SECRET, False)


def test_a_temporary_file_that_somebody_made_a_link_is_not_written_through(path: Path, tmp_path: Path) -> None:
    keep("hot-eth")
    (tmp_path / "victim").write_bytes(b"precious")
    path.with_name("keyring.tmp").symlink_to(tmp_path / "victim")
    keep("hot-btc")
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert kept("hot-btc") == SECRET


@pytest.mark.parametrize("step", ["write", "fsync", "rename", "open"])
def test_a_disk_that_fails_leaves_the_old_file_and_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    keep("hot-eth", "old")
    whole = getattr(os, step)

    def fail(first: Any, *rest: Any) -> Any:
        if step == "open" and not str(first).endswith(".tmp"):
            return whole(first, *rest)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, step, fail)
        with pytest.raises(PasswordSetError, match="cannot be written: No space left on device"):
            keep("hot-eth", "new")
    assert kept("hot-eth") == "old"
    assert sorted(each.name for each in path.parent.iterdir()) == ["keyring", "keyring.lock"]


# -- files that cannot be opened -------------------------------------------------------------------------------------


def refused(path: Path, said: str) -> None:
    """Neither reads nor writes, shows no secret, and leaves the file as it is."""
    before = path.read_bytes()
    for attempt in (lambda: kept("hot-eth"), lambda: keep("hot-btc"), lambda: Keyring().delete_password(SERVICE, "x")):
        with pytest.raises(KeyringLocked, match=said) as caught:
            attempt()
        shown = f"{caught.value!r} {caught.value.__cause__!r}"
        assert str(path) in shown
        assert not [part for part in (SECRET, WORDS, "hot-eth") if part in shown]
    assert path.read_bytes() == before


def test_another_passphrase_opens_nothing_and_overwrites_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep("hot-eth")
    monkeypatch.setenv(PASSPHRASE, "wrong horse")
    refused(path, "the passphrase is not the one that it was made with, or the file is damaged")
    monkeypatch.setenv(PASSPHRASE, WORDS)
    assert kept("hot-eth") == SECRET


def test_any_changed_byte_of_the_sealed_part_is_seen(path: Path) -> None:
    keep("hot-eth")
    good = path.read_bytes()
    sealed = base64.b64decode(json.loads(good)["sealed"])
    for place in range(0, len(sealed), 7):
        other = bytearray(sealed)
        other[place] ^= 1
        changed(path, "sealed", to=base64.b64encode(other).decode())
        with pytest.raises(KeyringLocked):
            kept("hot-eth")
    path.write_bytes(good)
    changed(path, "nonce", to=base64.b64encode(bytes(12)).decode())
    refused(path, "damaged")


def test_what_was_sealed_for_another_file_does_not_fit(path: Path) -> None:
    keep("hot-eth", "mine")
    mine = json.loads(path.read_bytes())
    path.unlink()
    keep("hot-eth", "theirs")
    theirs = json.loads(path.read_bytes())
    path.write_text(json.dumps({"header": mine["header"], "nonce": theirs["nonce"], "sealed": theirs["sealed"]}))
    refused(path, "cannot be opened")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"secret: x", b"x" * 4096])
def test_what_is_no_keyring_is_left_as_it_is(path: Path, data: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(data)
    refused(path, "is no keyring of cryptosupport, or is damaged")


@pytest.mark.parametrize(
    ("keys", "to"),
    [
        (("header", "scrypt", "n"), 1 << 40),  # 1 PiB
        (("header", "scrypt", "n"), 1 << 14),
        (("header", "scrypt", "n"), (1 << 15) + 1),
        (("header", "scrypt", "n"), -(1 << 15)),
        (("header", "scrypt", "n"), 1e5),
        (("header", "scrypt", "r"), 1 << 20),
        (("header", "scrypt", "r"), 1),
        (("header", "scrypt", "p"), 1 << 20),
        (("header", "scrypt", "p"), 0),
        (("header", "scrypt", "salt"), ""),
        (("header", "scrypt", "salt"), "A" * 1000),
        (("header", "scrypt", "more"), 1),
        (("header", "cipher"), "none"),
        (("header", "format"), "another"),
        (("header", "version"), 0),
        (("header", "version"), True),
        (("nonce",), ""),
        (("nonce",), "A" * 1000),
        (("sealed",), 7),
        (("extra",), "x"),
    ],
)
def test_a_strange_header_is_refused_before_a_key_is_derived(path: Path, keys: tuple[str, ...], to: Any) -> None:
    keep("hot-eth")
    changed(path, *keys, to=to)
    before = keyfile._derived.cache_info()
    refused(path, "is no keyring of cryptosupport, or is damaged")
    assert keyfile._derived.cache_info() == before


@pytest.mark.parametrize(("key", "to"), [("n", 1 << 16), ("r", 9), ("p", 2)])
def test_parameters_within_bounds_are_taken_but_bound_to_what_is_sealed(path: Path, key: str, to: int) -> None:
    keep("hot-eth")
    changed(path, "header", "scrypt", key, to=to)
    refused(path, "cannot be opened")


def test_a_file_of_a_later_version_says_so(path: Path) -> None:
    keep("hot-eth")
    changed(path, "header", "version", to=2)
    changed(path, "header", "argon2", to={})
    refused(path, "is of version 2, made by a later cryptosupport: update this one")


def test_more_than_can_be_read_again_is_not_written(path: Path) -> None:
    keep("hot-eth")
    with pytest.raises(PasswordSetError, match=f"more than {MOST_BYTES} bytes"):
        keep("big", "x" * MOST_BYTES)
    assert kept("hot-eth") == SECRET
    path.write_bytes(b" " * (MOST_BYTES + 1))
    refused(path, "cannot be read: it has more than")


def test_a_folder_or_a_pipe_in_its_place_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(KeyringLocked, match="cannot be read"):
        keep("hot-eth")
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(KeyringLocked, match="it is no regular file"):
        kept("hot-eth")


def test_a_place_that_cannot_be_made_is_told(path: Path) -> None:
    path.parent.write_bytes(b"")
    with pytest.raises(KeyringError, match="secrets"):
        keep("hot-eth")


# -- the passphrase --------------------------------------------------------------------------------------------------


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the passphrase and a newline."""
    words = tmp_path / "passphrase"
    words.write_text(f"{WORDS}\n", encoding="utf-8")
    words.chmod(0o600)
    monkeypatch.setenv(PASSPHRASE_FILE, str(words))
    monkeypatch.delenv(PASSPHRASE)
    return words


def test_a_passphrase_in_a_file_is_the_same_as_in_a_variable(words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep("hot-eth")
    monkeypatch.delenv(PASSPHRASE_FILE)
    monkeypatch.setenv(PASSPHRASE, WORDS)
    assert kept("hot-eth") == SECRET
    monkeypatch.setenv(PASSPHRASE_FILE, str(words))  # the file counts
    monkeypatch.setenv(PASSPHRASE, "another")
    words.write_bytes(f"{WORDS}\r\n".encode())
    assert kept("hot-eth") == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666])
def test_a_passphrase_that_others_can_read_or_write_is_refused(words: Path, path: Path, mode: int) -> None:
    words.chmod(mode)
    with pytest.raises(InitError, match=r"others can read or write: run `chmod 600` on it"):
        keep("hot-eth")
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_passphrase_that_another_user_owns_is_refused(words: Path) -> None:
    os.chown(words, 65534, 65534)
    with pytest.raises(InitError, match="belongs to another user"):
        kept("hot-eth")


@pytest.mark.parametrize(("text", "said"), [(b"", "there is no"), (b"\n", "there is no"), (b"x" * 5000, "4096")])
def test_a_passphrase_that_is_none_is_refused(words: Path, text: bytes, said: str) -> None:
    words.write_bytes(text)
    with pytest.raises(InitError, match=said):
        kept("hot-eth")


def test_a_passphrase_file_that_is_missing_or_a_pipe_is_told_at_once(words: Path) -> None:
    words.unlink()
    with pytest.raises(InitError, match="cannot be read: No such file"):
        kept("hot-eth")
    os.mkfifo(words, 0o600)
    with pytest.raises(InitError, match="it is no regular file"):
        kept("hot-eth")


# -- how keyring finds it --------------------------------------------------------------------------------------------


def found(tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """What keyring chooses where the package is installed as setup.cfg says."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    points = setup["options.entry_points"]["keyring.backends"].strip()
    installed = tmp_path / "site" / "cryptosupport-0.dist-info"
    installed.mkdir(parents=True, exist_ok=True)
    (installed / "entry_points.txt").write_text(f"[keyring.backends]\n{points}\n", encoding="utf-8")
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: cryptosupport\nVersion: 0\n", encoding="utf-8")
    code = "import keyring; one = keyring.get_keyring(); print(f'{type(one).__module__}.{type(one).__qualname__}')"
    clean = {name: text for name, text in os.environ.items() if name not in (PASSPHRASE, PASSPHRASE_FILE)}
    clean |= {"PYTHONPATH": f"{installed.parent}{os.pathsep}{ROOT}", "HOME": str(tmp_path)} | env
    return subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", [PASSPHRASE, PASSPHRASE_FILE])
def test_keyring_chooses_it_by_itself_only_where_a_passphrase_is_configured(tmp_path: Path, name: str) -> None:
    assert found(tmp_path).stdout == "keyring.backends.fail.Keyring\n"
    assert found(tmp_path, **{name: ""}).stdout == "keyring.backends.fail.Keyring\n"
    assert found(tmp_path, **{name: "x"}).stdout == "cryptosupport.outside.keyfile.Keyring\n"


def test_named_without_a_passphrase_it_says_what_is_missing(tmp_path: Path) -> None:
    done = found(tmp_path, PYTHON_KEYRING_BACKEND="cryptosupport.outside.keyfile.Keyring")
    assert f"RuntimeError: no passphrase is configured: set ${PASSPHRASE_FILE} or ${PASSPHRASE}" in done.stderr


def test_the_file_is_at_home_unless_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE)
    monkeypatch.setenv("HOME", str(tmp_path))
    keep("hot-eth")
    assert (tmp_path / ".local" / "share" / "cryptosupport" / "keyring").exists()
    monkeypatch.setenv(FILE, "~/elsewhere")
    assert kept("hot-eth") is None
    keep("hot-eth")
    assert (tmp_path / "elsewhere").exists()


def test_a_file_that_depends_on_the_working_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FILE, "keyring")
    with pytest.raises(InitError, match="write the whole path"):
        keep("hot-eth")
    assert list(tmp_path.iterdir()) == []
