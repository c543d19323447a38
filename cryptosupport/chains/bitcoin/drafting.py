"""What a transaction pays and costs: which payments go together, what each output is, and what is left. Pure.

Sources: BIP 125 (a replacement pays for itself and for what it replaces), Bitcoin Core's policy/rbf.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryptosupport.chains.bitcoin import sizes
from cryptosupport.chains.bitcoin.codec import parse_address, script_pubkey
from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.money import Amount, Asset, FeeRate, Quantity
from cryptosupport.domain.paying import Payment, TooDear, Unpayable
from cryptosupport.domain.payouts import fee_share

MOST_VBYTES = 25_000
"""The default size of a batch, a quarter of what nodes relay: so that it can be raised cheaply (M60)."""

_INCREMENT = 1000
"""Satoshis per kvB that a replacement adds at least: -incrementalrelayfee, as older nodes have it by default."""


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that a transaction may cost: a fee in satoshis, a rate in satoshis per kvB; ``ratio`` is the most that
    the share of one payment may be, in percent of what it pays.
    """

    coin: Asset
    fee: int
    rate: int
    ratio: Quantity | None = None

    def share(self, satoshis: int) -> int | None:
        """The most that the share of a payment of so many satoshis may be, None for no cap."""
        ratio = self.ratio
        return None if ratio is None else satoshis * ratio.units // (100 * 10**ratio.decimals)


@dataclass(frozen=True, slots=True)
class Spending:
    """What is spent and paid, but for the change. ``total`` is what the inputs have together, in satoshis."""

    kind: str
    inputs: int
    total: int
    outputs: tuple[tuple[bytes, int], ...]
    change: bytes

    def weight(self, *, with_change: bool) -> int:
        """The weight of the transaction."""
        scripts = [script for script, _ in self.outputs]
        return sizes.weight(self.kind, self.inputs, [*scripts, self.change] if with_change else scripts)

    def fee(self, rate: int) -> int:
        """What it costs at a rate, with change."""
        return sizes.fee_for(self.weight(with_change=True), rate)

    @property
    def spare(self) -> int:
        """What is left of the inputs for fee and change."""
        return self.total - sum(satoshis for _, satoshis in self.outputs)


@dataclass(frozen=True, slots=True)
class Cost:
    """What is decided: the ``fee``, and the change in satoshis, 0 for none."""

    fee: int
    change: int


def group(
    payments: Sequence[Payment], network: str, coin: Asset, most: int
) -> tuple[list[list[int]], dict[int, Unpayable]]:
    """Which payments go together, by their places, and those that cannot be made.

    In one transaction no address is paid twice, and there are at most ``most``, in `MOST_VBYTES` (M60).
    """
    groups: list[list[int]] = []
    sizes_of: list[int] = []
    addresses: list[set[bytes]] = []
    bad: dict[int, Unpayable] = {}
    for place, payment in enumerate(payments):
        script = output_of(payment, network, coin)
        if isinstance(script, Unpayable):
            bad[place] = script
            continue
        size = sizes.output_bytes(script)
        for number, members in enumerate(groups):
            if script not in addresses[number] and len(members) < most and sizes_of[number] + size <= MOST_VBYTES:
                break
        else:
            number = len(groups)
            groups.append([])
            sizes_of.append(0)
            addresses.append(set())
        groups[number].append(place)
        sizes_of[number] += size
        addresses[number].add(script)
    return groups, bad


def output_of(payment: Payment, network: str, coin: Asset) -> bytes | Unpayable:
    """The script that a payment pays to, or why it cannot be made."""
    if payment.asset != coin:
        return Unpayable(f"{payment.asset.symbol} is not {coin.symbol}, the only money here")
    try:
        known = parse_address(payment.destination, network)
        script = None if known is None else script_pubkey(payment.destination, network)
    except BadInput as error:
        return Unpayable(error.message)
    if known is None or script is None or known.kind.startswith("witness_v") or known.kind == "p2a":
        return Unpayable(f"{payment.destination} is no address that can be paid")
    least = sizes.dust(script)
    if payment.base_units < least:
        return Unpayable(
            f"{payment.base_units} satoshis are too little: nodes relay {least} at least to such an address"
        )
    return script


