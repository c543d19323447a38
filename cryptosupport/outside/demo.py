"""The demo: this program on private nodes and at a desk of its own, held to what it should say.

It is asked about transactions of every fate, then it takes withdrawal requests in, decides them, and pays: one on an
EVM chain, and several at once on Bitcoin.
"""

from __future__ import annotations

import json
import shlex
import signal
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from secrets import token_hex
from types import FrameType
from typing import Any, TypeAlias

from cryptosupport.outside import scenes
from cryptosupport.outside.batch_scenes import batch_steps
from cryptosupport.outside.desk_scenes import Step, desk_steps
from cryptosupport.outside.nodes import program as path_of
from cryptosupport.outside.nodes import start_anvil, start_bitcoind
from cryptosupport.outside.paying_scenes import paying_steps, wallets_of
from cryptosupport.outside.people_scenes import people_steps
from cryptosupport.outside.scenes import Look
from cryptosupport.outside.warmed import Warmed, warmed

ANVIL_OPTIONS = ("--no-mining", "--slots-in-an-epoch", "1")

Act: TypeAlias = Look | Step
"""What is done in a scene: a look at a transaction, or a step at the desk."""


@dataclass(frozen=True, slots=True)
class Scene:
    """An act, what the program said (`text` for people, `record` for programs), and where that is not as expected."""

    number: int
    act: Act
    text: str
    record: Any
    differences: tuple[str, ...]

    @property
    def command(self) -> str:
        """What a person would type."""
        return shlex.join(("cryptosupport", *self.act.arguments))

    @property
    def files(self) -> Mapping[str, str]:
        """What was written before it."""
        return self.act.files if isinstance(self.act, Step) else {}


def play(locale: str, now: int) -> Iterator[Scene]:
    """Start both nodes, make one transaction after the other, show what `tx status` says, and go on at the desk.

    ``now`` (seconds since 1970) is when the desk's prices are of. Raises `BadSettings` where a node's program is
    missing, `NodeFailed` where one does not start.
    """
    for name in ("anvil", "bitcoind"):  # before either is started
        path_of(name)
    signal.signal(signal.SIGTERM, _interrupt)
    with (
        tempfile.TemporaryDirectory(prefix="cryptosupport-demo-") as folder,
        start_anvil(*ANVIL_OPTIONS) as evm,
        start_bitcoind() as bitcoin,
        warmed(Path(folder), _keyring(Path(folder) / "keys")) as program,
    ):
        chains = scenes.settings(evm, bitcoin)
        for name, text in chains.items():
            _write(Path(folder) / "configs" / "chains" / f"{name}.toml", text)
        _write(Path(folder) / "keys" / "passphrase", token_hex(32))
        looks = scenes.evm_looks(evm), scenes.bitcoin_looks(bitcoin)
        paid = paying_steps(evm, chains[scenes.EVM]), batch_steps(bitcoin, chains[scenes.BITCOIN], wallets_of(evm))
        acts: Iterable[Act] = chain(*looks, desk_steps(now), people_steps(), *paid)
        for number, act in enumerate(acts, 1):
            yield _scene(number, act, Path(folder), program, locale)


def _write(path: Path, text: str) -> None:
    """Write a file that its owner alone can write, whatever the umask: others are not taken for settings."""
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End like Ctrl-C, so that the nodes are stopped."""
    raise KeyboardInterrupt


def _scene(number: int, act: Act, folder: Path, program: Warmed, locale: str) -> Scene:
    """Run the command of ``act`` twice: as a person and as a program, which finds what the first one left."""
    folders = ("--configs", str(folder / "configs"), "--data", str(folder / "data"), "--locale", locale)
    told_by, told_code = act.arguments, act.exit_code
    if isinstance(act, Step):
        told_by = act.told_by or told_by
        told_code = act.exit_code if act.told_code is None else act.told_code
        for name, text in act.files.items():
            _write(folder / name, text)
    stdin = act.stdin if isinstance(act, Step) else ""
    exit_code, text, complaint = program.run((*folders, *act.arguments), stdin)
    differences = list(_exit_codes(act.exit_code, exit_code))
    exit_code, output, told = program.run((*folders, *told_by, "--json"), stdin)
    try:
        record = json.loads(output or told)
    except ValueError:
        return Scene(number, act, text, {}, (f"no JSON but {output[:200]!r}; on stderr {told[:500]!r}",))
    differences += [*_exit_codes(told_code, exit_code), *_differences(act, record)]
    return Scene(number, act, text + complaint, record, tuple(dict.fromkeys(differences)))


def _keyring(folder: Path) -> dict[str, str]:
    """The variables of a keyring of the demo's own: nobody's own one is touched."""
    names = {"KEYRING_FILE": folder / "keyring", "KEYRING_PASSPHRASE_FILE": folder / "passphrase"}
    chosen = {f"CRYPTOSUPPORT_{name}": str(path) for name, path in names.items()}
    return chosen | {"PYTHON_KEYRING_BACKEND": "cryptosupport.outside.keyfile.Keyring"}


def _differences(act: Act, record: Any) -> Iterator[str]:
    for key, expected in act.expected.items():
        told = _at(record, key)
        if told != expected:
            yield f"{key} is {told!r}, expected {expected!r}"


def _exit_codes(expected: int, exit_code: int) -> Iterator[str]:
    if exit_code != expected:
        yield f"exit code {exit_code}, expected {expected}"


def _at(record: Any, dotted: str) -> Any:
    """The value at a dotted key; a number picks from a list. None where something on the way is absent."""
    for key in dotted.split("."):
        if isinstance(record, list):
            record = record[int(key)] if int(key) < len(record) else None
        else:
            record = record.get(key) if isinstance(record, Mapping) else None
    return record
