"""A desk that pays: a real anvil, a hot wallet whose key a keyring of its own holds, and requests in few words."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cryptosupport.chains.evm.signing import address, sign
from cryptosupport.chains.evm.transfers import Unsigned
from cryptosupport.outside.keyfile import FILE
from cryptosupport.outside.keyrings import set_password
from cryptosupport.outside.nodes import Anvil
from tests.commands.peopledesk import sealed as sealed  # the fixture of both desks
from tests.commands.withdrawkit import in_this_process
from tests.conftest import Program

KEY = "1f" * 32
HOT = address(KEY)
ANN, BEN = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
ETHER = 10**18
POLICY = '[[rules]]\nname = "one"\nmatch = {{ asset = {assets} }}\nmax_amount = "1000"\n'


@dataclass
class Paydesk:
    """The program, its folder, and its chain."""

    run: Program
    folder: Path
    node: Anvil

    def submit(self, name: str, amount: str = "1", destination: str = ANN, asset: str = "ETH", **rest: Any) -> None:
        """A request that is allowed."""
        asked = {"request_id": name, "customer": "c-1", "asset": asset, "chain": "ethereum", "amount": amount}
        done = self.run(
            "withdraw", "submit", "--input", "-", stdin=json.dumps({**asked, "destination": destination, **rest}) + "\n"
        )
        assert done.exit_code == 0, done.stderr

    def pay(self, code: int = 0) -> dict[str, str]:
        """One pass; the states of all that it moved."""
        done = self.run("withdraw", "run", "-o", "jsonl")
        assert done.exit_code == code, (done.exit_code, done.stderr)
        return {each["request_id"]: each["state"] for each in done.jsonl}

    def state(self, name: str) -> str:
        """Where a withdrawal stands."""
        found: str = self.run("withdraw", "show", name, "--json").json["state"]
        return found

    def balance(self, of: str) -> int:
        """What an address has, in wei."""
        return int(self.node.rpc("eth_getBalance", of, "latest"), 16)

    def settle(self) -> None:
        """Mine until everything is final."""
        self.node.mine(100)


def write_settings(
    folder: Path, urls: str, assets: str = "", ledger: str = "", more: str = "", signer: str = "keyring:hot"
) -> None:
    """The settings of a desk that pays from `HOT`."""
    (folder / "chains").mkdir(parents=True, exist_ok=True)
    chain = (
        f'family = "evm"\nchain_id = 31337\nendpoints = {urls}\nblock_time = "1s"\n[assets.ETH]\ndecimals = 18\n'
        f'{assets}[fees]\nmax_fee_per_gas = "200 gwei"\nmax_fee = "0.1 ETH"\n{more}'
    )
    (folder / "chains" / "ethereum.toml").write_text(chain, encoding="utf-8")
    wallet = f'[hot]\nchain = "ethereum"\nrole = "hot"\nsigner = "{signer}"\naddress = "{HOT}"\n'
    (folder / "wallets.toml").write_text(wallet, encoding="utf-8")
    symbols = ["ETH", *(line[8:-1] for line in assets.splitlines() if line.startswith("[assets."))]
    (folder / "policy.toml").write_text(POLICY.format(assets=json.dumps(symbols)), encoding="utf-8")
    if ledger:
        (folder / "desk.toml").write_text(f'[ledger]\nurl = "{ledger}"\n', encoding="utf-8")
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)


def keep_key() -> None:
    """Have the keyring in use hold `KEY`; what a new one looks like with it is made once, as it takes its time."""
    keyring = Path(os.environ[FILE])
    if not _keyring or keyring.exists():
        new = not keyring.exists()
        set_password("hot", KEY)
        if new:
            _keyring.append(keyring.read_bytes())
        return
    keyring.write_bytes(_keyring[0])
    keyring.chmod(0o600)


_keyring: list[bytes] = []


@pytest.fixture
def open_desk(tmp_path: Path) -> Callable[..., Paydesk]:
    """Open a desk on a node; ``ledger`` is a url, ``funds`` whole coins of the hot wallet."""

    def opened(node: Anvil, ledger: str = "", funds: int = 100, assets: str = "", more: str = "") -> Paydesk:
        keep_key()
        write_settings(tmp_path / "configs", f'["{node.url}"]', assets, ledger, more)
        node.rpc("anvil_setBalance", HOT, hex(funds * ETHER))
        return Paydesk(in_this_process(tmp_path), tmp_path, node)

    return opened


@pytest.fixture
def paydesk(open_desk: Callable[..., Paydesk], anvil: Anvil) -> Paydesk:
    """A desk on a chain that mines each transaction at once."""
    return open_desk(anvil)


def with_people(desk: Paydesk) -> None:
    """alice (ops), bob (policy, approver) and carol (compliance) are in force from now on."""
    for name, roles in {"alice": ("ops", "policy"), "bob": ("policy", "approver"), "carol": ("compliance",)}.items():
        given = [part for role in roles for part in ("--role", role)]
        done = desk.run("operator", "add", name, *given, "--public-key", "keyring", "--operator", "alice")
        assert done.exit_code == 9, done.stderr
    assert desk.run("operator", "sign", "--operator", "bob").exit_code == 0
    assert desk.run("policy", "propose", "--operator", "alice").exit_code == 9
    assert desk.run("policy", "sign", "--operator", "bob").exit_code == 0


def by_hand(node: Anvil, nonce: int, base_units: int = 1, key: str = KEY, to: str = BEN) -> str:
    """Send something beside the program, with the same key or another ``key``; its txid."""
    plan = Unsigned(31337, nonce, to, base_units, b"", 21000, 10**11, 0)
    txid: str = node.rpc("eth_sendRawTransaction", "0x" + sign(plan.text, key).hex())
    return txid
