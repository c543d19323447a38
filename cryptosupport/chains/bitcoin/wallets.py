"""What the wallets of a node know: which outputs are change, and transactions that the chain has forgotten.

Only own nodes are asked, and any node of a private regtest chain: a stranger's wallets are none of our business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

import msgspec

from cryptosupport.chains.bitcoin import wire
from cryptosupport.chains.bitcoin.rawblocks import inputs_of
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.ports import Clock
from cryptosupport.domain.transactions import Transfer
from cryptosupport.transport import Call, JsonRpcNode, RpcFault, decode

MOST_WALLETS = 20
FRESH = 5.0
"""Seconds for which the list of wallets is not asked again."""

_NAMES = msgspec.json.Decoder(list[str])
_TX = msgspec.json.Decoder(wire.WalletTx)


@dataclass(frozen=True, slots=True)
class Known:
    """A transaction as the wallet ``wallet`` sees it. It paid for it when ``funded``."""

    wallet: str
    tx: wire.WalletTx

    @property
    def funded(self) -> bool:
        """Whether the wallet's coins went in."""
        return bool(bytes(self.tx.fee)) or any(line.category == "send" for line in self.tx.details)

    def inputs(self, node: str) -> list[tuple[str, int]]:
        """What it spends. Raises `NodeFailed` naming ``node`` when that cannot be read."""
        try:
            spent = inputs_of(bytes.fromhex(self.tx.hex)) if self.tx.hex else []
        except ValueError:
            raise NodeFailed(node, "bad_answer", "a wallet's transaction that cannot be read") from None
        if not spent and self.tx.decoded is not None:
            spent = [vin.outpoint for vin in self.tx.decoded.vin]
        return [(txid, vout) for txid, vout in spent if wire.HASH.fullmatch(txid)]

    @property
    def conflicts(self) -> tuple[str, ...]:
        """The ids of transactions that spend the same coins, as far as the wallet knows them."""
        replaced_by = (self.tx.replaced_by_txid,) if self.tx.replaced_by_txid else ()
        named = (*self.tx.mempoolconflicts, *replaced_by, *self.tx.walletconflicts)
        return tuple(dict.fromkeys(txid for txid in named if wire.HASH.fullmatch(txid)))


class Wallets:
    """The wallets that are loaded in one node; none where we may not ask."""

    def __init__(self, node: JsonRpcNode, may_ask: bool, clock: Clock) -> None:
        self._node = node
        self._may_ask = may_ask
        self._clock = clock
        self._names: tuple[str, ...] = ()
        self._asked: float | None = None

    def names(self) -> tuple[str, ...]:
        """Their names, `MOST_WALLETS` at most. Raises `NodeFailed`."""
        now = self._clock.monotonic()
        if self._may_ask and (self._asked is None or now - self._asked > FRESH):
            try:
                self._names = tuple(decode(self._node.call("listwallets"), _NAMES, self._node.name)[:MOST_WALLETS])
            except RpcFault:  # a node built or started without wallets
                self._names = ()
            self._asked = now
        return self._names

    def know(self, txids: Sequence[str]) -> dict[str, list[Known]]:
        """Which of ``txids`` which wallets know. Raises `NodeFailed`."""
        known: dict[str, list[Known]] = {}
        if not txids:
            return known
        calls = [Call("gettransaction", (txid, True, True)) for txid in txids]
        for wallet in self.names():
            for txid, answer in zip(txids, self._node.batch(calls, _path(wallet)), strict=True):
                if not isinstance(answer, RpcFault):
                    known.setdefault(txid, []).append(Known(wallet, decode(answer, _TX, self._node.name)))
        return known


def tell_change(known: Sequence[Known], transfers: tuple[Transfer, ...]) -> tuple[Transfer, ...]:
    """``transfers`` with change told apart by the wallets that paid for the transaction.

    A wallet lists what it sent, without its change (CachedTxGetAmounts in Bitcoin Core's wallet/receive.cpp): its own
    outputs that it never gave out an address for. What it sent to an address that it did give out, nobody can tell.
    """
    payers = [each.tx.details for each in known if each.funded]
    if not payers:
        return transfers
    sent = [{line.vout for line in lines if line.category == "send"} for lines in payers]
    # Without a send line the list is that of another kind of node.
    if not all(sent):
        return transfers
    got = [{line.vout for line in lines if line.category != "send"} for lines in payers]
    told: dict[int, bool] = {}
    for vout in [each.vout for each in transfers if each.change is None and each.vout is not None]:
        if any(vout not in some for some in sent):
            told[vout] = True
        elif not any(vout in some for some in got):
            told[vout] = False
    return tuple(replace(each, change=told[each.vout]) if each.vout in told else each for each in transfers)


def _path(wallet: str) -> str:
    return f"/wallet/{quote(wallet, safe='')}"
