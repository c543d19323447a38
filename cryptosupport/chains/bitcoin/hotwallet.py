"""The watch-only wallet of one own node: it knows the coins of a descriptor, chooses and locks them, and signs nothing.

Locks live in the node's memory only, and are gone when it is restarted: the ledger's claims are what counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from cryptosupport.chains.bitcoin.mempool import amount
from cryptosupport.chains.bitcoin.wallets import wallet_path
from cryptosupport.chains.bitcoin.wire import HASH, Balances, Entry, WalletInfo
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.paying import Spend
from cryptosupport.transport import Call, JsonRpcNode, RpcFault, decode

T = TypeVar("T")
Outpoint = tuple[str, int]
"""The id of a transaction, and the number of its output."""

_COIN = 10**8
_CHANGE_TYPE = {"wpkh": "bech32", "tr": "bech32m"}
_NO_WALLET = -18
_NOT_ENOUGH = (-4, -6)
"""RPC_WALLET_ERROR and RPC_WALLET_INSUFFICIENT_FUNDS in Bitcoin Core's rpc/protocol.h: no coins are chosen."""


class _Point(msgspec.Struct):
    txid: str
    vout: int

    @property
    def outpoint(self) -> Outpoint:
        return self.txid, self.vout


class _Coin(_Point):
    amount: msgspec.Raw


class _Funded(msgspec.Struct):
    psbt: str


class _Decoded(msgspec.Struct):
    tx: _DecodedTx


class _DecodedTx(msgspec.Struct):
    vin: tuple[_Point, ...]


class _Processed(msgspec.Struct):
    psbt: str


class _AddressInfo(msgspec.Struct):
    hdkeypath: str = ""
    ismine: bool = False


class _Line(msgspec.Struct):
    category: str
    txid: str
    confirmations: int
    blockhash: str = ""
    blockheight: int = -1


class _Since(msgspec.Struct):
    transactions: tuple[_Line, ...]
    lastblock: str


class _Raw(msgspec.Struct):
    hex: str


@dataclass(frozen=True, slots=True)
class NotEnough:
    """The wallet has not enough coins that it may choose, in the node's words."""

    said: str


