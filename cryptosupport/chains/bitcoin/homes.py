"""The nodes of our own that watch a wallet: which of them is believed about its coins, and what all of them saw.

One that is behind knows of coins that are spent, and one that lies may hide who spent them: so the one that has come
furthest chooses, no other of our own may call a coin of its choice spent, and what any of them saw spent is spent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptosupport.chains.bitcoin.bitcoind import Bitcoind
from cryptosupport.chains.bitcoin.hotwallet import HotWallet, Outpoint
from cryptosupport.chains.bitcoin.networks import Rules
from cryptosupport.domain.errors import NodeFailed, NodesFailed
from cryptosupport.domain.paying import Spend
from cryptosupport.domain.ports import Clock
from cryptosupport.transport import JsonRpcNode, Node, Nodes

_SET_ASIDE = 30.0
"""Seconds for which a node that failed is not asked, where another one answers."""


def own_nodes(rules: Rules, nodes: Nodes) -> list[JsonRpcNode]:
    """The bitcoinds of our own; of regtest, all. Raises `NodesFailed` where there is none."""
    own = [node for node in nodes.all if isinstance(node, JsonRpcNode)]
    own = [node for node in own if node.own or rules.network.name == "regtest"]
    if not own:
        failure = NodeFailed(rules.chain, "no_wallet", "no endpoint is a bitcoind marked own = true")
        raise NodesFailed(rules.chain, (failure,))
    return own


@dataclass(frozen=True, slots=True)
class _Home:
    """The wallet at one node, with the height of the last block that this has."""

    wallet: HotWallet
    height: int


class Homes:
    """One wallet at all nodes of our own. What it does raises `NodesFailed` where none of them answers."""

    def __init__(self, rules: Rules, nodes: Nodes, clock: Clock, name: str, kind: str) -> None:
        self._rules, self._nodes, self._clock = rules, nodes, clock
        self._name, self._kind = name, kind
        self._homes: list[_Home] = []
        self._failed_at: dict[JsonRpcNode, float] = {}

    @property
    def nodes(self) -> list[JsonRpcNode]:
        """The nodes of our own."""
        return own_nodes(self._rules, self._nodes)

    def look(self) -> HotWallet:
        """Ask all of them anew; the wallet at the one that has come furthest, the first one of several."""
        own = self.nodes
        since = self._clock.monotonic() - _SET_ASIDE
        rested = [node for node in own if self._failed_at.get(node, since) <= since]
        try:
            self._homes = self._ask(rested or own)
        except NodesFailed:
            if not rested or len(rested) == len(own):
                raise
            self._homes = self._ask(own)
        return self.best

    @property
    def best(self) -> HotWallet:
        """The wallet at the node that had come furthest when they were asked last."""
        if not self._homes:
            return self.look()
        return max(self._homes, key=lambda each: each.height).wallet  # the first one of those

    def spends(self, required: int) -> tuple[Spend, ...]:
        """The transactions that spent what the wallet had, as any of them saw it: those of the best one first.

        With ``required`` confirmations one is final.
        """
        best = self.best
        others = [each.wallet for each in self._homes if each.wallet is not best]
        seen = {each.txid: each for each in best.spends(required)}
        for wallet in others:
            try:
                seen = {each.txid: each for each in wallet.spends(required)} | seen
            except NodeFailed:  # it went away just now, and `doctor` says so
                continue
        return tuple(seen.values())

    def agree(self, coins: Sequence[Outpoint]) -> None:
        """Raise `NodesFailed` where a node that has come as far as the best one calls a coin of its choice spent."""
        best = self.best
        height = max(each.height for each in self._homes)
        for each in self._homes:
            if each.wallet is best or each.height < height:
                continue
            try:
                gone = each.wallet.spent(coins)
            except NodeFailed:
                continue
            if gone:
                said = (
                    f"{gone[0][0]}:{gone[0][1]} is spent, and {best.node.name} chose that coin of {self._name}: "
                    "nothing is paid from it until they agree. Find out which of the two is wrong, and take it out of "
                    f"chains/{self._rules.chain}.toml"
                )
                raise NodesFailed(self._rules.chain, (NodeFailed(each.wallet.node.name, "disagree", said),))

    def _ask(self, nodes: Sequence[JsonRpcNode]) -> list[_Home]:
        asked = Nodes(self._rules.chain, nodes, self._clock.monotonic)
        found, failures = [], []
        for node, answer in zip(nodes, asked.each(self._at), strict=True):
            if isinstance(answer, NodeFailed):
                failures.append(answer)
                self._failed_at[node] = self._clock.monotonic()
            else:
                found.append(answer)
        if not found:
            raise NodesFailed(self._rules.chain, tuple(failures))
        return found

    def _at(self, node: Node) -> _Home:
        assert isinstance(node, JsonRpcNode)
        wallet = HotWallet(node, self._name, self._kind, self._rules.required)
        wallet.holds()
        return _Home(wallet, Bitcoind(node, self._rules, self._clock).info().blocks)
