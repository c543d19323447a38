"""What counts as a keyring that keeps secrets, and what is said when one cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null
from keyring.errors import KeyringLocked

from cryptosupport.domain.errors import BadSettings, NoSuchRecord
from cryptosupport.outside import keyrings
from cryptosupport.outside.keyfile import FILE, PASSPHRASE, PASSPHRASE_FILE, Keyring
from tests.outside.weakrings import BUILT_ON_IT, CHAIN, FORGETS, PLAINTEXT, weak_rings

OURS = "cryptosupport.outside.keyfile.Keyring"


@pytest.fixture(autouse=True)
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The sealed keyring is in use, and the weak ones can be found."""
    for name, value in weak_rings(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(tmp_path / "rings"))
    monkeypatch.setenv(FILE, str(tmp_path / "keyring"))
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    monkeypatch.delenv(PASSPHRASE_FILE, raising=False)
    kinds = set(KeyringBackend._classes)
    keyring.set_keyring(Keyring())
    yield
    keyring.set_keyring(fail.Keyring())
    KeyringBackend._classes.intersection_update(kinds)
    for module in [name for name in sys.modules if name.startswith("keyrings.alt") or name == "desk_rings"]:
        del sys.modules[module]


def use(name: str) -> KeyringBackend:
    """Use the backend of that name."""
    ring = keyring.core.load_keyring(name)
    keyring.set_keyring(ring)
    return ring


def chain(monkeypatch: pytest.MonkeyPatch, *rings: KeyringBackend) -> None:
    """Use these backends in a chain."""
    monkeypatch.setattr(chainer.ChainerBackend, "backends", list(rings))
    keyring.set_keyring(chainer.ChainerBackend())


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_a_secret_is_kept_for_this_program_told_and_forgotten() -> None:
    assert keyrings.password("hot-eth") is None
    keyrings.set_password("hot-eth", "0xkey")
    assert keyrings.password("hot-eth") == "0xkey"
    assert Keyring().get_password("cryptosupport", "hot-eth") == "0xkey"
    keyrings.delete("hot-eth")
    with pytest.raises(NoSuchRecord, match="holds nothing under hot-eth"):
        keyrings.delete("hot-eth")


def test_a_secret_without_a_name_is_refused() -> None:
    for attempt in (lambda: keyrings.password(""), lambda: keyrings.set_password("", "x"), lambda: keyrings.delete("")):
        with pytest.raises(BadSettings, match="a secret has no name"):
            attempt()


@pytest.mark.parametrize("name", [FORGETS, "keyring.backends.null.Keyring"])
def test_a_keyring_that_forgets_what_it_is_given_is_found_out(name: str) -> None:
    use(name)
    with pytest.raises(BadSettings, match=f"{name} did not keep what it was given as hot-eth") as caught:
        keyrings.set_password("hot-eth", "0xkey")
    assert "0xkey" not in str(caught.value)


def test_a_chain_of_no_keyrings_is_found_out_too(monkeypatch: pytest.MonkeyPatch) -> None:
    chain(monkeypatch)
    with pytest.raises(BadSettings, match="did not keep what it was given"):
        keyrings.set_password("hot-eth", "0xkey")
    with pytest.raises(BadSettings, match="this machine has no keyring"):
        keyrings.refuse_weak(["keyring.backends.chainer.ChainerBackend"])


def test_a_machine_without_a_keyring_is_told_what_to_do() -> None:
    keyring.set_keyring(fail.Keyring())
    read, write = lambda: keyrings.password("x"), lambda: keyrings.set_password("x", "y")
    for attempt in (read, write, lambda: keyrings.delete("x")):
        with pytest.raises(BadSettings, match=r"no keyring: set \$CRYPTOSUPPORT_KEYRING_PASSPHRASE_FILE"):
            attempt()


def test_a_keyring_that_does_not_open_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    keyrings.set_password("hot-eth", "0xkey")
    monkeypatch.setenv(PASSPHRASE, "another")
    with pytest.raises(BadSettings, match=r"cannot be read: .*the passphrase is not the one") as caught:
        keyrings.password("hot-eth")
    assert isinstance(caught.value.__cause__, KeyringLocked)


def test_a_secret_that_a_chain_keeps_twice_is_not_called_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = use(PLAINTEXT)
    keyrings.set_password("hot-eth", "0xkey")
    chain(monkeypatch, Keyring(), plain)
    Keyring().set_password("cryptosupport", "hot-eth", "0xkey")
    with pytest.raises(BadSettings, match="hot-eth is still in the keyring"):
        keyrings.delete("hot-eth")


# -- which keyrings are weak -----------------------------------------------------------------------------------------


def test_the_sealed_keyring_is_good_for_everything() -> None:
    assert keyrings.examine() == ((OURS,), (), "")
    keyrings.refuse_weak([])


@pytest.mark.parametrize("name", [PLAINTEXT, BUILT_ON_IT])
def test_a_keyring_in_clear_is_refused_unless_it_is_allowed_by_name(name: str) -> None:
    use(name)
    assert keyrings.examine() == ((name,), (name,), "")
    for allowed in ([], ["keyrings.alt.file"], ["PlaintextKeyring"], [name.upper()], [OURS], [name[:-1]]):
        with pytest.raises(BadSettings) as caught:
            keyrings.refuse_weak(allowed)
        assert caught.value.exit_code == 8
        assert f"the keyring {name} keeps secrets in clear" in caught.value.message
        assert "$CRYPTOSUPPORT_KEYRING_PASSPHRASE_FILE" in caught.value.message
        assert "[keys] allow_backends in desk.toml" in caught.value.message
    keyrings.refuse_weak([OURS, name])


@pytest.mark.parametrize("ring", [fail.Keyring, null.Keyring])
def test_a_keyring_that_keeps_nothing_cannot_be_allowed(ring: type[KeyringBackend]) -> None:
    keyring.set_keyring(ring())
    assert keyrings.examine() == ((), (), "")
    with pytest.raises(BadSettings, match="this machine has no keyring"):
        keyrings.refuse_weak([f"{ring.__module__}.Keyring"])


def test_a_chain_counts_as_its_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = use(PLAINTEXT)
    chain(monkeypatch, Keyring(), plain)
    assert keyrings.examine() == ((OURS, PLAINTEXT), (PLAINTEXT,), "")
    for allowed in ([], [OURS], [CHAIN]):
        with pytest.raises(BadSettings, match=PLAINTEXT):
            keyrings.refuse_weak(allowed)
    keyrings.refuse_weak([PLAINTEXT])
    chain(monkeypatch, Keyring(), null.Keyring())
    keyrings.refuse_weak([])


def test_a_backend_that_fails_is_a_fault_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", OURS)
    monkeypatch.delenv(PASSPHRASE)
    found, in_clear, fault = keyrings.examine()
    assert (found, in_clear) == ((), ())
    assert "names a keyring that fails: RuntimeError: no passphrase is configured" in fault
    with pytest.raises(BadSettings, match="no passphrase is configured"):
        keyrings.refuse_weak([OURS])
