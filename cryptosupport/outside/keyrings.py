"""Which keyring holds the secrets, and whether it keeps them from others."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from cryptosupport.domain.errors import BadSettings

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

# Backends that keep nothing, and those whose secrets anybody who reads the file can read.
_ABSENT = {"keyring.backends.fail.Keyring", "keyring.backends.null.Keyring"}
_IN_CLEAR = ("keyrings.alt.",)


def password(name: str) -> str | None:
    """What the keyring holds under ``name`` for this program, None for nothing. Raises `BadSettings`."""
    from keyring.errors import KeyringError

    try:
        return _keyring().get_password("cryptosupport", name)
    except (KeyringError, OSError) as error:
        raise BadSettings(f"the keyring cannot be read: {error}") from error


def set_password(name: str, value: str) -> None:
    """Keep ``value`` under ``name``. Raises `BadSettings`."""
    from keyring.errors import KeyringError

    try:
        _keyring().set_password("cryptosupport", name, value)
    except (KeyringError, OSError) as error:
        raise BadSettings(f"the keyring cannot be written: {error}") from error


def backends() -> tuple[str, ...]:
    """The keyring backends that are asked, in their order, each as "module.Class"; none when no secret can be kept.

    Raises `BadSettings` when $PYTHON_KEYRING_BACKEND or keyringrc.cfg names one that cannot be used.
    """
    chosen = _keyring()
    # The chainer stands for several backends in one.
    asked = getattr(chosen, "backends", None) or [chosen]
    names = (f"{type(one).__module__}.{type(one).__qualname__}" for one in asked)
    return tuple(name for name in names if name not in _ABSENT)


def examine() -> tuple[tuple[str, ...], str]:
    """The backends, and in words why there are none to be had ("" for no fault)."""
    try:
        return backends(), ""
    except BadSettings as error:
        return (), error.message


def in_clear(names: Collection[str]) -> tuple[str, ...]:
    """Those of ``names`` that keep secrets where others can read them."""
    return tuple(name for name in names if name.startswith(_IN_CLEAR))


def _keyring() -> KeyringBackend:
    import configparser

    import keyring

    try:
        return keyring.get_keyring()
    # It imports whatever module is named, looks up the class, makes one, and asks whether that can work here.
    except (ImportError, AttributeError, ValueError, TypeError, RuntimeError, OSError, configparser.Error) as error:
        said = f"{type(error).__name__}: {error}"
        raise BadSettings(f"$PYTHON_KEYRING_BACKEND or keyringrc.cfg names a keyring that fails: {said}") from error