def cost(spending: Spending, rate: int, caps: Caps) -> Cost | TooDear | None:
    """What the transaction costs at ``rate``; None where the inputs do not suffice.

    Change that is too small to be worth an output goes to the fee.
    """
    fee = spending.fee(rate)
    if spending.spare - fee >= sizes.dust(spending.change):
        found = Cost(fee, spending.spare - fee)
    else:
        least = sizes.fee_for(spending.weight(with_change=False), rate)
        if spending.spare < least:
            return None
        found = Cost(spending.spare, 0)
    return too_dear(found, spending, caps) or found


def too_dear(cost: Cost, spending: Spending, caps: Caps) -> TooDear | None:
    """Why a cost is above a cap."""
    if cost.fee > caps.fee:
        fee, most = Amount(cost.fee, caps.coin), Amount(caps.fee, caps.coin)
        return TooDear(f"it costs {fee}, and the cap is {most}")
    vsize = sizes.vsize(spending.weight(with_change=cost.change > 0))
    rate = FeeRate.of(cost.fee, vsize)
    # What is left over and goes to the fee may be more than the rate asks: up to the dust of one output.
    if cost.fee - sizes.dust(spending.change) > vsize * caps.rate // 1000 + 1:
        return TooDear(f"it costs {rate}, and the cap is {FeeRate(caps.rate)}")
    return None


def dear_shares(payments: Sequence[Payment], fee: int, caps: Caps) -> dict[int, TooDear]:
    """Those whose share of a fee is more than they may cost, by their places; a fee is shared as `fee_share` does."""
    found = {}
    for place, payment in enumerate(payments):
        share = fee_share(fee, len(payments), place)
        told = Amount(share, caps.coin)
        by_amount, by_worth = caps.share(payment.base_units), payment.most_fee
        if by_amount is not None and share > by_amount:
            pays = Amount(payment.base_units, caps.coin)
            found[place] = TooDear(
                f"its share of the fee is {told}, more than {caps.ratio} % of the {pays} that it pays"
            )
        elif by_worth is not None and share > by_worth:
            most = Amount(by_worth, caps.coin)
            found[place] = TooDear(f"its share of the fee is {told}, and by its worth in money at most {most}")
    return found


def most_by_shares(satoshis: Sequence[int], caps: Caps) -> int | None:
    """The most that a transaction may cost that pays these, so that no share is above what it pays; None for no cap."""
    shares = [most for each in satoshis if (most := caps.share(each)) is not None]
    return len(shares) * min(shares) if shares else None


def raised(spending: Spending, old_fee: int, old_vsize: int, rate: int, caps: Caps) -> Cost | TooDear:
    """What a replacement costs that keeps all inputs and recipients: its fee comes from the change (M52).

    At least an eighth more than before, at least what the market asks, and what relaying it again costs; all of the
    change where that does not cover it, and is enough to replace.
    """
    old_rate = FeeRate.of(old_fee, old_vsize).satoshis_per_kvb
    wanted = max(rate, -(-old_rate * 9 // 8), old_rate + _INCREMENT)
    if wanted > caps.rate:
        return TooDear(f"a replacement has to offer {FeeRate(wanted)}, and the cap is {FeeRate(caps.rate)}")
    floor = old_fee + sizes.fee_for(spending.weight(with_change=True), _INCREMENT)
    fee = max(spending.fee(wanted), floor)
    if spending.spare - fee >= sizes.dust(spending.change):
        found = Cost(fee, spending.spare - fee)
        return too_dear(found, spending, caps) or found
    weight = spending.weight(with_change=False)
    least = max(old_fee + sizes.fee_for(weight, _INCREMENT), sizes.fee_for(weight, old_rate + _INCREMENT))
    if spending.spare < least:
        return TooDear(f"a replacement costs {Amount(fee, caps.coin)}, and its change does not cover that")
    found = Cost(spending.spare, 0)
    return too_dear(found, spending, caps) or found


def taken_back(spending: Spending, old_fee: int, rate: int, caps: Caps) -> Cost | TooDear:
    """What a payment of all inputs to ourselves costs that replaces every attempt (M54); ``spending`` has no outputs.

    It may cost twice what a payment may.
    """
    twice = replace(caps, fee=2 * caps.fee, rate=2 * caps.rate)
    weight = spending.weight(with_change=True)
    fee = max(sizes.fee_for(weight, rate), old_fee + sizes.fee_for(weight, _INCREMENT))
    found = Cost(fee, spending.spare - fee)
    if found.change < sizes.dust(spending.change):
        return TooDear(f"taking it back costs {Amount(fee, caps.coin)}, and its inputs do not cover that")
    return too_dear(found, spending, twice) or found
