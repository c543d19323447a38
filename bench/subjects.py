"""The two chains under measurement: a node full of transactions, and how each tool is pointed at it."""

from __future__ import annotations

import base64
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measuring import peak_mb, run
from cryptosupport.outside.nodes import Anvil, Bitcoind

UNKNOWN_PART = 100
BAD_PART = 1_000
REPEATS = 3


@dataclass(frozen=True)
class Rival:
    """Another tool for the same question: its name for people, the function in `bench.rivals`, and what it is given."""

    title: str
    name: str
    target: str
    few: int
    many: int


@dataclass
class Subject:
    """A chain: its node, its settings without the URL, and ids that it holds, all of them settled."""

    title: str
    node: Anvil | Bitcoind
    settings: str
    txids: list[str]
    rivals: tuple[Rival, ...]
    folder: Path
    by_id: str | None = None
    """A method that answers with all facts of one id, where that is not what the program calls for many."""

    @property
    def login(self) -> str | None:
        """The Authorization header, where the node wants one."""
        if isinstance(self.node, Anvil):
            return None
        return "Basic " + base64.b64encode(f"{self.node.user}:{self.node.password}".encode()).decode()

    def configs(self, url: str) -> Path:
        """A settings folder that points at ``url``."""
        folder = self.folder / f"configs-{url.rpartition(':')[2]}"
        (folder / "chains").mkdir(parents=True, exist_ok=True)
        text = self.settings.replace("URL", url)
        (folder / "chains" / "chain.toml").write_text(text, encoding="utf-8")
        return folder

    def status(self, data: str, *arguments: str, url: str | None = None, expected: Sequence[int] = (0,)) -> float:
        """Run `tx status` and return its seconds; each ``data`` is a memory of its own."""
        return run(self._command(data, url, arguments), self.output, expected)

    def status_memory(self, data: str, *arguments: str, expected: Sequence[int] = (0,)) -> tuple[float, float]:
        """Run `tx status` and return its seconds and the most memory that it held, in MB."""
        return peak_mb(self._command(data, None, arguments), self.output, expected)

    @property
    def output(self) -> Path:
        """What the last run printed."""
        return self.folder / "output"

    def _command(self, data: str, url: str | None, arguments: Sequence[str]) -> list[str]:
        folders = ["--configs", str(self.configs(url or self.node.url)), "--data", str(self.folder / data)]
        return ["-m", "cryptosupport", *folders, "tx", "status", *arguments]

    def rival(self, rival: Rival, txids: Sequence[str]) -> float:
        """Run another tool over ``txids`` and return its seconds."""
        given = [rival.target, str(self.file(txids)), str(self.folder / "seen.db")]
        return run(["-m", "bench.rivals", rival.name, *given])

    def file(self, lines: Iterable[str]) -> Path:
        """A file of ids."""
        path = self.folder / "ids"
        with path.open("w", encoding="utf-8") as stream:
            stream.writelines(f"{line}\n" for line in lines)
        return path

    def mixture(self, count: int) -> Iterator[str]:
        """``count`` lines as a desk has them: ids of batches several times, some that nobody knows, some no ids."""
        chance = random.Random(7)
        prefix = "0x" if isinstance(self.node, Anvil) else ""
        repeated = (txid for txid in itertools.cycle(self.txids) for _ in range(REPEATS))
        for number, txid in enumerate(itertools.islice(repeated, count)):
            if number % BAD_PART == 1:
                yield f"order {number}"
            elif number % UNKNOWN_PART == 1:
                yield f"{prefix}{chance.getrandbits(256):064x}"
            else:
                yield txid
