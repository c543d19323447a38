"""What rules need to know of a request beside the request: wallet, value, fee, evidence, balances, how known it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptosupport.desk.guards import Guarding, Guards, ask_guards
from cryptosupport.domain.books import Books, Records
from cryptosupport.domain.money import NOTHING, Asset, Quantity
from cryptosupport.domain.personal import opened
from cryptosupport.domain.policy.decision import HARD_CAP, HOT_WALLET, SETTINGS, Decision, Outcome, Voice
from cryptosupport.domain.policy.judging import Case, Evidence, Judge, NotKnown
from cryptosupport.domain.policy.rules import Booking
from cryptosupport.domain.prices import NoPrice, Price, PriceRules, Pricing, Quote, micro_usd, price
from cryptosupport.domain.withdrawals import Request, Withdrawal


class HotBalances(Protocol):
    """What the desk's own wallets hold."""

    def ask(self, wallet: str, chain: str, asset: Asset) -> None:
        """Ask a node what ``wallet`` holds of ``asset``, unless it was asked just now."""

    def __call__(self, wallet: str, asset: Asset) -> Quantity | NotKnown:
        """What was answered last."""


class CustomerBalances(Protocol):
    """The desk's feed of what its customers have."""

    def read(self) -> None:
        """Read the feed, unless it is as it was when it was read last."""

    @property
    def as_of(self) -> int | None:
        """When the feed was made (milliseconds since 1970), None where it cannot be read."""

    def of(self, customer: str, asset: str, now: int) -> Quantity | NotKnown | None:
        """What the customer had then, nothing for one that the feed does not name; None where there is no feed."""


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """What deciding needs of a chain: its assets by symbol, and what paying may cost.

    ``max_fee`` is the most that one payment may cost, in base units of ``coin``; 0 without a cap, and then the coin
    does not matter. ``max_fee_value`` is the same in micro-USD, ``max_fee_ratio`` percent of what it pays.
    """

    assets: Mapping[str, Asset]
    coin: Asset | None = None
    max_fee: int = 0
    hot_wallets: tuple[str, ...] = ()
    hard_caps: Mapping[str, Quantity] = field(default_factory=dict)
    max_fee_value: int | None = None
    max_fee_ratio: Quantity | None = None


@dataclass(frozen=True)
class Premises:
    """All that decisions rest on beside the requests and the ledger.

    ``quotes`` are read anew for each transaction. ``run_cap`` is the most that one run may bring in, in micro-USD. What
    people have not approved after ``expire`` (milliseconds) is over. ``still`` raises `BadSettings` when the operators
    or the policy in force are no longer those of these premises.
    """

    judge: Judge
    chains: Mapping[str, ChainFacts]
    price_rules: PriceRules
    quotes: Callable[[], Mapping[str, Sequence[Quote]]]
    hot_balances: HotBalances
    balances: CustomerBalances | None = None
    run_cap: int | None = None
    guarding: Guarding = field(default_factory=Guarding)
    expire: int = 24 * 3_600_000
    still: Callable[[Records], None] = lambda records: None

    def expires_at(self, decision: Decision, now: int) -> int | None:
        """When a withdrawal is over unless people approve it by then."""
        return now + self.expire if decision.outcome is Outcome.APPROVAL else None


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
    def symbols(self) -> list[str]:
        """The symbols that have a price that counts."""
        return [symbol for symbol in self._quotes if isinstance(self.price(symbol), Price)]

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
        customers = [each.request.customer for each in incoming]
        self._left = _Left(premises, books, customers)
        self._guards = Guards(premises.guarding, books.records, customers)
        self._priced = {id(each): priced_booking(each, premises, pricer) for each in incoming}
        cooling = any(rule.cooling is not None for rule in premises.judge.policy.rules)
        pairs = {(each.request.customer, each.request.destination) for each in incoming} if cooling else set()
        # What came before in this same transaction is as new as this one.
        self._known = books.known_since(sorted(pairs))
        books.load([booking for booking, _, _ in self._priced.values()])

    def case(self, each: Incoming) -> Case:
        """The case of one of them."""
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
            further=(*_further(each, booking, self._premises), *self._guards.voices(request, booking)),
            waived=frozenset() if each.earlier is None else frozenset(each.earlier.waived),
        )

    def taken(self, request: Request, booking: Booking, outcome: Outcome) -> None:
        """It is new, and was not refused: the customer has that much less."""
        self._left.take(booking)
        self.settled(request, outcome)

    def settled(self, request: Request, outcome: Outcome) -> None:
        """It was decided; where it was allowed, the destination is one that was used."""
        if outcome is Outcome.ALLOW:
            self._guards.taken(request)


