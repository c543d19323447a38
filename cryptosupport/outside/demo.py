"""The demo: this program asked about transactions of every fate on private nodes, and held to what it should say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any

from cryptosupport.outside import scenes
from cryptosupport.outside.nodes import program, start_anvil, start_bitcoind
from cryptosupport.outside.scenes import Look

ANVIL_OPTIONS = ("--no-mining", "--slots-in-an-epoch", "1")


@dataclass(frozen=True, slots=True)
class Scene:
    """A look, what the program said (`text` for people, `record` for programs), and where that is not as expected."""

    number: int
    look: Look
    text: str
    record: Mapping[str, Any]
    differences: tuple[str, ...]

    @property
    def command(self) -> str:
        """What a person would type."""
        return f"cryptosupport tx status {self.look.txid}"


def play(locale: str) -> Iterator[Scene]:
    """Start both nodes, make one transaction after the other, show what `tx status` says, and stop the nodes.

    Raises `BadSettings` where a node's program is missing, `NodeFailed` where one does not start.
    """
    for name in ("anvil", "bitcoind"):  # before either is started
        program(name)
    signal.signal(signal.SIGTERM, _interrupt)
    with (
        tempfile.TemporaryDirectory(prefix="cryptosupport-demo-") as folder,
        start_anvil(*ANVIL_OPTIONS) as evm,
        start_bitcoind() as bitcoin,
    ):
        chains = Path(folder) / "configs" / "chains"
        chains.mkdir(parents=True)
        for name, text in scenes.settings(evm, bitcoin).items():
            (chains / f"{name}.toml").write_text(text, encoding="utf-8")
        looks = chain(scenes.evm_looks(evm), scenes.bitcoin_looks(bitcoin))
        for number, look in enumerate(looks, 1):
            yield _scene(number, look, Path(folder), locale)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End like Ctrl-C, so that the nodes are stopped."""
    raise KeyboardInterrupt


def _scene(number: int, look: Look, folder: Path, locale: str) -> Scene:
    """Ask the program about ``look`` twice: as a person and as a program."""
    _, text, _ = _run(look, folder, locale)
    exit_code, output, complaint = _run(look, folder, locale, "--json")
    try:
        record: dict[str, Any] = json.loads(output)
    except ValueError:
        return Scene(number, look, text, {}, (f"no JSON but {output[:200]!r}; on stderr {complaint[:500]!r}",))
    return Scene(number, look, text, record, tuple(_differences(look, exit_code, record)))


def _run(look: Look, folder: Path, locale: str, *options: str) -> tuple[int, str, str]:
    """Run `tx status` in a process of its own, as a person would."""
    folders = ["--configs", str(folder / "configs"), "--data", str(folder / "data"), "--locale", locale]
    command = [sys.executable, "-m", "cryptosupport", *folders, "tx", "status", look.txid, *options]
    checkout = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (checkout, os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def _differences(look: Look, exit_code: int, record: Mapping[str, Any]) -> Iterator[str]:
    if exit_code != look.exit_code:
        yield f"exit code {exit_code}, expected {look.exit_code}"
    for key, expected in look.expected.items():
        told = _at(record, key)
        if told != expected:
            yield f"{key} is {told!r}, expected {expected!r}"


def _at(record: Any, dotted: str) -> Any:
    """The value at a dotted key; a number picks from a list. None where something on the way is absent."""
    for key in dotted.split("."):
        if isinstance(record, list):
            record = record[int(key)] if int(key) < len(record) else None
        else:
            record = record.get(key) if isinstance(record, Mapping) else None
    return record
