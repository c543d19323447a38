"""Which keyring holds the secrets, and whether it keeps them from others."""

from __future__ import annotations

from collections.abc import Collection

# Backends that keep nothing, and those whose secrets anybody who reads the file can read.
_ABSENT = {"keyring.backends.fail.Keyring", "keyring.backends.null.Keyring"}
_IN_CLEAR = ("keyrings.alt.",)


def backends() -> tuple[str, ...]:
    """The keyring backends that are asked, in their order, each as "module.Class"; none when no secret can be kept."""
    import keyring

    chosen = keyring.get_keyring()
    # The chainer stands for several backends in one.
    asked = getattr(chosen, "backends", None) or [chosen]
    names = (f"{type(one).__module__}.{type(one).__qualname__}" for one in asked)
    return tuple(name for name in names if name not in _ABSENT)


def in_clear(names: Collection[str]) -> tuple[str, ...]:
    """Those of ``names`` that keep secrets where others can read them."""
    return tuple(name for name in names if name.startswith(_IN_CLEAR))
