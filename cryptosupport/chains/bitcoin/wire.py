"""What bitcoind answers, as typed structs. Amounts stay raw JSON until `satoshis` reads their digits.

Only the fields that are used are named; everything else is skipped unread. Sources: the help texts of Bitcoin Core
29's RPC.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta, Raw, Struct, field

MAX_SATOSHIS = 21_000_000 * 100_000_000
"""MAX_MONEY in Bitcoin Core's consensus/amount.h."""

HASH = re.compile(r"[0-9a-f]{64}")
"""A txid or block hash, as nodes print it."""

_NUMBER = re.compile(rb"(-?)([0-9]{1,20})(?:\.([0-9]{1,40}))?(?:[eE]([+-]?[0-9]{1,3}))?")

Height = Annotated[int, Meta(ge=0, le=2**31)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Index = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Time = Annotated[int, Meta(ge=0, le=2**40)]
Depth = Annotated[int, Meta(ge=-(2**31), le=2**31)]


def satoshis(raw: Raw | bytes) -> int:
    """Read an amount in BTC, as JSON writes it, as satoshis.

    bitcoind prints eight decimals ("0.00001000"), other nodes and gateways "1e-05": both are read digit by digit.
    Raises `ValueError` for what is no number, is no whole number of satoshis, or is more than there can be.

    >>> satoshis(b"1.00000001"), satoshis(b"7.1E-7"), satoshis(b"-0.5"), satoshis(b"21")
    (100000001, 71, -50000000, 2100000000)
    """
    text = bytes(raw)
    amount = int(text[:-9] + text[-8:]) if text[-9:-8] == b"." and text[-8:].isdigit() else scaled(text, 8)
    if not -MAX_SATOSHIS <= amount <= MAX_SATOSHIS:
        raise ValueError("an amount of more than 21,000,000 BTC cannot be")
    return amount


def scaled(text: bytes, decimals: int) -> int:
    """The number in ``text`` times ten to the ``decimals``. Raises `ValueError` when that is not whole.

    >>> scaled(b"1.5e1", 3)
    15000
    """
    value, left = _scale(text, decimals)
    if left:
        raise ValueError(f"a number of more than {decimals} decimals")
    return value


def rounded_up(text: bytes, decimals: int) -> int:
    """The same for prices, which may have any number of decimals: the next whole number.

    >>> rounded_up(b"1.0201", 3)
    1021
    """
    value, left = _scale(text, decimals)
    if value < 0 or text.startswith(b"-"):
        raise ValueError("a negative price")
    return value + (left > 0)


def _scale(text: bytes, decimals: int) -> tuple[int, int]:
    """The whole part of a number times ten to the ``decimals``, and what is left over."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError("an amount that is no number")
    fraction, exponent = match[3] or b"", int(match[4] or 0)
    digits: int = int(match[2] + fraction)
    shift = decimals + exponent - len(fraction)
    value, left = (digits * 10**shift, 0) if shift >= 0 else divmod(digits, 10**-shift)
    return (-value if match[1] else value), left


class Script(Struct, gc=False):
    """A scriptPubKey; ``address`` is empty where no address stands for it."""

    hex: str = ""
    address: str = ""
    addresses: tuple[str, ...] = ()  # before Bitcoin Core 22


class Prevout(Struct, gc=False):
    """The output that an input spends (verbosity 2, since Bitcoin Core 25)."""

    script: Script = field(name="scriptPubKey")
    value: Raw


class Vin(Struct, gc=False):
    """An input. A coinbase has no ``txid``."""

    txid: str = ""
    vout: Index = 0
    coinbase: str | None = None
    prevout: Prevout | None = None
    sequence: Index = 0xFFFFFFFF

    @property
    def outpoint(self) -> tuple[str, int]:
        """What it spends."""
        return self.txid, self.vout


class Vout(Struct, gc=False):
    """An output."""

    value: Raw
    n: Index
    script: Script = field(name="scriptPubKey")


class Tx(Struct, gc=False):
    """getrawtransaction with verbosity 1 or 2. A stale block shows as a block hash with 0 confirmations."""

    txid: str
    vin: list[Vin]
    vout: list[Vout]
    fee: Raw = Raw()
    blockhash: str = ""
    confirmations: Depth = 0
    locktime: Index = 0

    @property
    def coinbase(self) -> bool:
        """Whether it is a block's reward."""
        return not self.vin or not self.vin[0].txid


class BriefVin(Struct, gc=False):
    """An input, as far as it has to be remembered."""

    txid: str = ""
    vout: Index = 0


class BriefTx(Struct, gc=False):
    """`Tx` without its money."""

    txid: str
    vin: list[BriefVin]
    blockhash: str = ""
    confirmations: Depth = 0

    @property
    def coinbase(self) -> bool:
        """Whether it is a block's reward."""
        return not self.vin or not self.vin[0].txid


class TxMeta(Struct, gc=False):
    """The rest of `Tx`, for the long explanation."""

    version: int | None = None
    size: Count | None = None
    vsize: Count | None = None
    weight: Count | None = None
    hash: str | None = None
    locktime: Index | None = None


class Header(Struct, gc=False):
    """getblockheader; -1 confirmations: not in the active chain."""

    height: Height
    time: Time
    mediantime: Time = 0
    confirmations: Depth = 0
    in_block: Count = field(name="nTx", default=0)


class BlockTxids(Struct, gc=False):
    """getblock with verbosity 1."""

    hash: str
    height: Height
    time: Time
    confirmations: Depth
    tx: list[str]
    previousblockhash: str | None = None


class BlockTxs(Struct, gc=False):
    """getblock with verbosity 2."""

    hash: str
    height: Height
    time: Time
    confirmations: Depth
    tx: list[Tx]


class ChainInfo(Struct, gc=False):
    """getblockchaininfo."""

    chain: str
    blocks: Height
    headers: Height
    bestblockhash: str
    initialblockdownload: bool = False
    time: Time | None = None  # since Bitcoin Core 23
    mediantime: Time = 0
    pruned: bool = False


class IndexState(Struct, gc=False):
    """One entry of getindexinfo."""

    synced: bool


class MempoolInfo(Struct, gc=False):
    """getmempoolinfo; ``fullrbf`` since Bitcoin Core 24."""

    mempoolminfee: Raw
    size: Count = 0
    bytes: Count = 0
    loaded: bool = True
    fullrbf: bool | None = None


class EntryFees(Struct, gc=False):
    """The fees of a mempool entry, in BTC; all but ``base`` with what the node's operator added.

    ``chunk``: of what is mined together with it, where the node tells.
    """

    base: Raw
    ancestor: Raw
    modified: Raw = Raw()
    descendant: Raw = Raw()
    chunk: Raw = Raw()


class Entry(Struct, gc=False):
    """getmempoolentry."""

    vsize: Annotated[int, Meta(ge=1, le=2**31)]
    ancestorcount: Annotated[int, Meta(ge=1, le=2**31)]
    ancestorsize: Annotated[int, Meta(ge=1, le=2**40)]
    fees: EntryFees
    time: Time
    descendantcount: Count = 1
    descendantsize: Count = 0
    chunkweight: Count = 0
    wtxid: str | None = None
    replaceable: bool | None = field(name="bip125-replaceable", default=None)
    unbroadcast: bool = False


class Estimate(Struct, gc=False):
    """estimatesmartfee; without ``feerate`` the node does not know."""

    feerate: Raw = Raw()
    blocks: Count = 0


class Coin(Struct, gc=False):
    """gettxout."""

    value: Raw
    script: Script = field(name="scriptPubKey")
    confirmations: Depth = 0
    bestblock: str = ""


class Spend(Struct, gc=False):
    """One answer of gettxspendingprevout. ``blockhash``: only nodes that index spent outputs."""

    txid: str
    vout: Index
    spendingtxid: str | None = None
    blockhash: str | None = None


class WalletDetail(Struct, gc=False):
    """One line of a wallet's view of a transaction."""

    category: str = ""
    vout: Index | None = None


class WalletTx(Struct, gc=False):
    """gettransaction with ``verbose``; negative confirmations count the blocks on a conflicting one."""

    confirmations: Depth
    decoded: Tx | None = None  # since Bitcoin Core 0.19
    hex: str = ""
    fee: Raw = Raw()
    blockhash: str = ""
    walletconflicts: tuple[str, ...] = ()
    mempoolconflicts: tuple[str, ...] = ()
    replaced_by_txid: str | None = None
    details: tuple[WalletDetail, ...] = ()


class WalletInfo(Struct, gc=False):
    """getwalletinfo; ``scanning`` is false, or how far it has come."""

    private_keys_enabled: bool = False
    scanning: Raw = Raw(b"false")


class OwnMoney(Struct, gc=False):
    """What is the wallet's own. ``trusted``: in a block, and change of the wallet's own waiting payments."""

    trusted: Raw


class Balances(Struct, gc=False):
    """getbalances."""

    mine: OwnMoney


class Acceptance(Struct, gc=False):
    """One answer of testmempoolaccept."""

    reject_reason: str = field(name="reject-reason", default="")


class NetworkInfo(Struct, gc=False):
    """getnetworkinfo."""

    version: Count = 0
    subversion: str = ""
    connections: Count = 0
