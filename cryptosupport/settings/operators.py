"""operators.toml: the people of the desk, as a table each; and that file as the program writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from cryptosupport.domain.identifiers import without_secrets
from cryptosupport.domain.operators import Operator, Role
from cryptosupport.settings.reading import Section, convert, is_there, parse

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HEAD = """\
# Who may do what. Written by `cryptosupport operator`: each change is signed by two of these people.
# An edited file stops the desk (exit 8). On other machines an older one does no harm: copy this one there.
"""


class OperatorSettings(Section, frozen=True):
    """One person of operators.toml: what they may do, and their public key as OpenSSH writes it."""

    roles: tuple[Role, ...]
    key: str

    def __post_init__(self) -> None:
        if not self.roles:
            raise ValueError(f"roles: name at least one of {', '.join(Role)}")


def name_fault(name: str) -> str | None:
    """What is wrong with the name of an operator; None when it is good."""
    good = _NAME.fullmatch(name) is not None and without_secrets(name) == name
    return None if good else "write up to 64 letters, digits, - and _, beginning with a letter or digit"


def load_operators(folder: Path) -> dict[str, Operator] | None:
    """Read operators.toml; None without the file or without anybody in it. Raises `BadSettings`."""
    from cryptosupport.domain.errors import BadSettings

    path = folder / "operators.toml"
    if not is_there(path):
        return None
    people = {}
    for name, table in parse(path).items():
        read = convert(path, table, OperatorSettings, name)
        if (fault := name_fault(name)) is not None:
            raise BadSettings(f"{path} [{name}]: {fault}", key=name)
        people[name] = Operator(name, frozenset(read.roles), " ".join(read.key.split()[:2]))
    return people or None


def operators_text(people: Iterable[Operator]) -> str:
    """operators.toml with these people."""
    tables = [
        f'\n[{each.name}]\nroles = {json.dumps(sorted(each.roles))}\nkey = "{each.key}"\n'
        for each in sorted(people, key=lambda each: each.name)
    ]
    return _HEAD + "".join(tables)
