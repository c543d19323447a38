"""What Esplora servers answer, as typed structs. Amounts are whole satoshis there.

Source: API.md of Blockstream/esplora; the replacement tree is mempool.space's own (docs/api/rest).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct, field

from cryptosupport.chains.bitcoin.wire import HASH, MAX_SATOSHIS, Count, Height, Index, Time

Satoshis = Annotated[int, Meta(ge=0, le=MAX_SATOSHIS)]


class Status(Struct, gc=False):
    """Whether a transaction is in a block of the best chain. Unconfirmed is also said of one that does not exist."""

    confirmed: bool
    block_height: Height | None = None
    block_hash: str | None = None
    block_time: Time | None = None


class Out(Struct, gc=False):
    """An output; ``address`` is empty where no address stands for it."""

    value: Satoshis
    script: str = field(name="scriptpubkey", default="")
    address: str = field(name="scriptpubkey_address", default="")


class In(Struct, gc=False):
    """An input."""

    txid: str
    vout: Index
    prevout: Out | None = None
    is_coinbase: bool = False
    sequence: Index = 0xFFFFFFFF


class Tx(Struct, gc=False):
    """GET /tx/:txid."""

    txid: str
    vin: list[In]
    vout: list[Out]
    status: Status
    weight: Annotated[int, Meta(ge=1, le=2**31)]
    fee: Satoshis
    version: int | None = None
    size: Count | None = None
    locktime: Index | None = None

    @property
    def coinbase(self) -> bool:
        """Whether it is a block's reward."""
        return not self.vin or self.vin[0].is_coinbase

    @property
    def vsize(self) -> int:
        """Its size in vB (BIP 141)."""
        return -(-self.weight // 4)

    @property
    def outpoints(self) -> list[tuple[str, int]]:
        """What it spends; nothing for a coinbase."""
        return [] if self.coinbase else [(vin.txid, vin.vout) for vin in self.vin if HASH.fullmatch(vin.txid)]


class Spend(Struct, gc=False):
    """GET /tx/:txid/outspend/:vout. Some servers say that an output of an unknown transaction is spent, by nobody."""

    spent: bool
    txid: str | None = None
    status: Status | None = None


class Sums(Struct, gc=False):
    """What an address ever got and ever paid in blocks, which may come to more than all coins that there are."""

    funded: Annotated[int, Meta(ge=0, le=2**62)] = field(name="funded_txo_sum")
    spent: Annotated[int, Meta(ge=0, le=2**62)] = field(name="spent_txo_sum")


class AddressSums(Struct, gc=False):
    """GET /address/:address."""

    address: str
    in_blocks: Sums = field(name="chain_stats")


class Mempool(Struct, gc=False):
    """GET /mempool."""

    vsize: Count = 0
    fee_histogram: list[tuple[Raw, Count]] = []


class BlockStatus(Struct, gc=False):
    """GET /block/:hash/status; a block that the server does not know is not in its best chain either."""

    in_best_chain: bool


class BlockInfo(Struct, gc=False):
    """GET /block/:hash."""

    height: Height
    timestamp: Time


class ReplacedTx(Struct, gc=False):
    """One transaction of a replacement tree."""

    txid: str


class Replacement(Struct, gc=False):
    """A replacement and, further down the tree, what it replaced."""

    tx: ReplacedTx


class Replacements(Struct, gc=False):
    """GET /v1/tx/:txid/rbf of mempool.space: the tree's root is the newest transaction."""

    replacements: Replacement | None = None
