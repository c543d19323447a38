"""A keyring for tests: a JSON file that $TEST_KEYRING names."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.compat.properties import classproperty
from keyring.errors import KeyringError


class Keyring(KeyringBackend):
    """Keeps secrets in clear, in the file; refuses all where it holds no JSON."""

    @classproperty
    def priority(cls) -> float:
        """It is taken where it is named, or given; keyring finds it by itself nowhere."""
        if "TEST_KEYRING" not in os.environ:
            raise RuntimeError("no file is named")
        return 1

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = path or Path(os.environ["TEST_KEYRING"])

    @property
    def entries(self) -> dict[str, str]:
        """The secrets by name."""
        if not self.path.exists():
            return {}
        try:
            found: dict[str, str] = json.loads(self.path.read_text())
        except ValueError as error:
            raise KeyringError("it is locked") from error
        return found

    def get_password(self, service: str, username: str) -> str | None:
        """The secret."""
        assert service == "cryptosupport"
        return self.entries.get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it."""
        assert service == "cryptosupport"
        self.path.write_text(json.dumps(self.entries | {username: password}))

    def delete_password(self, service: str, username: str) -> None:
        """Forget it."""
        rest = self.entries
        del rest[username]
        self.path.write_text(json.dumps(rest))
