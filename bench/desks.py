"""A desk that pays: its folders, its sealed keyring, and passes of `withdraw run` that are timed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.measuring import peak_mb, run
from cryptosupport.outside.keyfile import FILE, PASSPHRASE

MOST_PASSES = 100


@dataclass(frozen=True)
class Pass:
    """What a pass took, in seconds and MB, and the records that it printed."""

    seconds: float
    most: float
    moved: Sequence[Mapping[str, str]]
    node: float
    signer: float
    cpu: float

    @property
    def final(self) -> int:
        """How many withdrawals it made final."""
        return sum(each["state"] == "final" for each in self.moved)


@dataclass
class Passes:
    """What it took to take requests in (seconds), and to pay them."""

    submitting: float
    passes: list[Pass] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of the whole processes."""
        return sum(each.seconds for each in self.passes)

    @property
    def node(self) -> float:
        """Of that, waiting for the node."""
        return sum(each.node for each in self.passes)

    @property
    def signer(self) -> float:
        """Of that, in the signer."""
        return sum(each.signer for each in self.passes)

    @property
    def cpu(self) -> float:
        """Of that, with a processor at work."""
        return sum(each.cpu for each in self.passes)

    @property
    def most(self) -> float:
        """The most memory of any pass, in MB."""
        return max(each.most for each in self.passes)

    @property
    def final(self) -> int:
        """How many withdrawals are final."""
        return sum(each.final for each in self.passes)


class Desk:
    """A settings folder, a ledger and a sealed keyring, which holds the secret of the wallet `hot`.

    ``files`` are the settings, by their path in the folder.
    """

    def __init__(self, folder: Path, files: Mapping[str, str], secret: str) -> None:
        self.folder = folder
        configs = folder / "configs"
        (configs / "chains").mkdir(parents=True)
        for name, text in files.items():
            (configs / name).write_text(text, encoding="utf-8")
        for path in configs.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
        (folder / "key").write_text(secret, encoding="utf-8")
        self.environment = {
            "PYTHON_KEYRING_BACKEND": "cryptosupport.outside.keyfile.Keyring",
            FILE: str(folder / "keyring"),
            PASSPHRASE: "correct horse",
        }
        with (folder / "key").open("rb") as key:
            run([*self.command, "keys", "set", "hot"], more=self.environment, stdin=key)

    @property
    def command(self) -> list[str]:
        """The program, with the options that name its folders."""
        return ["-m", "cryptosupport", *self.folders]

    @property
    def folders(self) -> list[str]:
        """The options that name its folders."""
        return ["--configs", str(self.folder / "configs"), "--data", str(self.folder / "data")]

    @property
    def ledger(self) -> Path:
        """Its database."""
        return self.folder / "data" / "cryptosupport.db"

    def tell(self, *arguments: str) -> float:
        """Run a command of the program; seconds of the whole process."""
        return run([*self.command, *arguments], more=self.environment)

    def submit(self, requests: Iterable[Mapping[str, str]]) -> float:
        """Take the requests in; seconds of the whole process."""
        source = self.folder / "requests.jsonl"
        with source.open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(each) + "\n" for each in requests)
        return self.tell("withdraw", "submit", "-o", "jsonl", "--input", str(source))

    def one_pass(self) -> Pass:
        """One pass of `withdraw run`, as a process of its own."""
        took = self.folder / "took.json"
        command = ["-m", "bench.clocked", str(took), *self.folders, "withdraw", "run", "-o", "jsonl"]
        seconds, most = peak_mb(command, self.folder / "moved.jsonl", (0,), self.environment)
        with (self.folder / "moved.jsonl").open(encoding="utf-8") as lines:
            moved = [json.loads(line) for line in lines]
        return Pass(seconds, most, moved, **json.loads(took.read_text(encoding="utf-8")))
