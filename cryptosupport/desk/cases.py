"""What rules need to know of a request beside the request: wallet, value, fee, evidence, balances, how known it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptosupport.domain.books import Books
from cryptosupport.domain.money import NOTHING, Asset, Quantity
from cryptosupport.domain.policy.decision import HARD_CAP, HOT_WALLET, Outcome, Voice
from cryptosupport.domain.policy.judging import Case, Evidence, Judge, NotKnown
from cryptosupport.domain.policy.rules import Booking, Per
from cryptosupport.domain.prices import NoPrice, Price, PriceRules, Pricing, Quote, micro_usd, price
from cryptosupport.domain.withdrawals import Request, Withdrawal


class CustomerBalances(Protocol):
    """The desk's feed of what its customers have."""

    @property
    def as_of(self) -> int | None:
        """When the feed was made (milliseconds since 1970), None where it cannot be read."""

    def of(self, customer: str, asset: str, now: int) -> Quantity | NotKnown | None:
        """What the customer had then, nothing for one that the feed does not name; None where there is no feed."""


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """What deciding needs of a chain. ``max_fee`` is the most that one payment may cost, in base units of ``coin``; 0
    without a cap, and then the coin does not matter.
    """

    coin: Asset | None
    max_fee: int
    hot_wallets: tuple[str, ...] = ()
    hard_caps: Mapping[str, Quantity] = field(default_factory=dict)


@dataclass(frozen=True)
class Premises:
    """All that decisions rest on beside the requests and the ledger.

    ``quotes`` are read anew for each transaction. ``hot_balance`` asks a node what a wallet holds of an asset.
    ``run_cap`` is the most that one run may bring in, in micro-USD.
    """

    judge: Judge
    chains: Mapping[str, ChainFacts]
    price_rules: PriceRules
    quotes: Callable[[], Mapping[str, Sequence[Quote]]]
    hot_balance: Callable[[str, str, Asset], Quantity | NotKnown]
    balances: CustomerBalances | None = None
    run_cap: int | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request to be decided: new, or ``earlier`` recorded and waiting. ``source`` is how it came."""

    request: Request
    source: str
    earlier: Withdrawal | None = None


class Pricer:
    """Prices for one transaction; those that count become the last that counted."""

    def __init__(self, premises: Premises, books: Books) -> None:
        self._rules = premises.price_rules
        self._quotes = premises.quotes()
        self._last = books.last_prices()
        self._now = books.now
        self._found: dict[str, Pricing] = {}

    def price(self, symbol: str) -> Pricing:
        """The price of ``symbol`` that counts, or why there is none."""
        if symbol not in self._found:
            quotes = self._quotes.get(symbol, ())
            self._found[symbol] = price(symbol, quotes, self._rules, self._last.get(symbol), self._now)
        return self._found[symbol]

    @property
    def counted(self) -> dict[str, Quantity]:
        """The prices that counted, in USD."""
        return {symbol: found.usd for symbol, found in self._found.items() if isinstance(found, Price)}


class Cases:
    """Makes the cases of ``incoming``, all asked for at once; each is made when its turn comes, and what was taken in
    before it counts.
    """

    def __init__(self, incoming: Sequence[Incoming], premises: Premises, books: Books, pricer: Pricer) -> None:
        self._premises = premises
        self._now = books.now
        self._left = _Left(premises, books, [each.request.customer for each in incoming])
        self._priced = {id(each): _booking(each, premises, pricer) for each in incoming}
        cooling = any(rule.cooling is not None for rule in premises.judge.policy.rules)
        pairs = {(each.request.customer, each.request.destination) for each in incoming} if cooling else set()
        # What came before in this same transaction is as new as this one.
        self._known = books.known_since(sorted(pairs))
        books.load([booking for booking, _, _ in self._priced.values()])

    def case(self, each: Incoming, further: tuple[Voice, ...] = ()) -> Case:
        """The case of one of them; ``further`` voices speak in it."""
        request = each.request
        booking, prices, no_value = self._priced[id(each)]
        return Case(
            booking,
            self._now,
            asked_at=None if each.earlier is None else each.earlier.created_at,
            prices=prices,
            no_value=no_value,
            known_since=self._known.get((request.customer, request.destination)),
            evidence=evidence_of(request),
            hot_balance=_hot_balance(request, booking, self._premises),
            customer_balance=self._left.of(each, booking),
            further=(*_further(request, booking, self._premises), *further),
        )

    def taken(self, booking: Booking) -> None:
        """It was not refused: the customer has that much less."""
        self._left.take(booking)


def _booking(each: Incoming, premises: Premises, pricer: Pricer) -> tuple[Booking, tuple[tuple[str, str], ...], str]:
    """How windows count it, the prices that were used, and why it has no value ("" if it has one)."""
    request, chain = each.request, premises.chains[each.request.chain]
    symbol, coin, fee = request.asset.symbol, chain.coin, NOTHING
    priced = {symbol: pricer.price(symbol)}
    if coin is not None and chain.max_fee:
        assert coin.decimals is not None  # the settings say it
        fee = Quantity(chain.max_fee, coin.decimals)
        priced[coin.symbol] = pricer.price(coin.symbol)
    missing = [found for found in priced.values() if isinstance(found, NoPrice)]
    value, fee_value = None, 0
    if not missing:
        usd = {name: found.usd for name, found in priced.items() if isinstance(found, Price)}
        value = micro_usd(request.amount, usd[symbol])
        fee_value = 0 if coin is None or fee is NOTHING else micro_usd(fee, usd[coin.symbol])
    if each.earlier is not None and each.earlier.value is not None:
        # What was decided on stays decided on; a higher value of today counts (M26: the higher of the two).
        value, fee_value = max(value or 0, each.earlier.value), max(fee_value, each.earlier.fee_value)
        missing = []
    booking = Booking(
        customer=request.customer,
        tier=premises.judge.policy.tier(request.tier),
        country=request.country,
        asset=symbol,
        chain=request.chain,
        wallet=_wallet(each, chain),
        destination=request.destination,
        source=each.source,
        amount=request.amount,
        value=value,
        fee=fee if request.asset.contract is None else NOTHING,
        fee_value=fee_value,
    )
    prices = tuple((found.symbol, str(found.usd)) for found in priced.values() if isinstance(found, Price))
    return booking, prices, "; ".join(f"no usable price of {found.symbol}: {found.reason}" for found in missing)


def _wallet(each: Incoming, chain: ChainFacts) -> str | None:
    """The hot wallet that is to pay: once chosen it stays; of several, a customer's is always the same one.

    By rendezvous hashing (Thaler and Ravishankar, 1998), so that another wallet moves few customers.
    """
    if each.earlier is not None and each.earlier.wallet in chain.hot_wallets:
        return each.earlier.wallet
    customer = each.request.customer

    def weight(wallet: str) -> bytes:
        return hashlib.sha256(f"{wallet}\0{customer}".encode()).digest()

    return max(chain.hot_wallets, key=weight) if len(chain.hot_wallets) > 1 else next(iter(chain.hot_wallets), None)


def evidence_of(request: Request) -> dict[str, Evidence]:
    """What the request shows. A beneficiary is shown by a name, and by a provider or that the wallet is their own."""
    shown, to = request.verification, request.beneficiary
    found = {}
    if shown is not None:
        at = None if shown.at is None else shown.at * 1000
        for name in ("identity", "two_factor", "email_confirmed"):
            found[name] = Evidence(getattr(shown, name), at)
    if to is not None:
        found["beneficiary"] = Evidence(to.name is not None and (to.provider is not None or to.self_hosted))
    return found


def _hot_balance(request: Request, booking: Booking, premises: Premises) -> Quantity | NotKnown:
    """Asked only where a rule needs it: intake needs no node otherwise."""
    rules = premises.judge.policy.rules
    if not any(rule.max_percent is not None and rule.matches(booking) for rule in rules):
        return NotKnown("no rule asks for it")
    if booking.wallet is None:
        return NotKnown(f"{request.chain} has no hot wallet")
    return premises.hot_balance(booking.wallet, request.chain, request.asset)


def _further(request: Request, booking: Booking, premises: Premises) -> Iterator[Voice]:
    """What speaks beside the rules: an asset's hard cap (M27), and a wallet that rules ask for and nobody has."""
    cap = premises.chains[request.chain].hard_caps.get(request.asset.symbol)
    if cap is not None and not request.amount <= cap:
        reason = f"{request.amount} {request.asset.symbol} is over the asset's hard cap of {cap}"
        yield Voice(HARD_CAP, Outcome.DENY, reason)
    rules = premises.judge.policy.rules
    if booking.wallet is None and any(rule.per is Per.WALLET or "wallet" in rule.match for rule in rules):
        yield Voice(HOT_WALLET, Outcome.HOLD, f"rules speak of wallets, and {request.chain} has no hot wallet")