def priced_booking(
    each: Incoming, premises: Premises, pricer: Pricer
) -> tuple[Booking, tuple[tuple[str, str], ...], str]:
    """How windows count it, the prices that were used, and why it has no value ("" if it has one)."""
    request, chain = each.request, _chain(each, premises)
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
    if chain.assets.get(symbol) != request.asset and each.earlier is not None:
        fee = Quantity(each.earlier.fee_units, request.amount.decimals)  # nothing is known of its coin any more
    booking = _booking_of(each, premises, value, fee if request.asset.contract is None else NOTHING, fee_value)
    prices = tuple((found.symbol, str(found.usd)) for found in priced.values() if isinstance(found, Price))
    return booking, prices, "; ".join(f"no usable price of {found.symbol}: {found.reason}" for found in missing)


def _booking_of(each: Incoming, premises: Premises, value: int | None, fee: Quantity, fee_value: int) -> Booking:
    request = each.request
    return Booking(
        customer=request.customer,
        tier=premises.judge.policy.tier(request.tier),
        country=request.country,
        asset=request.asset.symbol,
        chain=request.chain,
        wallet=_wallet(each, _chain(each, premises)),
        destination=request.destination,
        source=each.source,
        amount=request.amount,
        value=value,
        fee=fee,
        fee_value=fee_value,
    )


def _chain(each: Incoming, premises: Premises) -> ChainFacts:
    """The request's chain; nothing is known of one that is no longer in the settings."""
    return premises.chains.get(each.request.chain, ChainFacts({}))


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
    """What the request shows. A beneficiary is shown by a name, and by a provider or that the wallet is their own.

    Raises as `Sealed.open` does.
    """
    shown, to = request.verification, opened(request.beneficiary)
    found = {}
    if shown is not None:
        at = None if shown.at is None else shown.at * 1000
        for name in ("identity", "two_factor", "email_confirmed"):
            found[name] = Evidence(getattr(shown, name), at)
    if to is not None:
        found["beneficiary"] = Evidence(to.name is not None and (to.provider is not None or to.self_hosted))
    return found


def _hot_balance(request: Request, booking: Booking, premises: Premises) -> Quantity | NotKnown:
    if not _asks_for_hot_balance(booking, premises):
        return NotKnown("no rule asks for it")
    if booking.wallet is None:
        return NotKnown(f"{request.chain} has no hot wallet")
    return premises.hot_balances(booking.wallet, request.asset)


def _asks_for_hot_balance(booking: Booking, premises: Premises) -> bool:
    rules = premises.judge.policy.rules
    return any(rule.max_percent is not None and rule.matches(booking) for rule in rules)


def ask_ahead(incoming: Iterable[Incoming], premises: Premises) -> None:
    """Find out what takes time, before the transaction: meanwhile nobody else could decide.

    Asks nodes only for what rules need; intake needs none otherwise.
    """
    rules = premises.judge.policy.rules
    if premises.balances is not None and any("balance" in rule.require for rule in rules):
        premises.balances.read()
    if premises.guarding.asks:
        incoming = list(incoming)
        ask_guards(premises.guarding, [(each.request, _rough_value(each, premises)) for each in incoming])
    if not any(rule.max_percent is not None for rule in rules):
        return
    for each in incoming:
        request = each.request
        booking = _booking_of(each, premises, None, NOTHING, 0)
        if booking.wallet is not None and _asks_for_hot_balance(booking, premises):
            premises.hot_balances.ask(booking.wallet, request.chain, request.asset)