class HotWallet:
    """The wallet ``name`` of one node, which spends coins that are ``deep`` blocks deep. Whatever it does raises
    `NodeFailed`.
    """

    def __init__(self, node: JsonRpcNode, name: str, kind: str, deep: int) -> None:
        self._node, self._name, self._kind, self._deep = node, name, kind, deep
        self._path = wallet_path(name)

    @property
    def node(self) -> JsonRpcNode:
        """The node that has it."""
        return self._node

    # -- coins

    def holds(self) -> int:
        """The satoshis that it can spend: in blocks, and its own change that waits."""
        money, info = self._batch(Call("getbalances"), Call("getwalletinfo"))
        if bytes(self._read(info, WalletInfo).scanning) != b"false":
            raise NodeFailed(self._node.name, "not_synced", f"is still searching the chain for coins of {self._name}")
        return amount(self._read(money, Balances).mine.trusted, self._node.name)

    def free(self) -> int:
        """The satoshis that may be chosen."""
        return sum(self.unspent().values())

    def unspent(self) -> dict[Outpoint, int]:
        """The coins that may be chosen, each with its satoshis."""
        found = self._read(self._told("listunspent", self._deep), tuple[_Coin, ...])
        return {each.outpoint: amount(each.amount, self._node.name) for each in found}

    def choose(
        self, outputs: Sequence[Mapping[str, str]], rate: int, first: Sequence[Outpoint] = ()
    ) -> list[Outpoint] | NotEnough:
        """Coins that pay ``outputs`` (address: whole coins) at ``rate`` satoshis per kvB, and lock them.

        Those of ``first`` in any case, and others as they are needed: only coins that no reorganisation takes away any
        more. A payment whose coin is gone with its block, as another attempt of the payment that made it is in the new
        one, could neither be confirmed nor given up.
        """
        options = {
            "fee_rate": f"{rate // 1000}.{rate % 1000:03d}",
            "change_type": _CHANGE_TYPE[self._kind],
            "lockUnspents": True,
            "changePosition": len(outputs),
            "minconf": self._deep,
            "add_inputs": True,
        }
        points = [_point(each) for each in first]
        answer = self._ask(Call("walletcreatefundedpsbt", (points, list(outputs), 0, options, False)))
        if isinstance(answer, RpcFault):
            if answer.code in _NOT_ENOUGH:
                return NotEnough(self._node.legible(answer.message, 200))
            raise self._failed("walletcreatefundedpsbt", answer)
        psbt = self._read(answer, _Funded).psbt
        decoded = self._read(self._told("decodepsbt", psbt), _Decoded)
        return [each.outpoint for each in decoded.tx.vin]

    def locked(self) -> set[Outpoint]:
        """The coins that are not chosen."""
        return {each.outpoint for each in self._read(self._told("listlockunspent"), tuple[_Point, ...])}

    def lock(self, outpoints: Iterable[Outpoint], *, locked: bool = True) -> None:
        """Lock coins, or let them be chosen again; one that is so already, or is spent, is passed over."""
        self._batch(*(Call("lockunspent", (not locked, [_point(each)])) for each in outpoints))

    def spent(self, outpoints: Sequence[Outpoint]) -> list[Outpoint]:
        """Which of these coins, all of them in blocks, its node holds for spent: in a block, or by what waits."""
        gone = []
        answers = self._batch(*(Call("gettxout", (txid, vout, True)) for txid, vout in outpoints))
        for outpoint, answer in zip(outpoints, answers, strict=True):
            if isinstance(answer, RpcFault):
                raise self._failed("gettxout", answer)
            if bytes(answer) == b"null":
                gone.append(outpoint)
        return gone

    # -- transactions

    def psbt(self, inputs: Sequence[Outpoint], outputs: Sequence[Mapping[str, str]], locktime: int) -> str:
        """A PSBT of exactly this, replaceable, with all that a signer needs to know of the coins."""
        points = [{**_point(each), "sequence": 0xFFFFFFFD} for each in inputs]
        bare = self._read(self._told("createpsbt", points, list(outputs), locktime), str)
        filled = self._told("walletprocesspsbt", bare, False, "ALL", True, False)
        return self._read(filled, _Processed).psbt

    def change(self) -> tuple[str, int]:
        """A fresh address for change, and its index."""
        address = self._read(self._told("getrawchangeaddress", _CHANGE_TYPE[self._kind]), str)
        change, index = self.places_of([address]).get(address, (False, 0))
        if not change:
            raise NodeFailed(self._node.name, "bad_answer", f"gives {address} for change, which is no change address")
        return address, index

    def receive(self) -> tuple[str, int]:
        """A fresh address to be paid to, and its index."""
        address = self._read(self._told("getnewaddress", "", _CHANGE_TYPE[self._kind]), str)
        change, index = self.places_of([address]).get(address, (True, 0))
        if change:
            raise NodeFailed(self._node.name, "bad_answer", f"gives {address} to be paid to, which is none for that")
        return address, index

    def places_of(self, addresses: Sequence[str]) -> dict[str, tuple[bool, int]]:
        """Where addresses stand in the descriptor, by the node: change or not, and the index. A hint, no proof."""
        found = {}
        answers = self._batch(*(Call("getaddressinfo", (each,)) for each in addresses))
        for address, answer in zip(addresses, answers, strict=True):
            info = self._read(answer, _AddressInfo)
            parts = info.hdkeypath.split("/")
            if info.ismine and len(parts) > 2 and parts[-1].isdigit() and parts[-2] in ("0", "1"):
                found[address] = parts[-2] == "1", int(parts[-1])
        return found

    def evicted(self, txids: Sequence[str]) -> int:
        """The fees that a miner loses by what replaces these attempts, in satoshis: of the one that waits, and of all
        that anybody has spent of it since.
        """
        answers = self._batch(*(Call("getmempoolentry", (each,)) for each in txids))
        waiting = (self._read(each, Entry).fees for each in answers if not isinstance(each, RpcFault))
        told = (fees.descendant if bytes(fees.descendant) else fees.base for fees in waiting)
        return max((amount(each, self._node.name) for each in told), default=0)

    def block_at(self, height: int) -> str:
        """The hash of the block at a height; "" where the chain does not come so far."""
        answer = self._ask(Call("getblockhash", (height,)))
        return "" if isinstance(answer, RpcFault) else self._read(answer, str)

    def raws(self, txids: Sequence[str]) -> dict[str, bytes]:
        """The bytes of transactions that the wallet knows, by id; what it does not know is missing."""
        found = {}
        for txid, answer in zip(txids, self._batch(*(Call("gettransaction", (each,)) for each in txids)), strict=True):
            if not isinstance(answer, RpcFault):
                try:
                    found[txid] = bytes.fromhex(self._read(answer, _Raw).hex)
                except ValueError:
                    raise NodeFailed(self._node.name, "bad_answer", f"gives no bytes of {txid}") from None
        return found

    def spends(self, required: int) -> tuple[Spend, ...]:
        """The transactions that spent what the wallet had, waiting ones too, and none that lost to another.

        With ``required`` confirmations one is final.
        """
        since = self._read(self._told("listsinceblock", "", 1, True, True), _Since)
        sent = (each for each in since.transactions if each.category == "send" and each.confirmations >= 0)
        return tuple({each.txid: self._spend(each, required) for each in sent if HASH.fullmatch(each.txid)}.values())

    def _spend(self, line: _Line, required: int) -> Spend:
        if not line.confirmations:
            return Spend(line.txid, None, False)
        if line.blockheight < 0 or HASH.fullmatch(line.blockhash) is None:
            raise NodeFailed(self._node.name, "bad_answer", f"does not say which block has {line.txid}")
        return Spend(line.txid, (line.blockheight, line.blockhash), line.confirmations >= required)

    # -- asking

    def _told(self, method: str, *params: Any) -> msgspec.Raw:
        answer = self._ask(Call(method, params))
        if isinstance(answer, RpcFault):
            raise self._failed(method, answer)
        return answer

    def _ask(self, call: Call) -> msgspec.Raw | RpcFault:
        (answer,) = self._batch(call)
        return answer

    def _batch(self, *calls: Call) -> Sequence[msgspec.Raw | RpcFault]:
        answers = self._node.batch(list(calls), self._path) if calls else []
        for answer in answers:
            if isinstance(answer, RpcFault) and answer.code == _NO_WALLET:
                said = f"has no wallet {self._name}: `cryptosupport wallet import {self._name}`"
                raise NodeFailed(self._node.name, "no_wallet", said)
        return answers

    def _read(self, answer: msgspec.Raw | RpcFault, kind: type[T]) -> T:
        if isinstance(answer, RpcFault):
            raise self._failed("the wallet", answer)
        return decode(answer, kind, self._node.name)

    def _failed(self, method: str, fault: RpcFault) -> NodeFailed:
        return NodeFailed(self._node.name, "bad_answer", f"{method}: {self._node.legible(fault.message, 200)}")


def coins(satoshis: int) -> str:
    """Satoshis as the node takes them, exactly.

    >>> coins(123)
    '0.00000123'
    """
    return f"{satoshis // _COIN}.{satoshis % _COIN:08d}"


def _point(outpoint: Outpoint) -> dict[str, Any]:
    return {"txid": outpoint[0], "vout": outpoint[1]}
