"""What one Esplora server (esplora, electrs, mempool.space) says of transactions, over REST."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from cryptosupport.chains.bitcoin import esplora_wire as wire
from cryptosupport.chains.bitcoin.networks import Rules
from cryptosupport.chains.bitcoin.reports import Absent, Finding, Reporter, check_hash
from cryptosupport.chains.bitcoin.wire import HASH, MAX_SATOSHIS
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.money import Amount
from cryptosupport.domain.ports import Clock, NodeHealth
from cryptosupport.domain.transactions import Block, Detail, Hint, Sighting, Transfer
from cryptosupport.transport import RestNode, decode

_NUMBER = re.compile(rb"[0-9]{1,10}")
_TX = msgspec.json.Decoder(wire.Tx)
_STATUS = msgspec.json.Decoder(wire.Status)

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


@dataclass(slots=True)
class EsploraLook:
    """One call of `look_up` on one server."""

    detail: Detail
    alone: bool
    memory: Mapping[str, Sighting]
    reporter: Reporter
    tip: int = 0
    facts: dict[str, list[tuple[str, object, str]]] = field(default_factory=dict)

    @property
    def brief(self) -> bool:
        """Whether the state alone is wanted."""
        return self.detail is Detail.BRIEF

    def note(self, txid: str, source: str, *told: tuple[str, object]) -> None:
        """Keep facts for the long explanation; ``source`` is the path that told them."""
        if self.detail is Detail.EXPLAIN:
            self.facts.setdefault(txid, []).extend((name, value, source) for name, value in told if value is not None)


class Esplora:
    """One server. Thread-safe; several requests are under way at once, as many as its settings allow."""

    def __init__(self, node: RestNode, rules: Rules, clock: Clock) -> None:
        self.node = node
        self.rules = rules
        self.clock = clock
        self._right_network = False

    def look_up(
        self, txids: Sequence[str], detail: Detail, memory: Mapping[str, Sighting], alone: bool
    ) -> list[Finding]:
        """What this server says of each of ``txids``, in their order; ``alone``: one is asked for.

        Raises `NodeFailed`.
        """
        self.check_network()
        look = EsploraLook(detail, alone, memory, Reporter(self.rules, self.node.name, self.clock.now()))
        seen = self.at_once(self._status if look.brief else self.tx, txids)
        look.tip = self.tip_height()  # after the transactions: no block of theirs is above it
        found: dict[str, Finding] = {}
        open_ones: list[tuple[str, wire.Tx | None]] = []
        for txid, each in zip(txids, seen, strict=True):
            if isinstance(each, wire.Status) or (each is not None and each.status.confirmed):
                found[txid] = self._mined(txid, each, look)
            else:
                open_ones.append((txid, each))
        if open_ones:
            from cryptosupport.chains.bitcoin.esplora_open import Unconfirmed

            found |= Unconfirmed(self, look).look_up(open_ones)
        if detail is Detail.EXPLAIN:
            from cryptosupport.chains.bitcoin.explain import esplora_facts

            found = {txid: esplora_facts(each, look) for txid, each in found.items()}
        return [found[txid] for txid in txids]

    # -- asking

    def get(self, path: str, kind: type[T] | msgspec.json.Decoder[T]) -> T | None:
        """The answer to GET ``path``, None for 404. Raises `NodeFailed`."""
        answer = self.node.get(path)
        return None if answer is None else decode(answer, kind, self.node.name)

    def at_once(self, ask: Callable[[A], B], of: Sequence[A]) -> list[B]:
        """``ask`` of each, several at a time; the answers in order."""
        width = min(self.node.connections, len(of))
        if width < 2:
            return [ask(each) for each in of]
        with ThreadPoolExecutor(width) as pool:
            return list(pool.map(ask, of))

    def tx(self, txid: str) -> wire.Tx | None:
        """GET /tx/:txid. Raises `NodeFailed`."""
        tx = self.get(f"/tx/{txid}", _TX)
        if tx is not None and tx.txid != txid:
            raise NodeFailed(self.node.name, "bad_answer", "answers with another transaction than the one asked for")
        return tx

    def _status(self, txid: str) -> wire.Status | wire.Tx | None:
        """The status of what is in a block; of anything else the transaction, since "unconfirmed" is said of any id."""
        status = self.get(f"/tx/{txid}/status", _STATUS)
        return status if status is not None and status.confirmed else self.tx(txid)

    def tip_height(self) -> int:
        """The height of the last block. Raises `NodeFailed`."""
        answer = self.node.get("/blocks/tip/height")
        if answer is None or not _NUMBER.fullmatch(answer.strip()):
            raise NodeFailed(
                self.node.name, "bad_answer", "gives no height of its last block: is it an Esplora server?"
            )
        return int(answer)

    def check_network(self) -> None:
        """See once that its first block is that of our network. Raises `NodeFailed`."""
        if self._right_network:
            return
        answer, network = self.node.get("/block-height/0"), self.rules.network
        if answer is None or not HASH.fullmatch(first := answer.strip().decode("latin-1")):
            raise NodeFailed(self.node.name, "bad_answer", "gives no first block: is it an Esplora server?")
        if first != network.genesis:
            message = f"its first block is {first[:16]}..., and chains/{self.rules.chain}.toml says {network.name!r}"
            raise NodeFailed(self.node.name, "wrong_chain", message)
        self._right_network = True

    def tip(self) -> wire.BlockInfo | None:
        """The last block. Raises `NodeFailed`."""
        answer = self.node.get("/blocks/tip/hash")
        if answer is None:
            return None
        tip = check_hash(answer.strip().decode("latin-1"), self.node.name)
        return self.get(f"/block/{tip}", wire.BlockInfo)

    # -- reports

    def _mined(self, txid: str, seen: wire.Tx | wire.Status, look: EsploraLook) -> Finding:
        status = seen if isinstance(seen, wire.Status) else seen.status
        if status.block_height is None or status.block_hash is None:
            raise NodeFailed(self.node.name, "bad_answer", "calls a transaction confirmed without naming its block")
        block_hash = check_hash(status.block_hash, self.node.name)
        block = Block(status.block_height, block_hash, status.block_time)
        # A server behind a load balancer may give a tip from before the block.
        confirmations = max(look.tip - block.height + 1, 1)
        coinbase = isinstance(seen, wire.Tx) and seen.coinbase
        state = self.rules.mined(block, confirmations, coinbase)
        name = "confirming" if confirmations < self.rules.required else "confirmed"
        if isinstance(seen, wire.Status):
            return look.reporter.report(txid, state, name, block_hash=block_hash, height=block.height)
        told = [("block_hash", block_hash), ("height", block.height), ("tip_height", look.tip)]
        look.note(txid, f"/tx/{txid}", *self.described(seen), *told)
        fee = None if coinbase else Amount(seen.fee, self.rules.coin)
        moved = () if look.brief else transfers(seen, self.rules)
        inputs = remembered(seen)
        return look.reporter.report(txid, state, name, fee, moved, coinbase, block_hash, block.height, inputs)

    def described(self, tx: wire.Tx) -> list[tuple[str, object]]:
        """The facts of a transaction itself."""
        size = [("version", tx.version), ("size", tx.size), ("vsize", tx.vsize), ("weight", tx.weight)]
        return [*size, ("locktime", tx.locktime), ("inputs", len(tx.vin)), ("outputs", len(tx.vout))]

    # -- the port's other questions

    def recognise(self, text: str) -> tuple[Hint, str | None] | None:
        """Say that ``text`` is a block's hash. Raises `NodeFailed`."""
        self.check_network()
        return None if self.get(f"/block/{text}", wire.BlockInfo) is None else (Hint.BLOCK_HASH, None)

    def behind(self) -> str | None:
        """In what way the server is behind the chain, or None. Raises `NodeFailed`."""
        oldest = self.rules.network.oldest_tip
        if oldest is None:
            return None
        tip = self.tip()
        if tip is None:
            return "does not know its own last block"
        age = self.clock.now() - tip.timestamp
        return f"has seen no block for {age // 3600} hours" if age > oldest else None

    def absence(self) -> Absent:
        """What it is worth that this server does not know a transaction. Raises `NodeFailed`."""
        behind = self.behind()
        return Absent(self.node.name) if behind is None else Absent(self.node.name, "not_synced", behind)

    def balance(self, address: str | None) -> int:
        """The satoshis on ``address`` in blocks. Raises `NodeFailed`, for a wallet without one address too."""
        name = self.node.name
        if address is None:
            raise NodeFailed(name, "no_wallet", "knows no wallets, and this one has no single address: ask a bitcoind")
        self.check_network()
        behind = self.behind()
        if behind is not None:
            raise NodeFailed(name, "not_synced", behind)
        told = self.get(f"/address/{address}", wire.AddressSums)
        if told is None or told.address != address:
            raise NodeFailed(name, "bad_answer", "answers with something else than the address asked for")
        held = told.in_blocks.funded - told.in_blocks.spent
        if not 0 <= held <= MAX_SATOSHIS:
            raise NodeFailed(name, "bad_answer", f"says that an address holds {held} satoshis")
        return held

    def health(self) -> NodeHealth:
        """One sentence on this server. Raises `NodeFailed`."""
        self.check_network()
        height, behind, tip = self.tip_height(), self.behind(), self.tip()
        sentence = behind or f"synced at height {height} on {self.rules.network.name} (Esplora)"
        return NodeHealth(
            self.rules.chain, self.node.name, behind is None, sentence, height, None if tip is None else tip.timestamp
        )


def remembered(tx: wire.Tx) -> tuple[str, ...]:
    """What a transaction spends, as it is remembered."""
    return tuple([f"{txid}:{vout}" for txid, vout in tx.outpoints])


def transfers(tx: wire.Tx, rules: Rules) -> tuple[Transfer, ...]:
    """One transfer for each output that holds money; see `reports.transfers`."""
    spent = [vin.prevout for vin in tx.vin]
    scripts = {out.script for out in spent if out is not None and out.script}
    senders = {None if out is None else address(out) for out in spent}
    sender = senders.pop() if len(senders) == 1 else None
    nobody = False if tx.coinbase else None
    return tuple(
        Transfer(Amount(out.value, rules.coin), sender, address(out), vout, True if out.script in scripts else nobody)
        for vout, out in enumerate(tx.vout)
        if out.value > 0
    )


def address(out: wire.Out) -> str | None:
    """The address of an output, or None; what is no address (it would be printed) does not pass for one."""
    text = out.address
    return text if text.isalnum() and text.isascii() and len(text) <= 100 else None
