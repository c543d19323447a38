"""Which coins a sweep moves, and by how many transactions. Pure.

The smallest coins go first, so that a sweep tidies up as well: what is left are the large ones, which pay withdrawals
with few inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cryptosupport.chains.bitcoin import sizes
from cryptosupport.chains.bitcoin.drafting import Caps
from cryptosupport.chains.bitcoin.hotwallet import Outpoint
from cryptosupport.domain.money import Amount, FeeRate
from cryptosupport.domain.paying import TooDear
from cryptosupport.domain.sweeps import Leg

MOST_INPUTS = 500
"""So many coins one transaction of a sweep spends at most: a node funds and checks several of these faster than one of
three times the size, and together they cost hardly more.
"""


def legs(
    coins: Sequence[int], surplus: int, kind: str, scripts: tuple[bytes, bytes], rate: int, caps: Caps
) -> list[Leg] | TooDear:
    """The transactions that move up to ``surplus`` satoshis of ``coins`` (satoshis each), fees included.

    ``scripts`` are where it goes, and our change. ``rate`` is satoshis per kvB. Coins that cost more to spend than they
    have are left. Where the smaller ones come to less than half of the surplus, a part of one larger coin moves too;
    its rest is change.
    """
    chunk = _chunk(kind, scripts, rate, caps)
    if isinstance(chunk, TooDear):
        return chunk
    worth = sorted(each for each in coins if each > _cost_of_input(kind, rate))
    taken, left = _smallest(worth, surplus)
    made = [_whole(worth[at : min(at + chunk, taken)], kind, scripts[0], rate) for at in range(0, taken, chunk)]
    if taken < len(worth) and 2 * left > surplus and (part := _part(left, kind, scripts, rate)) is not None:
        made.append(part)
    return [leg for leg in made if leg.moved >= sizes.dust(scripts[0])]


def choose(
    coins: Mapping[Outpoint, int], satoshis: int, kind: str, scripts: tuple[bytes, bytes], rate: int
) -> list[Outpoint] | None:
    """The coins that one transaction of a sweep of ``satoshis`` spends, the smallest that do; None where none do.

    Where fewer were at hand when it was planned, or the rate was another one, the rest is change.
    """
    worth = [(each, of) for of, each in coins.items() if each > _cost_of_input(kind, rate)]
    chosen: list[tuple[int, Outpoint]] = []
    for coin in sorted(worth):
        chosen.append(coin)
        if len(chosen) > MOST_INPUTS:
            del chosen[0]
        least = satoshis + _fee(kind, len(chosen), [scripts[0]], rate)
        if sum(each for each, _ in chosen) >= least:
            return [of for _, of in chosen]
    return None


def _chunk(kind: str, scripts: tuple[bytes, bytes], rate: int, caps: Caps) -> int | TooDear:
    """How many inputs one transaction may have under the caps."""
    if rate > caps.rate:
        return TooDear(f"the next blocks ask for {FeeRate(rate)}, and the cap is {FeeRate(caps.rate)}")
    one = _fee(kind, 1, [*scripts], rate)
    if one > caps.fee:
        return TooDear(f"it costs {Amount(one, caps.coin)}, and the cap is {Amount(caps.fee, caps.coin)}")
    fitting = (most for most in range(MOST_INPUTS, 1, -1) if _fee(kind, most, [scripts[0]], rate) <= caps.fee)
    return next(fitting, 1)


def _smallest(worth: Sequence[int], surplus: int) -> tuple[int, int]:
    """How many of the sorted coins fit into the surplus, and what is left of it."""
    left = surplus
    for taken, each in enumerate(worth):
        if each > left:
            return taken, left
        left -= each
    return len(worth), left


def _whole(spent: Sequence[int], kind: str, script: bytes, rate: int) -> Leg:
    """All of these coins, without change."""
    fee = _fee(kind, len(spent), [script], rate)
    return Leg(max(sum(spent) - fee, 0), min(fee, sum(spent)))


def _part(surplus: int, kind: str, scripts: tuple[bytes, bytes], rate: int) -> Leg | None:
    """So much of one larger coin."""
    fee = _fee(kind, 1, [*scripts], rate)
    return Leg(surplus - fee, fee) if surplus > fee else None


def _fee(kind: str, inputs: int, scripts: list[bytes], rate: int) -> int:
    return sizes.fee_for(sizes.weight(kind, inputs, scripts), rate)


def _cost_of_input(kind: str, rate: int) -> int:
    return _fee(kind, 2, [], rate) - _fee(kind, 1, [], rate)
