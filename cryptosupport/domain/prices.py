"""What an amount is worth, for limits: exact, rounded up, and never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cryptosupport.domain.money import Quantity
from cryptosupport.domain.policy.periods import duration

MICRO = 6
"""Values are whole micro-USD."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What one source says of one symbol: USD for one coin, and when (milliseconds since 1970)."""

    source: str
    usd: Quantity
    as_of: int


@dataclass(frozen=True, slots=True)
class Price:
    """A price that counts for limits: USD for one coin, out of ``quotes``; ``as_of`` is the oldest of them."""

    symbol: str
    usd: Quantity
    as_of: int
    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True)
class NoPrice:
    """There is no price that counts, and why."""

    symbol: str
    reason: str


Pricing: TypeAlias = Price | NoPrice


@dataclass(frozen=True, slots=True)
class PriceRules:
    """When quotes make a price. ``max_age`` is in milliseconds, ``max_spread`` and ``max_move`` in percent."""

    min_sources: int
    max_age: int
    max_spread: Quantity
    max_move: Quantity
    usd_stablecoins: frozenset[str] = frozenset()


def micro_usd(amount: Quantity, usd: Quantity) -> int:
    """What ``amount`` is worth at ``usd`` a coin, in micro-USD rounded up.

    >>> micro_usd(Quantity.parse("0.00000001"), Quantity.parse("50000.1"))
    501
    """
    scale: int = 10 ** (amount.decimals + usd.decimals)
    rounded: int = -(-amount.units * usd.units * 10**MICRO // scale)
    return rounded


def coins_for(micro: int, usd: Quantity, decimals: int) -> int:
    """What micro-USD buy at ``usd`` a coin, in base units of a coin with so many ``decimals``, rounded down.

    >>> coins_for(20_000_000, Quantity.parse("4000"), 18)
    5000000000000000
    """
    base_units: int = micro * 10 ** (decimals + usd.decimals) // (usd.units * 10**MICRO)
    return base_units


def usd(micro: int) -> str:
    """Micro-USD in words.

    >>> usd(2_000_500_000)
    '2000.5 USD'
    """
    return f"{Quantity(micro, MICRO)} USD"


def median(numbers: Sequence[Quantity]) -> Quantity:
    """The middle one; of an even count the mean of the two in the middle.

    >>> str(median([Quantity.parse("1"), Quantity.parse("4"), Quantity.parse("2"), Quantity.parse("3")]))
    '2.5'
    """
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    both = ordered[middle - 1] + ordered[middle]
    return Quantity(both.units * 5, both.decimals + 1)


def price(symbol: str, quotes: Sequence[Quote], rules: PriceRules, last: Quantity | None, now: int) -> Pricing:
    """The price of ``symbol`` at ``now``: the median of the quotes that are young enough.

    There is none when too few are, when one differs from the median by more than ``max_spread``, or when the median is
    further than ``max_move`` from the ``last`` price that counted. A USD stablecoin counts as 1 USD at least.
    """
    young = [quote for quote in quotes if quote.usd.units > 0 and -_AHEAD <= now - quote.as_of <= rules.max_age]
    if len(young) < rules.min_sources or not young:
        said = f"{len(young)} of at least {max(rules.min_sources, 1)} prices"
        return NoPrice(symbol, said + _left_out(quotes, len(young), now))
    middle = median([quote.usd for quote in young])
    for quote in young:
        if _further(quote.usd, middle, rules.max_spread):
            return NoPrice(symbol, f"the sources disagree: {quote.source} says {quote.usd}, the median is {middle}")
    if symbol in rules.usd_stablecoins and middle < _ONE:
        middle = _ONE
    if last is not None and _further(middle, last, rules.max_move):
        return NoPrice(symbol, f"it jumped from {last} to {middle}, more than {rules.max_move}%")
    return Price(symbol, middle, min(quote.as_of for quote in young), tuple(young))


REMEMBERED = 3_600_000
"""A price is compared with the last one that counted for so many milliseconds: after a real crash the desk holds for an
hour, not for ever."""

STANDS = 900_000
"""A price is what later ones are compared with for so many milliseconds at least: else many small steps, one a
decision, would go as far as one likes."""

_ONE = Quantity(1, 0)
_AHEAD = 5000
"""A source's clock may be ahead of ours by 5 seconds; a price from further in the future is not usable."""


def _left_out(quotes: Sequence[Quote], young: int, now: int) -> str:
    """Why all but ``young`` of the quotes do not count, as the end of a message."""
    ahead = [quote.as_of - now for quote in quotes if quote.as_of - now > _AHEAD]
    old = len(quotes) - young - len(ahead)
    said = f", {old} too old or not usable" if old else ""
    if ahead:
        lie = "1 lies" if len(ahead) == 1 else f"{len(ahead)} lie up to"
        said += f", {lie} {duration(max(ahead))} ahead"
    return said


def _further(one: Quantity, other: Quantity, percent: Quantity) -> bool:
    """Whether ``one`` differs from ``other`` by more than ``percent`` of it."""
    difference = one - other
    allowed = Quantity(other.units * percent.units, other.decimals + percent.decimals + 2)
    return allowed < Quantity(abs(difference.units), difference.decimals)