def _rough_value(each: Incoming, premises: Premises) -> int | None:
    """The value as it can be told before the transaction, in micro-USD; None where there is no price."""
    if each.earlier is not None and each.earlier.value is not None:
        return each.earlier.value
    symbol = each.request.asset.symbol
    quotes = premises.quotes().get(symbol, ())
    newest = max((quote.as_of for quote in quotes), default=0)
    found = price(symbol, quotes, premises.price_rules, None, newest)
    return micro_usd(each.request.amount, found.usd) if isinstance(found, Price) else None


def _further(each: Incoming, booking: Booking, premises: Premises) -> Iterator[Voice]:
    """What speaks beside the rules: settings that have changed since the request came, an asset's hard cap (M27), and a
    wallet that rules ask for and nobody has.
    """
    request, chain = each.request, _chain(each, premises)
    symbol = request.asset.symbol
    if chain.assets.get(symbol) != request.asset:
        reason = f"{symbol} on {request.chain}, as it was asked for, is no longer in the settings"
        yield Voice(SETTINGS, Outcome.WAIT, reason)
    cap = chain.hard_caps.get(symbol)
    if cap is not None and not request.amount <= cap:
        reason = f"{request.amount} {symbol} is over the asset's hard cap of {cap}"
        yield Voice(HARD_CAP, Outcome.DENY, reason)
    if booking.wallet is None and premises.judge.policy.speaks_of_wallets:
        yield without_wallet(request.chain)


def without_wallet(chain: str) -> Voice:
    """What speaks where rules ask for a wallet and the chain has no hot one."""
    return Voice(HOT_WALLET, Outcome.HOLD, f"rules speak of wallets, and {chain} has no hot wallet", unknown=True)


class _Left:
    """What customers have left: what the feed says, less what they asked for since, in this transaction too.

    The feed holds what a customer may still ask for: the backend takes an amount off when it is asked for. Where the
    two clocks differ, what was asked for around its moment counts twice rather than never.
    """

    def __init__(self, premises: Premises, books: Books, customers: Sequence[str]) -> None:
        rules = premises.judge.policy.rules
        self._rules = [rule for rule in rules if "balance" in rule.require]
        self._feed = premises.balances if self._rules else None
        self._now = books.now
        as_of = None if self._feed is None else self._feed.as_of
        self._since = None if as_of is None else min(as_of, books.now) - _CLOCKS_APART
        self._spent = {} if self._since is None else books.spent_since(sorted(set(customers)), self._since)

    def of(self, each: Incoming, booking: Booking) -> Quantity | NotKnown | None:
        """What is left for this request; None where the desk has no feed."""
        if self._feed is None or not any(rule.matches(booking) for rule in self._rules):
            return None
        balance = self._feed.of(booking.customer, booking.asset, self._now)
        if not isinstance(balance, Quantity):
            return balance
        left = balance - self._spent.get((booking.customer, booking.asset), NOTHING)
        # One that waits is itself among what was asked for since, or was taken off before the feed was made.
        return left if each.earlier is None else left + booking.amount

    def take(self, booking: Booking) -> None:
        """Count a request that was not refused."""
        if self._feed is not None:
            key = booking.customer, booking.asset
            self._spent[key] = self._spent.get(key, NOTHING) + booking.amount


_CLOCKS_APART = 5000
"""The clocks of the feed and of the ledger may differ by so many milliseconds."""


def in_base_units(fee: Quantity, request: Request) -> int:
    """A fee in the request's own asset as its base units, rounded up."""
    more = 10 ** max(fee.decimals - request.amount.decimals, 0)
    return -(-fee.units // more) if more > 1 else fee.at(request.amount.decimals)
