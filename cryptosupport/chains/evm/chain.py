"""EVM chains for the desk: one class, told apart by settings, over JSON-RPC alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cryptosupport.chains.evm import codec, reading
from cryptosupport.chains.evm.absent import out_of_step
from cryptosupport.chains.evm.asking import Asker, NodeState
from cryptosupport.chains.evm.balances import balance, own_address
from cryptosupport.chains.evm.look import DEV_CHAIN, Gone, Missing, Rules, Said
from cryptosupport.chains.evm.money import Ledger
from cryptosupport.chains.evm.wire import HEADER, QUANTITY
from cryptosupport.domain.addresses import Address, AddressOnChain
from cryptosupport.domain.errors import BadSettings, NodeFailed, NodesFailed
from cryptosupport.domain.money import Asset
from cryptosupport.domain.ports import Clock, NodeHealth
from cryptosupport.domain.transactions import (
    Confirmed,
    Confirming,
    Detail,
    Failed,
    Hint,
    NotFound,
    Pending,
    Replaced,
    Sighting,
    TxReport,
    Unknown,
)
from cryptosupport.settings import ChainSettings
from cryptosupport.transport import Call, JsonRpcNode, Node, Nodes, RpcFault

_TXID = re.compile(r"(?:0x)?([0-9a-f]{64})")
_STALE_BLOCKS, _STALE_SECONDS = 10, 600
_DELEGATED = "0xef0100"  # EIP-7702: an account that lends itself a contract's code stays an account
# Two questions a transaction and three about the chain: Bor takes 100 in a batch.
_LOOKUPS_PUBLIC, _LOOKUPS_OWN = 48, 200


def rules_of(settings: ChainSettings, nodes: Nodes, clock: Clock) -> Rules:
    """What makes a chain's answers count. Raises `BadSettings` for a node that speaks no JSON-RPC."""
    for node in nodes.all:
        if not isinstance(node, JsonRpcNode):
            raise BadSettings(f"chains/{settings.name}.toml: {node.name}: an EVM node has to be of kind jsonrpc")
    return Rules(
        settings.name,
        settings.chain_id,
        settings.finality or "finalized",
        settings.confirmations,
        max(_STALE_BLOCKS * settings.block_seconds, _STALE_SECONDS),
        settings.explorer,
        Ledger(settings.coin, settings.tokens, settings.chain_id),
        clock,
    )


