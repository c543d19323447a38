"""How the desk's money is split: what is hot, at deposit addresses, cold, and on its way to the cold, by asset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cryptosupport.domain.money import NOTHING, Quantity

WIDTH = 20
"""How many characters a bar has."""

_PARTS = ("hot", "deposit", "in_flight", "cold")
_PERCENT_DECIMALS = 2


@dataclass
class Split:
    """One asset over all chains: whole coins by part of the desk. Of the wallets ``untold`` nobody can tell."""

    asset: str
    parts: dict[str, Quantity] = field(default_factory=lambda: dict.fromkeys(_PARTS, NOTHING))
    untold: list[str] = field(default_factory=list)

    @property
    def total(self) -> Quantity:
        """All of it."""
        return sum(self.parts.values(), NOTHING)

    @property
    def hot_share(self) -> Quantity | None:
        """How much of it is hot, in percent rounded up; None where there is nothing, or not all of it is known.

        What is on its way is hot until it has arrived: its keys are.
        """
        decimals = max(each.decimals for each in self.parts.values())
        total = self.total.at(decimals)
        if not total or self.untold:
            return None
        hot = (self.parts["hot"] + self.parts["in_flight"]).at(decimals)
        return Quantity(-(-hot * 100 * 10**_PERCENT_DECIMALS // total), _PERCENT_DECIMALS)


def splits(balances: Iterable[dict[str, Any]], roles: dict[str, str]) -> list[Split]:
    """The split of each asset, by the balances of all wallets as records (`show_wallets.balance_record`) and their
    ``roles``, by name.
    """
    found: dict[str, Split] = {}
    untold: list[tuple[str, tuple[str, ...]]] = []
    for record in balances:
        wallet = record["wallet"]
        if record["error"] is not None:
            untold.append((wallet, record["assets"]))
        for each in record["balances"]:
            split = found.setdefault(each["asset"], Split(each["asset"]))
            split.parts[roles[wallet]] += Quantity.parse(each["settled"]["amount"])
            split.parts["in_flight"] += Quantity.parse(each["in_flight"]["amount"])
    for wallet, assets in untold:
        for symbol in assets:
            found.setdefault(symbol, Split(symbol)).untold.append(wallet)
    return [found[symbol] for symbol in sorted(found)]


def split_records(found: Iterable[Split], limit: Callable[[str], Quantity | None]) -> Iterator[dict[str, Any]]:
    """Each split as a record, its hot share held against its ``limit`` (percent by symbol; None without one)."""
    for each in found:
        share, most = each.hot_share, limit(each.asset)
        over = None if share is None or most is None else most < share
        yield {
            "asset": each.asset,
            **{name: str(units) for name, units in each.parts.items()},
            "total": str(each.total),
            "hot_share": None if share is None else f"{share}%",
            "limit": None if most is None else f"{most}%",
            "over": over,
            "untold": each.untold,
        }


def bar(record: dict[str, Any], fills: str) -> str:
    """A split as a bar of `WIDTH` characters: hot, deposit, in flight and cold, each with its own of ``fills``.

    >>> parts = {"hot": "1", "deposit": "0", "in_flight": "1", "cold": "8", "total": "10"}
    >>> bar(parts, "#+>.")
    '##>>................'
    """
    units = [Quantity.parse(record[name]) for name in _PARTS]
    decimals = max(each.decimals for each in units)
    total = Quantity.parse(record["total"]).at(decimals)
    if not total:
        return ""
    drawn, so_far, ends = "", 0, 0
    for each, fill in zip(units, fills, strict=True):
        so_far += each.at(decimals)
        begins, ends = ends, so_far * WIDTH // total
        drawn += fill * (ends - begins)
    return drawn