class _Left:
    """What customers have left: what the feed says, less what they asked for since, in this transaction too."""

    def __init__(self, premises: Premises, books: Books, customers: Sequence[str]) -> None:
        rules = premises.judge.policy.rules
        self._rules = [rule for rule in rules if "balance" in rule.require]
        self._feed = premises.balances if self._rules else None
        self._now = books.now
        as_of = None if self._feed is None else self._feed.as_of
        self._spent = {} if as_of is None else books.spent_since(sorted(set(customers)), as_of)

    def of(self, each: Incoming, booking: Booking) -> Quantity | NotKnown | None:
        """What is left before this request; None where the desk has no feed."""
        if self._feed is None or not any(rule.matches(booking) for rule in self._rules):
            return None
        balance = self._feed.of(booking.customer, booking.asset, self._now)
        if not isinstance(balance, Quantity):
            return balance
        spent = self._spent.get((booking.customer, booking.asset), NOTHING)
        as_of = self._feed.as_of
        if each.earlier is not None and as_of is not None and each.earlier.created_at > as_of:
            spent -= booking.amount  # it is itself among what was asked for since
        left = balance - spent
        return left if left.units > 0 else NOTHING

    def take(self, booking: Booking) -> None:
        """Count a request that was not refused."""
        if self._feed is not None:
            key = booking.customer, booking.asset
            self._spent[key] = self._spent.get(key, NOTHING) + booking.amount
