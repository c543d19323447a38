"""The most that a payment may cost by what it is worth in money, which its chain does not know (M50)."""

from __future__ import annotations

from collections.abc import Sequence

from cryptosupport.desk.cases import ChainFacts, Pricer
from cryptosupport.desk.till import Paying
from cryptosupport.domain.prices import MICRO, Price, coins_for
from cryptosupport.domain.withdrawals import Withdrawal


def most_fees(paying: Paying, chain: str, payments: Sequence[Sequence[Withdrawal]]) -> list[int | None]:
    """For each transaction, by the withdrawals that it pays, the most that it may cost in base units of the chain's
    coin: `max_fee_value`, and for tokens `max_fee_ratio` of what they are worth.

    None where no such cap is set, or a price is missing: the caps in coins count beside it in any case.
    """
    facts = paying.premises.chains.get(chain, ChainFacts({}))
    tokens = any(it.request.asset.contract is not None for each in payments for it in each)
    if facts.max_fee_value is None and (facts.max_fee_ratio is None or not tokens):
        return [None] * len(payments)
    with paying.ledger.write(paying.premises.judge) as books:
        pricer = Pricer(paying.premises, books)
        return [_most(facts, pricer, each) for each in payments]


def _most(facts: ChainFacts, pricer: Pricer, withdrawals: Sequence[Withdrawal]) -> int | None:
    coin = facts.coin
    if coin is None or coin.decimals is None:
        return None
    price = pricer.price(coin.symbol)
    if not isinstance(price, Price) or not price.usd.units:
        return None
    caps = [] if facts.max_fee_value is None else [facts.max_fee_value]
    if facts.max_fee_ratio is not None and any(each.request.asset.contract is not None for each in withdrawals):
        worth = _worth(pricer, withdrawals)
        caps += [] if worth is None else [worth * facts.max_fee_ratio.units // 10 ** (facts.max_fee_ratio.decimals + 2)]
    return min((coins_for(cap, price.usd, coin.decimals) for cap in caps), default=None)


def _worth(pricer: Pricer, withdrawals: Sequence[Withdrawal]) -> int | None:
    """What they are worth together, in micro-USD rounded down; None where a price is missing."""
    total = 0
    for each in withdrawals:
        price, amount = pricer.price(each.request.asset.symbol), each.request.amount
        if not isinstance(price, Price):
            return None
        total += amount.units * price.usd.units * 10**MICRO // 10 ** (amount.decimals + price.usd.decimals)
    return total
