"""What the wallets of a node know: which outputs are change, and transactions that the chain has forgotten.

Only own nodes are asked, and any node of a private regtest chain: a stranger's wallets are none of our business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

import msgspec

from cryptosupport.chains.bitcoin import wire
from cryptosupport.chains.bitcoin.mempool import amount
from cryptosupport.chains.bitcoin.rawblocks import inputs_of
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.ports import Clock
from cryptosupport.domain.transactions import Transfer
from cryptosupport.transport import Call, JsonRpcNode, RpcFault, decode

MOST_WALLETS = 20
FRESH = 5.0
"""Seconds for which the list of wallets is not asked again."""

_NOTHING = ("00" * 32, 0xFFFFFFFF)
"""What a block reward names as spent (COutPoint::IsNull in Bitcoin Core's primitives/transaction.h)."""

_REWARDS = frozenset({"generate", "immature", "orphan"})
"""Categories of a block reward in gettransaction."""

_NO_WALLET = -18
"""RPC_WALLET_NOT_FOUND in Bitcoin Core's rpc/protocol.h: it is not there, or not loaded."""

_BALANCES = msgspec.json.Decoder(wire.Balances)
_INFO = msgspec.json.Decoder(wire.WalletInfo)
_NAMES = msgspec.json.Decoder(list[str])
_TX = msgspec.json.Decoder(wire.WalletTx)


@dataclass(frozen=True, slots=True)
class Known:
    """A transaction as the wallet ``wallet`` sees it. It paid for it when ``funded``; ``keys``: it can sign."""

    wallet: str
    tx: wire.WalletTx
    keys: bool = False

    @property
    def funded(self) -> bool:
        """Whether the wallet's coins went in."""
        return bool(bytes(self.tx.fee)) or any(line.category == "send" for line in self.tx.details)

    def inputs(self, node: str) -> list[tuple[str, int]]:
        """What it spends; nothing for a reward. Raises `NodeFailed` naming ``node`` when that cannot be read."""
        try:
            spent = inputs_of(bytes.fromhex(self.tx.hex)) if self.tx.hex else []
        except ValueError:
            raise NodeFailed(node, "bad_answer", "a wallet's transaction that cannot be read") from None
        if not spent and self.tx.decoded is not None:
            spent = [vin.outpoint for vin in self.tx.decoded.vin]
        return [(txid, vout) for txid, vout in spent if wire.HASH.fullmatch(txid) and (txid, vout) != _NOTHING]

    @property
    def lost_reward(self) -> bool:
        """Whether it is the reward of a block that is not in the chain."""
        return self.tx.confirmations < 1 and any(line.category in _REWARDS for line in self.tx.details)

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
        self._keys: dict[str, bool] = {}
        self._asked: float | None = None

    def names(self) -> tuple[str, ...]:
        """Their names, `MOST_WALLETS` at most. Raises `NodeFailed`."""
        now = self._clock.monotonic()
        if self._may_ask and (self._asked is None or now - self._asked > FRESH):
            (answer,) = self._ask([Call("listwallets")])
            told = [] if isinstance(answer, RpcFault) else decode(answer, _NAMES, self._node.name)
            self._names, self._keys, self._asked = tuple(told[:MOST_WALLETS]), {}, now
        return self._names

    def _ask(self, calls: Sequence[Call], path: str = "") -> Sequence[msgspec.Raw | RpcFault]:
        """The answers; a node without wallets, and one that keeps them from this user, knows nothing."""
        try:
            return self._node.batch(calls, path)
        except NodeFailed as failure:
            if failure.reason != "unauthorized":  # -rpcwhitelist: HTTP 403, where other methods are answered
                raise
            return [RpcFault(403, failure.message)] * len(calls)

    def _has_keys(self, wallet: str) -> bool:
        if wallet not in self._keys:
            (answer,) = self._ask([Call("getwalletinfo")], wallet_path(wallet))
            told = None if isinstance(answer, RpcFault) else decode(answer, _INFO, self._node.name)
            self._keys[wallet] = told is not None and told.private_keys_enabled
        return self._keys[wallet]

    def balance(self, wallet: str) -> int:
        """The satoshis that ``wallet`` can spend: in blocks, and its own change that waits. Raises `NodeFailed`."""
        name = self._node.name
        if not self._may_ask:
            raise NodeFailed(name, "no_wallet", "is not marked own = true, so its wallets are not asked")
        answers = self._node.batch([Call("getbalances"), Call("getwalletinfo")], wallet_path(wallet))
        money, info = (self._told(wallet, answer) for answer in answers)
        if bytes(decode(info, _INFO, name).scanning) != b"false":
            raise NodeFailed(name, "not_synced", f"is still searching the chain for coins of the wallet {wallet}")
        return amount(decode(money, _BALANCES, name).mine.trusted, name)

    def _told(self, wallet: str, answer: msgspec.Raw | RpcFault) -> msgspec.Raw:
        if not isinstance(answer, RpcFault):
            return answer
        if answer.code == _NO_WALLET:
            raise NodeFailed(self._node.name, "no_wallet", f"has no wallet {wallet}: import its descriptor")
        raise NodeFailed(self._node.name, "bad_answer", f"says nothing of the wallet {wallet}: {answer.message}")

    def know(self, txids: Sequence[str]) -> dict[str, list[Known]]:
        """Which of ``txids`` which wallets know. Raises `NodeFailed`."""
        known: dict[str, list[Known]] = {}
        if not txids:
            return known
        calls = [Call("gettransaction", (txid, True, True)) for txid in txids]
        for wallet in self.names():
            for txid, answer in zip(txids, self._ask(calls, wallet_path(wallet)), strict=True):
                if not isinstance(answer, RpcFault):
                    tx = decode(answer, _TX, self._node.name)
                    known.setdefault(txid, []).append(Known(wallet, tx, self._has_keys(wallet)))
        return known


def tell_change(known: Sequence[Known], transfers: tuple[Transfer, ...]) -> tuple[Transfer, ...]:
    """``transfers`` with change told apart by the wallets that paid for the transaction.

    A wallet lists what it sent, without its change (CachedTxGetAmounts in Bitcoin Core's wallet/receive.cpp): its own
    outputs that it never gave out an address for. What it sent to an address that it did give out, nobody can tell.
    A wallet that can only watch may not know the change for its own: that there is none, it says only where it knows
    other change.
    """
    payers = [each for each in known if each.funded]
    if not payers:
        return transfers
    sent = [{line.vout for line in each.tx.details if line.category == "send"} for each in payers]
    # Without a send line the list is that of another kind of node.
    if not all(sent):
        return transfers
    got = {line.vout for each in payers for line in each.tx.details if line.category != "send"}
    own = {each.vout for each in transfers if any(each.vout not in some for some in sent)}
    sure = bool(own) or any(each.keys for each in payers)
    told: dict[int, bool] = {}
    for vout in [each.vout for each in transfers if each.change is None and each.vout is not None]:
        if vout in own:
            told[vout] = True
        elif sure and vout not in got:
            told[vout] = False
    return tuple(replace(each, change=told[each.vout]) if each.vout in told else each for each in transfers)


def wallet_path(wallet: str) -> str:
    """The path of a wallet at its node."""
    return f"/wallet/{quote(wallet, safe='')}"