class EvmChain:
    """A chain that answers the Ethereum execution API."""

    def __init__(self, settings: ChainSettings, nodes: Nodes, clock: Clock) -> None:
        self.name = settings.name
        self._nodes = nodes
        self._settings = settings
        self._rules = rules_of(settings, nodes, clock)
        self._states = {node: NodeState() for node in nodes.all}

    @property
    def lookups_per_call(self) -> int:
        """More ids at once where all nodes are our own: hosted ones limit the size of a batch."""
        return _LOOKUPS_OWN if all(node.own for node in self._nodes.all) else _LOOKUPS_PUBLIC

    @property
    def connections(self) -> int:
        """How many calls of `look_up` the nodes take at once."""
        return self._nodes.connections

    @property
    def poll_seconds(self) -> float:
        """A block's time, within reason."""
        return min(max(self._settings.block_seconds, 0.2), 15.0)

    def txid(self, text: str) -> str | None:
        """The id with its 0x, or None when ``text`` is no id."""
        match = _TXID.fullmatch(text)
        return None if match is None else "0x" + match[1]

    def native(self, text: str) -> bool:
        """Whether ``text`` carries the 0x that EVM chains write."""
        return text.startswith("0x")

    def look_up(self, txids: Sequence[str], detail: Detail, memory: Mapping[str, Sighting]) -> list[TxReport]:
        """Say what happened to each of ``txids``, in their order. Raises `NodesFailed` when no node can be asked."""
        unique = list(dict.fromkeys(txids))
        alone = len(unique) == 1

        def ask(node: Node, some: Sequence[str]) -> dict[str, Said]:
            return reading.read(self._rules, self._asker(node), some, detail, memory, alone)

        asked, first = self._nodes.first(lambda node: (node, ask(node, unique)))
        reports = {txid: said for txid, said in first.items() if isinstance(said, TxReport)}
        left = [txid for txid in unique if txid not in reports]
        if left:
            others = self._nodes.rest(asked).each(lambda node: ask(node, left))
            for txid in left:
                answers = [first[txid], *(one if isinstance(one, NodeFailed) else one[txid] for one in others)]
                reports[txid] = self._conclude(txid, answers)
        return [reports[txid] for txid in txids]

    def _conclude(self, txid: str, answers: Sequence[Said]) -> TxReport:
        """What several nodes together say of a transaction that the first one does not hold.

        Found on any is found. That it is nowhere counts only when every node says so, but a named winner of its nonce
        does.
        """
        found = [answer for answer in answers if isinstance(answer, TxReport)]
        if found:
            return max(found, key=_standing)
        gone = [answer.report for answer in answers if isinstance(answer, Gone)]
        failures = [answer for answer in answers if isinstance(answer, NodeFailed)]
        best = max(gone, key=_standing, default=None)
        if best is not None and (not failures or (isinstance(best.status, Replaced) and best.status.by is not None)):
            return best
        status: Unknown | NotFound
        if failures:
            message = "; ".join(failure.message for failure in failures)
            status = Unknown(failures[0].reason, message, tuple(failure.node for failure in failures))
        else:
            status = NotFound(tuple(answer.node for answer in answers if isinstance(answer, Missing)))
        return TxReport(txid, self.name, status, self._rules.clock.now())

    def recognise(self, text: str) -> tuple[Hint, str | None] | None:
        """Tell a block's hash from a transaction's."""
        block_hash = self.txid(text)

        def is_block(node: Node) -> bool:
            asker = self._asker(node)
            (answer,) = asker.batch([Call("eth_getBlockByHash", (block_hash, False))])
            header = asker.need(answer, HEADER)
            return header is not None and header.hash == block_hash

        try:
            return (Hint.BLOCK_HASH, None) if block_hash is not None and self._nodes.first(is_block) else None
        except NodesFailed:
            return None

    def parse_address(self, text: str) -> Address | None:
        """Read an address, or None when ``text`` has another form. Raises `BadInput` for a wrong checksum."""
        return codec.parse_address(text)

    def describe_address(self, address: Address) -> AddressOnChain:
        """Ask whether a contract stands at ``address``. Raises `NodesFailed`."""

        def has_code(node: Node) -> AddressOnChain:
            asker = self._asker(node)
            calls = [Call("eth_getCode", (address.text, "latest")), Call("eth_chainId")]
            code, chain_id = asker.batch(calls)
            reading.check_chain(asker, asker.number(chain_id), self._rules.chain_id)
            text = asker.need(code, QUANTITY).lower()
            if not text.startswith("0x"):
                raise NodeFailed(asker.name, "bad_answer", "gives code that is not in hex")
            return AddressOnChain(len(text) > 2 and not text.startswith(_DELEGATED), asker.source("eth_getCode"))

        return self._nodes.first(has_code)

    def balance(self, wallet: str, address: str | None, asset: Asset) -> int:
        """What ``address`` holds of ``asset`` in the latest block, in base units; see `Chain.balance`."""
        rules, coin = self._rules, self._rules.ledger.coin
        if asset.contract is None and asset != coin:
            raise BadSettings(f"chains/{self.name}.toml: {asset.symbol} has no contract, and the coin is {coin.symbol}")
        own = own_address(wallet, address)
        return self._nodes.first(lambda node: balance(self._asker(node), rules, own, asset.contract))

    def health(self) -> list[NodeHealth]:
        """Ask every node whether it is up, on the right chain, in step, and able to say what is final."""
        verdicts = self._nodes.each(self._check)
        return [
            NodeHealth(self.name, verdict.node, False, verdict.message) if isinstance(verdict, NodeFailed) else verdict
            for verdict in verdicts
        ]

    def _check(self, node: Node) -> NodeHealth:
        asker, rules = self._asker(node), self._rules
        calls = [Call("eth_chainId"), Call("eth_getBlockByNumber", ("latest", False))]
        if rules.required is None:
            calls.append(Call("eth_getBlockByNumber", (rules.tag, False)))
        chain_id, latest, *final = asker.batch(calls)
        reading.check_chain(asker, asker.number(chain_id), rules.chain_id)
        block = asker.block(latest)
        if block is None:
            raise NodeFailed(asker.name, "bad_answer", "has no latest block")
        trouble = out_of_step(asker, rules)
        if trouble is not None:
            return NodeHealth(self.name, asker.name, False, trouble.message, block.height)
        if final and (isinstance(final[0], RpcFault) or asker.block(final[0]) is None):
            words = (
                f"{asker.name}: does not know the block tag {rules.tag!r}, so nothing is final: set confirmations = N"
            )
            return NodeHealth(self.name, asker.name, False, words, block.height)
        age = max(rules.clock.now() - block.time, 0)
        quiet = " (a development chain)" if rules.chain_id == DEV_CHAIN else ""
        words = f"{asker.name}: in step, block {block.height} is {age} s old{quiet}"
        return NodeHealth(self.name, asker.name, True, words, block.height, block.time)

    def _asker(self, node: Node) -> Asker:
        assert isinstance(node, JsonRpcNode)
        return Asker(node, self._states[node])


def _standing(report: TxReport) -> tuple[int, bool, bool]:
    """How much a report settles, for choosing among those of several nodes."""
    status = report.status
    match status:
        case Confirmed() | Failed(final=True):
            rank = 4
        case Confirming() | Failed():
            rank = 3
        case Replaced():
            rank = 2
        case Pending():
            rank = 1
        case _:
            rank = 0
    return rank, report.final, isinstance(status, Replaced) and status.by is not None
