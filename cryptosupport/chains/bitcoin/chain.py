"""A Bitcoin chain behind the `Chain` port: its nodes asked in turn, and what they find weighed against each other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cryptosupport.chains.bitcoin.bitcoind import Bitcoind
from cryptosupport.chains.bitcoin.networks import Rules
from cryptosupport.chains.bitcoin.reports import Absent, Finding
from cryptosupport.domain.addresses import Address, AddressOnChain
from cryptosupport.domain.errors import BadInput, BadSettings, NodeFailed
from cryptosupport.domain.money import Asset
from cryptosupport.domain.ports import Clock, NodeHealth
from cryptosupport.domain.transactions import (
    Confirmed,
    Confirming,
    Detail,
    Dropped,
    Hint,
    NotFound,
    Pending,
    Sighting,
    TxReport,
    Unknown,
)
from cryptosupport.settings import ChainSettings
from cryptosupport.transport import JsonRpcNode, Node, Nodes

if TYPE_CHECKING:
    from cryptosupport.chains.bitcoin.esplora import Esplora

BATCH = 200
"""Ids in one call: beyond, bitcoind answers no faster."""

REST_BATCH = 8
"""Ids in one call where every id is a request of its own."""

_TXID = re.compile(r"(?:0x)?([0-9a-f]{64})")
_LOOKS_LIKE_A_BLOCK = "0" * 16
"""The start of every mainnet block hash since 2017; of a txid once in 2^64."""


class BitcoinChain:
    """One Bitcoin network, as `cryptosupport.domain.ports.Chain` wants it."""

    def __init__(self, settings: ChainSettings, nodes: Nodes, clock: Clock) -> None:
        self._rules = Rules.of(settings)
        self._nodes = nodes
        self._clock = clock
        self._block_seconds = settings.block_seconds
        self._sources: dict[Node, Bitcoind | Esplora] = {node: self._source(node) for node in nodes.all}

    def _source(self, node: Node) -> Bitcoind | Esplora:
        if isinstance(node, JsonRpcNode):
            return Bitcoind(node, self._rules, self._clock)
        from cryptosupport.chains.bitcoin.esplora import Esplora

        return Esplora(node, self._rules, self._clock)

    @property
    def name(self) -> str:
        """The name in the settings: `bitcoin`."""
        return self._rules.chain

    @property
    def lookups_per_call(self) -> int:
        """How many ids `look_up` takes best at once."""
        return BATCH if any(isinstance(node, JsonRpcNode) for node in self._nodes.all) else REST_BATCH

    @property
    def connections(self) -> int:
        """How many calls of `look_up` its nodes take at once."""
        return self._nodes.connections

    @property
    def poll_seconds(self) -> float:
        """How long to wait before looking again: a part of the time between blocks, 15 s at most."""
        return 1.0 if self._rules.network.name == "regtest" else min(max(self._block_seconds / 20, 1.0), 15.0)

    def txid(self, text: str) -> str | None:
        """The id as bitcoind prints it: 64 hex digits without 0x; None for anything else."""
        match = _TXID.fullmatch(text)
        return None if match is None else match[1]

    def native(self, text: str) -> bool:
        """Whether ``text`` is written without 0x, as Bitcoin's ids are."""
        return not text.startswith("0x")

    # -- looking up

    def look_up(self, txids: Sequence[str], detail: Detail, memory: Mapping[str, Sighting]) -> list[TxReport]:
        """Say what happened to each of ``txids``, in their order.

        One node is asked; of what it does not have, all others too. Raises `NodesFailed` when none can be asked.
        """
        sources, alone = self._sources, len(txids) == 1
        answered, findings = self._nodes.first(lambda node: (node, sources[node].look_up(txids, detail, memory, alone)))
        if all(map(_settled, findings)):
            return [self._reported(txid, [finding]) for txid, finding in zip(txids, findings, strict=True)]
        said = {txid: [finding] for txid, finding in zip(txids, findings, strict=True)}
        for node in self._nodes.rest(answered).all:
            open_ones = [txid for txid, so_far in said.items() if not any(map(_settled, so_far))]
            if not open_ones:
                break
            for txid, finding in zip(open_ones, self._ask(node, open_ones, detail, memory, alone), strict=True):
                said[txid].append(finding)
        return [self._reported(txid, said[txid]) for txid in txids]

    def _ask(
        self, node: Node, txids: Sequence[str], detail: Detail, memory: Mapping[str, Sighting], alone: bool
    ) -> Sequence[Finding]:
        try:
            return self._sources[node].look_up(txids, detail, memory, alone)
        except NodeFailed as failure:
            said = failure.message.removeprefix(f"{failure.node}: ")
            return [Absent(node.name, failure.reason, said)] * len(txids)

    def _reported(self, txid: str, findings: Sequence[Finding]) -> TxReport:
        """The finding that proves most; `NotFound`, or gone for now, only when all nodes can tell, else `Unknown`."""
        best = max(findings, key=_weight)
        absent = [each for each in findings if isinstance(each, Absent)]
        unsure = [each for each in absent if each.code is not None]
        if isinstance(best, TxReport) and not (unsure and isinstance(best.status, Dropped) and not best.final):
            return best
        status: NotFound | Unknown
        if unsure:
            message = "; ".join(f"{each.node} {each.message}" for each in unsure)
            status = Unknown(unsure[0].code or "", message, tuple(each.node for each in unsure))
        else:
            status = NotFound(tuple(each.node for each in absent))
        return TxReport(txid, self.name, status, self._clock.now())

    def recognise(self, text: str) -> tuple[Hint, str | None] | None:
        """Say that an id that finds nothing is a block's, or a wtxid and of which transaction.

        Silent nodes are passed over.
        """
        txid = self.txid(text)
        if txid is None:
            return None
        for node in self._nodes.all:
            try:
                hint = self._sources[node].recognise(txid)
            except NodeFailed:
                continue
            if hint is not None:
                return hint
        if self._rules.network.name == "mainnet" and txid.startswith(_LOOKS_LIKE_A_BLOCK):
            return Hint.BLOCK_HASH, None
        return None

    # -- addresses and nodes

    def parse_address(self, text: str) -> Address | None:
        """Read an address of this network; None for another form. Raises `BadInput` for a wrong one."""
        from cryptosupport.chains.bitcoin.codec import parse_address

        return parse_address(text, self._rules.network.name)

    def describe_address(self, address: Address) -> AddressOnChain:
        """Bitcoin has no contracts: there is nothing to ask."""
        return AddressOnChain(None, self.name)

    def balance(self, wallet: str, address: str | None, asset: Asset) -> int:
        """The satoshis in bitcoind's wallet ``wallet``, or on ``address`` by Esplora; see `Chain.balance`."""
        coin = self._rules.coin
        if asset != coin:
            raise BadSettings(f"chains/{self.name}.toml: {asset.symbol} is not {coin.symbol}, the only money here")
        own = None if address is None else self._own_address(wallet, address)

        def ask(node: Node) -> int:
            source = self._sources[node]
            return source.balance(wallet) if isinstance(source, Bitcoind) else source.balance(own)

        return self._nodes.first(ask)

    def _own_address(self, wallet: str, text: str) -> str:
        """The normal form of a wallet's address. Raises `BadSettings`."""
        try:
            address = self.parse_address(text)
        except BadInput as error:
            raise BadSettings(f"wallets.toml [{wallet}]: address: {error.message}") from error
        if address is None:
            raise BadSettings(f"wallets.toml [{wallet}]: its address is no Bitcoin address")
        return address.text

    def health(self) -> list[NodeHealth]:
        """Ask every endpoint whether it is up, on the right network, and synced."""
        verdicts = []
        answers = self._nodes.each(lambda node: self._sources[node].health())
        for node, answer in zip(self._nodes.all, answers, strict=True):
            if isinstance(answer, NodeFailed):
                answer = NodeHealth(self.name, node.name, False, answer.message.removeprefix(f"{node.name}: "))
            verdicts.append(answer)
        return verdicts


def _settled(finding: Finding) -> bool:
    """Whether no other node need be asked: it was found, or is gone for good."""
    return isinstance(finding, TxReport) and (
        finding.final or isinstance(finding.status, Pending | Confirming | Confirmed)
    )


def _weight(finding: Finding) -> int:
    """How much a finding proves beside those of other nodes.

    In a block, gone for good, waiting, gone for now, nothing.
    """
    if isinstance(finding, Absent):
        return 0
    if isinstance(finding.status, Confirmed | Confirming):
        return 5
    if finding.final:
        return 4
    if isinstance(finding.status, Pending):
        return 3
    return 2 if finding.state == "replaced" else 1
