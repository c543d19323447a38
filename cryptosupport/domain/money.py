"""Money as integers in base units; text only at the edges, read and written digit by digit."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cryptosupport.domain.errors import BadInput

_NUMBER = re.compile(r"([0-9]+)(?:\.([0-9]+))?", re.ASCII)


def parse_base_units(text: str, decimals: int) -> int:
    """Read a plain decimal number as base units.

    ``text`` holds ASCII digits and at most one point: no sign, exponent, spaces or separators. ``decimals`` is how many
    the asset has. Raises `BadInput` for any other text and for more decimals than the asset can hold.

    >>> parse_base_units("1.5", 8)
    150000000
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise BadInput(f"{text!r} is not an amount: use digits and one point, such as 1.5")
    whole, fraction = match[1], match[2] or ""
    if len(fraction) > decimals:
        raise BadInput(f"{text} has {len(fraction)} decimals, and the asset has {decimals}")
    return int(whole + fraction.ljust(decimals, "0"))


def format_base_units(base_units: int, decimals: int) -> str:
    """Write base units as the shortest exact decimal.

    >>> format_base_units(150000000, 8), format_base_units(0, 18), format_base_units(-1, 2)
    ('1.5', '0', '-0.01')
    """
    sign = "-" if base_units < 0 else ""
    digits = str(abs(base_units)).rjust(decimals + 1, "0")
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact decimal number: ``units`` / 10**``decimals``. For sums over chains that count one symbol differently.

    >>> str(Quantity(1_500_000, 6) + Quantity(10**18, 18)), Quantity.parse("2") < Quantity.parse("2.5")
    ('2.5', True)
    """

    units: int
    decimals: int

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """Read a plain decimal: digits and at most one point. Raises `BadInput`."""
        decimals = len(text.partition(".")[2])
        return cls(parse_base_units(text, decimals), decimals)

    def at(self, decimals: int) -> int:
        """The number in units of 10**-``decimals``. Raises `ValueError` for fewer decimals than its own."""
        if decimals < self.decimals:
            raise ValueError(f"{self} has more than {decimals} decimals")
        scale: int = 10 ** (decimals - self.decimals)
        return self.units * scale

    def __add__(self, other: Quantity) -> Quantity:
        if self.decimals == other.decimals:
            return Quantity(self.units + other.units, self.decimals)
        decimals = max(self.decimals, other.decimals)
        return Quantity(self.at(decimals) + other.at(decimals), decimals)

    def __sub__(self, other: Quantity) -> Quantity:
        return self + Quantity(-other.units, other.decimals)

    def __lt__(self, other: Quantity) -> bool:
        return self._compared(other) < 0

    def __le__(self, other: Quantity) -> bool:
        return self._compared(other) <= 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self._compared(other) == 0

    def _compared(self, other: Quantity) -> int:
        """Below zero where this is less, above where it is more."""
        if self.decimals == other.decimals:
            return self.units - other.units
        decimals = max(self.decimals, other.decimals)
        return self.at(decimals) - other.at(decimals)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return format_base_units(self.units, self.decimals)


NOTHING = Quantity(0, 0)


@dataclass(frozen=True, slots=True)
class Asset:
    """A coin or token of one chain.

    ``symbol`` is what people call it; ``contract`` is None for the chain's own coin. ``decimals`` is None for a
    token that
    the settings do not know: its symbol is then its contract, and its amounts have no decimal text.
    """

    symbol: str
    decimals: int | None
    contract: str | None = None


@dataclass(frozen=True, slots=True)
class Amount:
    """So many base units of one asset.

    >>> str(Amount(150000000, Asset("BTC", 8)))
    '1.5 BTC'
    """

    base_units: int
    asset: Asset

    @classmethod
    def parse(cls, text: str, asset: Asset) -> Amount:
        """Read a decimal of ``asset``. Raises `BadInput` for what it cannot hold exactly."""
        if asset.decimals is None:
            raise BadInput(f"the decimals of {asset.symbol} are not known")
        return cls(parse_base_units(text, asset.decimals), asset)

    @property
    def text(self) -> str | None:
        """The shortest exact decimal, or None where the asset's decimals are not known."""
        return None if self.asset.decimals is None else format_base_units(self.base_units, self.asset.decimals)

    def __str__(self) -> str:
        text = self.text
        return f"{self.base_units} base units of {self.asset.symbol}" if text is None else f"{text} {self.asset.symbol}"

    def __add__(self, other: Amount) -> Amount:
        if self.asset != other.asset:
            raise ValueError(f"cannot add {other.asset.symbol} to {self.asset.symbol}")
        return Amount(self.base_units + other.base_units, self.asset)


@dataclass(frozen=True, slots=True, order=True)
class FeeRate:
    """A price of block space: satoshis per 1,000 virtual bytes, shown as sat/vB (BIP 141 defines the virtual byte)."""

    satoshis_per_kvb: int

    @classmethod
    def of(cls, satoshis: int, vsize: int) -> FeeRate:
        """The rate that a fee of ``satoshis`` pays over ``vsize`` vB, rounded down.

        >>> FeeRate.of(281, 141).text
        '1.992'
        """
        return cls(satoshis * 1000 // vsize)

    def fee(self, vsize: int) -> int:
        """The fee in satoshis for ``vsize`` vB, rounded up."""
        return -(-self.satoshis_per_kvb * vsize // 1000)

    @property
    def text(self) -> str:
        """The rate in sat/vB as the shortest exact decimal."""
        return format_base_units(self.satoshis_per_kvb, 3)

    def __str__(self) -> str:
        return f"{self.text} sat/vB"


@dataclass(frozen=True, slots=True)
class GasFees:
    """What a transaction offers per unit of gas, in wei (EIP-1559; a legacy gas price fills both)."""

    max_fee_per_gas: int
    max_priority_fee_per_gas: int

    @property
    def text(self) -> str:
        """The most it pays, in gwei, as the shortest exact decimal."""
        return format_base_units(self.max_fee_per_gas, 9)

    def __str__(self) -> str:
        return f"{self.text} gwei"
