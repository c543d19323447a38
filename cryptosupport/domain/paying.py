"""What paying asks of a chain family and of whoever holds a key; adapters in chains and signers fit these shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from cryptosupport.domain.audit import Head
from cryptosupport.domain.errors import Refused, Unsigned
from cryptosupport.domain.money import Asset
from cryptosupport.domain.payouts import Kind, Payout, Plan, Seen
from cryptosupport.domain.statements import Signed
from cryptosupport.domain.sweeps import Leg
from cryptosupport.domain.withdrawals import Withdrawal


@dataclass(frozen=True, slots=True)
class Payment:
    """What a withdrawal asks of its chain; ``most_fee`` is what that may cost at most, in base units of the coin.

    ``before`` are the coins of payments of it that are dead: one that is free again is spent this time too, so that
    even a chain that takes back what it called final has room for one of them only.
    """

    request_id: str
    asset: Asset
    base_units: int
    destination: str
    most_fee: int | None = None
    before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spend:
    """A transaction that spent what a wallet had. ``block`` is (height, hash), None while it waits; ``final``: by the
    chain's rule it stays there.
    """

    txid: str
    block: tuple[int, str] | None
    final: bool


@dataclass(frozen=True, slots=True)
class Survey:
    """What the nodes say of a wallet at one moment.

    ``seen`` is what became of each payout, by its id; those that nobody could tell of are missing, and ``troubles`` say
    why. ``used`` is how many transactions of the wallet the chain has (where places are nonces: the next one),
    ``pending`` the same with what waits in the pool. ``holds`` is what the wallet has, by contract (None: the coin), in
    base units. ``market`` is what fees are made of, in the family's words. ``spends`` are its transactions one by one,
    where places are coins; None where they are nonces, which tell by themselves how many there were.
    """

    used: int
    pending: int
    holds: Mapping[str | None, int]
    market: object
    seen: Mapping[int, Seen] = field(default_factory=dict)
    troubles: tuple[str, ...] = ()
    spends: tuple[Spend, ...] | None = None


@dataclass(frozen=True, slots=True)
class Unpayable:
    """It would fail, or must not be tried: a person has to look (S43)."""

    reason: str


@dataclass(frozen=True, slots=True)
class TooDear:
    """Fees are above a cap just now: it waits. ``for_all``: for whatever is paid, they are."""

    reason: str
    for_all: bool = False


@dataclass(frozen=True, slots=True)
class Short:
    """The wallet does not hold enough: ``needs`` and ``has`` are base units of ``symbol``."""

    symbol: str
    needs: int
    has: int


@dataclass(frozen=True, slots=True)
class Output:
    """A payment that is made together with others by one plan, as its output ``number``."""

    plan: Plan
    number: int


Draft: TypeAlias = Plan | Output | Unpayable | TooDear | Short
"""What comes of a payment: a transaction of its own, an output of one with others, or why there is none now."""


@dataclass(frozen=True, slots=True)
class Paid:
    """One payment that signed bytes make: to whom, of what (a contract, None for the coin), how many base units."""

    destination: str
    contract: str | None
    base_units: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """What signed or unsigned bytes do, read by code that did not write them.

    ``source`` is whose signature it is ("" unsigned), ``network`` the chain that it counts on.
    """

    txid: str
    network: str
    source: str
    claims: tuple[str, ...]
    pays: tuple[Paid, ...]
    max_fee: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of giving bytes to the nodes: ``taken`` is True where one has them now, None where nobody can tell.

    False is a refusal of these very bytes, for the reason ``said``.
    """

    taken: bool | None
    said: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What a wallet holds at the end of one block, by contract (None: the coin), in base units.

    ``disagree`` says which nodes have it otherwise.
    """

    height: int
    block_hash: str
    holds: Mapping[str | None, int]
    disagree: tuple[str, ...] = ()


class Payer(Protocol):
    """Pays from one wallet on one chain, without any key."""

    @property
    def source(self) -> str:
        """The address, or what else the wallet is known by on its chain."""

    @property
    def in_flight(self) -> int:
        """How many payouts may wait for a block at once."""

    @property
    def in_order(self) -> bool:
        """Whether blocks take the payouts of a wallet only in the order of their places."""

    @property
    def together(self) -> int:
        """How many withdrawals one transaction may pay."""

    def survey(self, payouts: Sequence[Payout]) -> Survey:
        """Ask the nodes how the wallet stands, and what became of each of ``payouts``. Raises `NodesFailed`."""

    def draft(self, payments: Sequence[Payment], survey: Survey) -> list[Draft]:
        """Make a plan for each payment, without its place, having tried it out. Raises `NodesFailed`.

        What one spends is not there for the next. Those that one transaction pays have the same plan.
        """

    def legs(
        self, asset: Asset, surplus: int, destination: str, survey: Survey
    ) -> list[Leg] | Unpayable | TooDear | Short:
        """The transactions that would move up to ``surplus`` base units, fees included; nothing is reserved by it.

        Raises `NodesFailed`.
        """

    def place(self, plan: Plan, place: int) -> tuple[Plan, tuple[str, ...]]:
        """The plan at a place that nobody else has, and its claims."""

    def dearer(self, payout: Payout, survey: Survey, most_fee: int | None = None) -> Plan | TooDear:
        """The last attempt once more, with a fee that replaces it, of at most ``most_fee``."""

    def self_send(self, payout: Payout, survey: Survey) -> Plan | TooDear:
        """A payment to ourselves that takes the place of all attempts."""

    def read(self, raw: bytes) -> Decoded:
        """What signed bytes do, by a second decoder. Raises `Refused` for what cannot be read."""

    def contents(self, raw: bytes) -> Decoded:
        """As `read`, but for whose signature it is: ``source`` is "". For bytes that a block has, the chain knows."""

    def standing(self) -> Standing:
        """What the wallet holds in the latest block that all nodes have. Raises `NodesFailed`."""

    def has_block(self, height: int, block_hash: str) -> bool:
        """Whether this is still the chain's block at that height. Raises `NodesFailed`."""

    def received(self, contract: str, after: int, upto: int) -> int | None:
        """The base units of a token that others paid to the wallet in the blocks beyond height ``after``, to ``upto``.

        None where nobody can tell. Raises `NodesFailed`.
        """

    def send(self, raws: Sequence[bytes]) -> list[Sent]:
        """Give signed bytes to the nodes; what goes wrong is told, and nothing raised."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a signer is asked for: all that it needs to check what it signs by itself.

    ``claims`` are those of the payout, ``statements`` what people signed about the ``withdrawals``. ``versions`` are
    those of the operators that they may have signed it as (`Operators.version`): a signer without a ledger knows none.
    """

    ledger_id: str
    chain: str
    wallet: str
    source: str
    claims: tuple[str, ...]
    kind: Kind
    plan: Plan
    withdrawals: tuple[Withdrawal, ...]
    statements: tuple[Signed, ...] = ()
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HighWater:
    """How far a signer's memory has come: a ledger or a chain that knows of less, or of more, is not of its time.

    ``store`` is its id: an empty one in its place has another. ``signatures`` counts those of one wallet, ``highest``
    is its highest claim that is a number (a nonce), None without one.
    """

    store: str
    signatures: int
    highest: int | None


class Signer(Protocol):
    """Holds the key of a wallet, and its own memory of what it signed.

    What it does raises `Unreachable` where it cannot be asked, `BadSettings` where its memory cannot be used.
    """

    def check_key(self) -> None:
        """Raise `BadSettings` where its key is not that of the wallet, as far as that can be told now."""

    def sign(self, order: Order) -> bytes:
        """The signed bytes. Raises `Refused` where it must not, `Unsigned` where it has to be asked for again later."""

    def sign_all(self, orders: Sequence[Order]) -> list[bytes | Refused | Unsigned]:
        """The signed bytes of each, or why there are none."""

    def signed(self, txid: str) -> bool:
        """Whether it has signed this transaction, whatever a ledger remembers (B13)."""

    def remembered(self, request_ids: Sequence[str]) -> Mapping[str, str]:
        """What it signed for those of these withdrawals that it has signed for, in words, by request id: it never signs
        for one of them with other claims.
        """

    def high_water(self) -> HighWater:
        """How much it has signed for the wallet."""

    def head(self, ledger_id: str) -> Head | None:
        """How far the audit log of a ledger had come when it was told last, None for never."""

    def keep_head(self, ledger_id: str, head: Head) -> None:
        """Remember how far the audit log of a ledger has come."""
