"""A desk on Bitcoin whose key is on another machine, to which files are carried."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import bdkpython as bdk
import pytest

from cryptosupport.chains.bitcoin.psbts import MAGIC, Fields, Reader
from tests.chains.bitcoin_paying.kit import joined
from tests.commands.bitcoindesk import MNEMONIC, Bitcoindesk, open_bitcoindesk, sealed

__all__ = ["open_bitcoindesk", "sealed"]  # fixtures

OTHER_MNEMONIC = str(bdk.Mnemonic.from_entropy(b"\x08" * 16))
_SIGNER = Path(__file__).with_name("offlinesigner.py")


class Papers:
    """The folder of a desk, and who signs what is in it."""

    def __init__(self, desk: Bitcoindesk, kind: str, folder: Path) -> None:
        self.desk, self.kind, self.folder = desk, kind, folder

    @property
    def requests(self) -> list[Path]:
        """What waits for a signature."""
        return sorted(each for each in self.folder.glob("*.psbt") if not each.name.endswith("-signed.psbt"))

    @property
    def request(self) -> Path:
        """The only one."""
        (found,) = self.requests
        return found

    def answer_to(self, request: Path) -> Path:
        """Where the answer belongs."""
        return request.with_name(f"{request.stem}-signed.psbt")

    def sign(
        self, request: Path, *options: str, to: Path | None = None, mnemonic: str = MNEMONIC, code: int = 0
    ) -> Path:
        """Have a file signed by a process that sees nothing else, and put what it makes in its place, or at ``to``."""
        made = to or self.answer_to(request)
        command = [sys.executable, "-I", str(_SIGNER), self.kind, str(request), str(made), *options]
        done = subprocess.run(command, input=mnemonic, text=True, capture_output=True, env={}, timeout=60)
        assert done.returncode == code, done.stderr
        return made

    def waits(self, *names: str) -> Path:
        """A pass asks for one signature, and says so; the file."""
        done = self.desk.run("withdraw", "run", "-o", "jsonl")
        assert done.exit_code == 0, done.stderr
        assert f"waits for a signature: have {self.request} signed" in done.stderr
        assert {self.desk.show(name)["state"] for name in names} == {"reserved"}
        return self.request

    def ends_well(self, *names: str) -> None:
        """Blocks, and each is paid once."""
        self.desk.node.mine(3)
        self.desk.pay()
        shown = [self.desk.show(name) for name in names]
        assert [each["state"] for each in shown] == ["final"] * len(names)
        for each in shown:
            assert self.desk.got(each["destination"]) == int(each["base_units"])
        assert self.desk.run("reconcile").exit_code == 0
        assert self.desk.run("audit", "verify").exit_code == 0
        assert self.requests == []


@pytest.fixture
def open_papers(open_bitcoindesk: Callable[..., Bitcoindesk], tmp_path: Path) -> Callable[..., Papers]:
    """Open a desk whose hot wallet is signed for over a folder; ``more`` is what else wallets.toml says of it."""

    def opened(kind: str = "wpkh", coins: tuple[str, ...] = ("1", "1"), more: str = "") -> Papers:
        desk = open_bitcoindesk(kind, coins)
        folder = tmp_path / "papers"
        folder.mkdir()
        path = tmp_path / "configs" / "wallets.toml"
        text = path.read_text(encoding="utf-8").replace("keyring:hot", f"psbt:{folder}")
        path.write_text(text + more, encoding="utf-8")
        assert desk.run("keys", "delete", "hot", "--force", "--yes").exit_code == 0
        return Papers(desk, kind, folder)

    return opened


def maps_of(psbt: bytes) -> list[dict[bytes, bytes]]:
    """The maps of a PSBT, the global one first."""
    reader, found = Reader(psbt, len(MAGIC)), []
    while reader.at < len(psbt):
        found.append(_flat(reader.fields()))
    return found


def changed(psbt: bytes, change: Callable[[list[dict[bytes, bytes]]], object]) -> bytes:
    """The PSBT with its maps changed."""
    maps = maps_of(psbt)
    change(maps)
    return joined(maps)


def _flat(fields: Fields) -> dict[bytes, bytes]:
    return {bytes([kind]) + rest: value for kind, values in fields.items() for rest, value in values.items()}
