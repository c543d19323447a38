"""A hostile proxy in front of a real bitcoind, and a desk that pays through one or two of them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from cryptosupport.context import Context
from cryptosupport.domain.books import Wanted
from cryptosupport.domain.payouts import Kind, Payout
from cryptosupport.outside.nodes import Bitcoind
from tests.chains.bitcoin_paying.kit import Maps, joined
from tests.commands.families import COIN, DESK, AnyDesk, Satoshis
from tests.commands.hostilenode import NEVER, Fault, Lie, Proxy
from tests.commands.withdrawkit import in_this_process
from tests.conftest import chain_toml
from tests.hostile import Reply, RpcError

SEND = "sendrawtransaction"
CAPS = '[fees]\nmax_fee = "0.01 BTC"\nmax_feerate = "100 sat/vB"\n'
FINAL = 3


class BitcoinProxy(Proxy):
    """Between the desk and a bitcoind; it asks as the wallet that the desk asks."""

    behind: Bitcoind

    def reply(self, verb: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        self._wallet = path.removeprefix("/wallet/").strip("/") or None
        return super().reply(verb, path, headers, body)

    def ask(self, method: str, params: list[Any]) -> Any:
        return self.behind.rpc(method, *params, wallet=self._wallet)


@dataclass
class Besieged(AnyDesk):
    """A desk behind ``proxies``; ``said`` is what the last pass complained of."""

    proxies: list[BitcoinProxy] = field(default_factory=list)
    said: str = ""

    @property
    def node(self) -> Bitcoind:
        """The honest one."""
        assert isinstance(self.coins, Satoshis)
        return self.coins.node

    def lies(self, lies: Mapping[str, Lie], place: int = 0) -> None:
        """From now on a proxy tells these, and no others."""
        self.proxies[place].lies = dict(lies)

    def honest_again(self) -> None:
        """The hostility ends."""
        for proxy in self.proxies:
            proxy.honest_again()

    def run_pass(self, *over: str) -> tuple[int, dict[str, str]]:
        """One pass: how it ended, and where all withdrawals stand. It says no more than is true, and what was signed
        pays only whom it is to pay: only those that are ``over`` may be given up.
        """
        done = self.run("withdraw", "run", "-o", "jsonl")
        states = {each["request_id"]: each["state"] for each in self.run("withdraw", "list", "-o", "jsonl").jsonl}
        self.said = done.stderr
        assert done.exit_code in (0, 3, 5, 6, 7), (done.exit_code, done.stderr)
        for name, state in states.items():
            assert state not in NEVER or name in over, (name, state, done.stderr)
            if state == "final":
                found = self.node.rpc("getrawtransaction", self.txid(name), True)
                assert found["confirmations"] >= FINAL, (name, found, done.stderr)
        self.check_signed()
        return done.exit_code, states

    def payouts(self) -> list[Payout]:
        """All that the ledger has."""
        context = Context()
        context.options.configs, context.options.data = str(self.folder / "configs"), str(self.folder / "data")
        ledger = context.ledger()
        ids = [each.id for each in ledger.withdrawals(Wanted())]
        with ledger.look() as records:
            found = {payout.id: payout for id in ids for payout in records.payouts.of(id)}
        return list(found.values())

    def check_signed(self) -> None:
        """Whatever was ever signed spends coins of the wallet, pays what was asked and us, and costs what it may."""
        for payout in self.payouts():
            for attempt in payout.attempts:
                if attempt.raw is not None:
                    names = [item.request_id for item in payout.items] if attempt.kind is Kind.PAY else []
                    self._check(attempt.raw.hex(), [self.owed[name] for name in names])

    def _check(self, raw: str, owed: list[tuple[str, int]]) -> None:
        tx = self.node.rpc("decoderawtransaction", raw)
        outputs = [(each["scriptPubKey"]["address"], round(each["value"] * COIN)) for each in tx["vout"]]
        others = [each for each in outputs if not self._ours(each[0])]
        assert sorted(others) == sorted(owed), tx
        spent = 0
        for each in tx["vin"]:
            parent = self.node.rpc("gettransaction", each["txid"], True, True, wallet="hot")["decoded"]
            coin = parent["vout"][each["vout"]]
            assert self._ours(coin["scriptPubKey"]["address"]), tx
            spent += round(coin["value"] * COIN)
        assert 0 < spent - sum(units for _, units in outputs) <= 2 * COIN // 100, tx

    def _ours(self, address: str) -> bool:
        return bool(self.node.rpc("getaddressinfo", address, wallet="hot")["ismine"])

    def recovers(self, *cancelled: str) -> None:
        """Honest nodes, a pass and blocks: each is settled once, and no coin is kept by anything."""
        self.honest_again()
        self.run_pass(*cancelled)
        self.ends_well(*cancelled)
        assert self.node.rpc("listlockunspent", wallet="hot") == []
        assert self.coins.pooled() == []
        self.check_signed()


@pytest.fixture
def besieged(shared_bitcoind: Bitcoind, tmp_path: Path) -> Iterator[Callable[..., Besieged]]:
    """Open a desk behind ``proxies``, each of another operator; its wallet holds some ``coins``."""
    with ExitStack() as stack:

        def opened(
            proxies: int = 1, quorum: int = 1, coins: int = 3, timeout: str = "5s", desk: str = "",
            node: Bitcoind | None = None,
        ) -> Besieged:  # fmt: skip
            node = node or shared_bitcoind
            made = Satoshis(node, tmp_path)
            configs = tmp_path / "configs"
            (configs / "desk.toml").write_text(DESK + desk, encoding="utf-8")
            behind = [stack.enter_context(BitcoinProxy(node)) for _ in range(proxies)]
            urls = [
                {"url": it.url, "operator": f"node-{place}", "own": True, "timeout": timeout}
                for place, it in enumerate(behind)
            ]
            text = chain_toml(node, {"endpoints": urls, "quorum": quorum}) + CAPS
            (configs / "chains" / "bitcoin.toml").write_text(text, encoding="utf-8")
            for path in configs.rglob("*"):
                path.chmod(0o700 if path.is_dir() else 0o600)
            opened = Besieged(in_this_process(tmp_path), tmp_path, made, proxies=behind)
            done = opened.run("wallet", "import", "hot")
            assert done.exit_code == 0, done.stderr
            made.fund(coins)
            return opened

        yield opened


Open = Callable[..., Besieged]

# -- lies ------------------------------------------------------------------------------------------------------------

NO = RpcError(-5, "No such mempool or blockchain transaction. Use gettransaction for wallet transactions.")
STRANGER = "5a" * 32


def with_facts(**facts: Any) -> Lie:
    """The honest answer with some members replaced; errors as they are."""

    def lie(params: list[Any], honest: Callable[[], Any]) -> Any:
        found = honest()
        return {**found, **facts} if isinstance(found, dict) else found

    return lie


def first_time(lie: Lie, times: int = 1) -> Lie:
    """A lie that is told so many times, and then the truth."""
    left = [times]

    def told(params: list[Any], honest: Callable[[], Any]) -> Any:
        left[0] -= 1
        return lie(params, honest) if left[0] >= 0 else honest()

    return told


def maps_of(psbt: str) -> Maps:
    """A PSBT as its maps, the global one first."""
    raw = BytesIO(b64decode(psbt)[5:])
    maps: Maps = []
    while (key := _sized(raw)) is not None:
        maps.append({})
        while key:
            value = _sized(raw)
            assert value is not None
            maps[-1][key] = value
            key = _sized(raw)
    return maps


def _sized(raw: BytesIO) -> bytes | None:
    """Bytes behind their number, as BIP 174 has them; None at the end."""
    if not (first := raw.read(1)):
        return None
    width = {0xFD: 2, 0xFE: 4}.get(first[0], 0)
    return raw.read(int.from_bytes(raw.read(width), "little") if width else first[0])


def spoilt(spoil: Callable[[Maps], object]) -> Lie:
    """An answer whose PSBT is changed map by map; where it is a string, it is the PSBT."""

    def lie(params: list[Any], honest: Callable[[], Any]) -> Any:
        found = honest()
        if isinstance(found, RpcError):
            return found
        maps = maps_of(found if isinstance(found, str) else found["psbt"])
        spoil(maps)
        text = b64encode(joined(maps)).decode()
        return text if isinstance(found, str) else {**found, "psbt": text}

    return lie


__all__ = ["Fault", "besieged"]
