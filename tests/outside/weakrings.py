"""Keyrings that keep secrets badly, in modules named as the real ones are, for tests of the rules about names."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

PLAINTEXT = "keyrings.alt.file.PlaintextKeyring"
BUILT_ON_IT = "desk_rings.Built"
FORGETS = "desk_rings.Forgets"
CHAIN = "keyring.backends.chainer.ChainerBackend"

_PLAINTEXT = """
    import json, os
    from keyring.backend import KeyringBackend
    from keyring.errors import PasswordDeleteError

    class PlaintextKeyring(KeyringBackend):
        priority = 0.5

        def _all(self):
            if not os.path.exists(os.environ["WEAK_FILE"]):
                return {}
            with open(os.environ["WEAK_FILE"]) as file:
                return json.load(file)

        def _write(self, all):
            with open(os.environ["WEAK_FILE"], "w") as file:
                json.dump(all, file)

        def get_password(self, service, username):
            return self._all().get(f"{service} {username}")

        def set_password(self, service, username, password):
            self._write(self._all() | {f"{service} {username}": password})

        def delete_password(self, service, username):
            kept = self._all()
            if kept.pop(f"{service} {username}", None) is None:
                raise PasswordDeleteError("Password not found")
            self._write(kept)
"""
_OTHERS = """
    from keyring.backend import KeyringBackend
    from keyrings.alt.file import PlaintextKeyring

    class Built(PlaintextKeyring):
        priority = 0.4

    class Forgets(KeyringBackend):
        priority = 0.3

        def get_password(self, service, username):
            return None

        def set_password(self, service, username, password):
            pass
"""


def weak_rings(folder: Path) -> dict[str, str]:
    """Write the modules into ``folder``: the environment in which they are found, and keep what they are given."""
    package = folder / "rings" / "keyrings" / "alt"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "file.py").write_text(dedent(_PLAINTEXT), encoding="utf-8")
    (folder / "rings" / "desk_rings.py").write_text(dedent(_OTHERS), encoding="utf-8")
    return {"PYTHONPATH": str(folder / "rings"), "WEAK_FILE": str(folder / "in-clear.json")}
