"""Paying from one descriptor wallet on Bitcoin: what `domain.paying.Payer` asks for.

A node of our own knows the coins (`HotWallet`) and fills in what a signer needs; which recipients, how much change and
what fee is decided here, and what was signed is read by python-bitcoinlib. Other operators' nodes are asked what
became of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import count

from cryptosupport.chains.bitcoin import drafting, following, sending, sizes, sweeping
from cryptosupport.chains.bitcoin.bitcoind import Bitcoind
from cryptosupport.chains.bitcoin.chain import BitcoinChain
from cryptosupport.chains.bitcoin.codec import address_of, script_pubkey
from cryptosupport.chains.bitcoin.descriptors import Watched
from cryptosupport.chains.bitcoin.drafting import Caps, Cost, Spending
from cryptosupport.chains.bitcoin.homes import Homes, own_nodes
from cryptosupport.chains.bitcoin.hotwallet import HotWallet, NotEnough, Outpoint, coins
from cryptosupport.chains.bitcoin.importing import watch
from cryptosupport.chains.bitcoin.networks import Rules
from cryptosupport.chains.bitcoin.plans import MOST_ADDRESSES, Planned
from cryptosupport.chains.bitcoin.reading import previous_of, read, unsigned_bytes, unsigned_of
from cryptosupport.chains.bitcoin.sending import Measured
from cryptosupport.chains.bitcoin.tools import BitcoinTools
from cryptosupport.chains.bitcoin.transactions import Tx, decode
from cryptosupport.domain.agreeing import Voice, agree
from cryptosupport.domain.errors import BadInput, BadSettings, NodeFailed, NodesFailed, Refused
from cryptosupport.domain.money import Asset, FeeRate
from cryptosupport.domain.paying import (
    Decoded,
    Draft,
    Output,
    Payer,
    Payment,
    Sent,
    Short,
    Standing,
    Survey,
    TooDear,
    Unpayable,
)
from cryptosupport.domain.payouts import OVER, Attempt, Kind, Payout, Plan, Seen
from cryptosupport.domain.ports import Clock
from cryptosupport.domain.sweeps import Leg, is_sweep
from cryptosupport.settings import ChainSettings
from cryptosupport.settings.values import number as decimal
from cryptosupport.transport import Node, Nodes

MOST_TOGETHER = 500
"""So many withdrawals are taken for one transaction at most; their size counts too (`drafting.MOST_VBYTES`)."""

_PARTS = (1, 4, 16, 64)
_LEAST_ROOM = 1000
"""What is to be left for higher fees: the highest that is allowed, or a part of it, of so many satoshis at least."""

_SOON = 6
_LEAST_RATE = 1000


def source_of(settings: ChainSettings, wallet: str, descriptor: str) -> str:
    """What the ledger calls a wallet. Raises `BadSettings`."""
    return _watched(Rules.of(settings), wallet, descriptor).source


def _watched(rules: Rules, wallet: str, descriptor: str) -> Watched:
    try:
        return Watched.of(descriptor, rules.network.name)
    except BadInput as error:
        raise BadSettings(f"wallets.toml [{wallet}]: descriptor: {error.message}") from error


def import_wallet(settings: ChainSettings, nodes: Nodes, wallet: str, descriptor: str, since: int) -> dict[str, str]:
    """Have every node of our own watch a wallet, from ``since`` (seconds since 1970) on; what each says by its name.

    Raises `BadSettings`, `NodesFailed` where there is no such node.
    """
    rules = Rules.of(settings)
    watched = _watched(rules, wallet, descriptor)
    return {node.name: watch(node, wallet, watched, since) for node in own_nodes(rules, nodes)}


def open_payer(settings: ChainSettings, nodes: Nodes, clock: Clock, wallet: str, descriptor: str) -> Payer:
    """What pays from ``descriptor``, of the wallet that wallets.toml calls ``wallet``. Raises `BadSettings`."""
    watched = _watched(Rules.of(settings), wallet, descriptor)
    if settings.fees.max_feerate is None:
        raise BadSettings(f"chains/{settings.name}.toml: to pay, [fees] has to name max_feerate")
    rate = decimal(settings.fees.max_feerate.partition(" ")[0], 3).units
    caps = Caps(settings.coin, settings.max_fee, rate, settings.fees.max_ratio)
    return BitcoinPayer(settings, nodes, clock, wallet, watched, caps)


class BitcoinPayer:
    """Pays from one wallet. It holds no key."""

    def __init__(
        self, settings: ChainSettings, nodes: Nodes, clock: Clock, wallet: str, watched: Watched, caps: Caps
    ) -> None:
        self._rules = Rules.of(settings)
        self._settings, self._nodes, self._clock = settings, nodes, clock
        self._wallet, self._watched, self._caps = wallet, watched, caps
        self._network = self._rules.network.name
        self._chains = _by_operator(settings, nodes, clock)
        self._first: Node | None = next(iter(nodes.all), None)
        self._homes = Homes(self._rules, nodes, clock, wallet, watched.kind)
        self._claimed: set[Outpoint] = set()  # what the payouts of the last survey have

    @property
    def source(self) -> str:
        """The descriptor, in one spelling."""
        return self._watched.source

    @property
    def in_flight(self) -> int:
        """How many transactions may wait for a block at once."""
        return self._settings.in_flight

    @property
    def in_order(self) -> bool:
        """No: what waits for a block keeps no other from it."""
        return False

    @property
    def together(self) -> int:
        """How many withdrawals one transaction may pay."""
        return MOST_TOGETHER

    # -- what nodes say

    def survey(self, payouts: Sequence[Payout]) -> Survey:
        """Ask the nodes how the wallet stands, and what became of each of ``payouts``; see `Payer.survey`.

        With a quorum every operator is asked. ``market`` is the rate of the next blocks in satoshis per kvB. Raises
        `NodesFailed`.
        """
        troubles: list[str] = []
        home = self._homes.look()  # another node may have come furthest by now
        self._ask_first(home)
        seen = self._seen(payouts, troubles)
        self._claimed = {_outpoint(claim) for each in payouts if each.step not in OVER for claim in each.claims}
        planned = {_planned(each).txid for payout in payouts for each in payout.attempts if each.raw is None}
        found = self._homes.spends(self._rules.required)
        spends = tuple(each for each in found if each.txid not in planned)  # whoever signs may send it too
        used = sum(each.block is not None for each in spends)
        return Survey(used, len(spends), {None: home.holds()}, self._rate(home), seen, tuple(troubles), spends)

    def _ask_first(self, home: HotWallet) -> None:
        """Without a quorum the first node that answers is believed: that is to be none of our own that is behind."""
        if self._settings.quorum <= 1 and self._first is not home.node:
            nodes = [home.node, *(node for node in self._nodes.all if node is not home.node)]
            asked = Nodes(self._settings.name, nodes, self._clock.monotonic)
            self._chains, self._first = [("all", BitcoinChain(self._settings, asked, self._clock))], home.node

    def _seen(self, payouts: Sequence[Payout], troubles: list[str]) -> dict[int, Seen]:
        voices: dict[int, list[Voice]] = {}
        failures = []
        for operator, chain in self._chains:
            try:
                told = following.look(chain, payouts, troubles) if payouts else {}
            except NodesFailed as failure:
                failures.append(failure)
                troubles.append(failure.message)
                continue
            for id, seen in told.items():
                height = getattr(seen, "height", 0)
                voices.setdefault(id, []).append(Voice(operator, operator, height, seen))
        if payouts and len(failures) == len(self._chains):
            raise failures[0]
        return {id: agree(said, self._settings.quorum) for id, said in voices.items()}

    @staticmethod
    def _lock(home: HotWallet, wanted: set[Outpoint]) -> None:
        locked = home.locked()
        home.lock(locked - wanted, locked=False)
        home.lock(wanted - locked)

    def _rate(self, home: HotWallet) -> int:
        """Satoshis per kvB that the next blocks ask for, and never less than nodes relay."""
        market = Bitcoind(home.node, self._rules, self._clock).mempool.market()
        near = [rate for blocks, rate in market.estimates if blocks <= _SOON]
        return max([_LEAST_RATE, market.minimum or 0, *near[-1:]])

    # -- plans

    def draft(self, payments: Sequence[Payment], survey: Survey) -> list[Draft]:
        """Put payments together in transactions, from coins that no payout has; see `Payer.draft`.

        The node is to choose no coin that a payout of the last survey has, and may choose those that none has any more.
        """
        home, rate = self._homes.best, _rate_of(survey)
        self._lock(home, self._claimed)
        drafts: dict[int, Draft] = {}
        for place, each in enumerate(payments):
            if is_sweep(each.request_id):
                drafts[place] = self._swept(home, each, rate)
        others = [place for place in range(len(payments)) if place not in drafts]
        groups, bad = drafting.group([payments[it] for it in others], self._network, self._caps.coin, MOST_TOGETHER)
        drafts |= {others[number]: why for number, why in bad.items()}
        for members in groups:
            while members:
                together = [payments[others[number]] for number in members]
                made = self._together(home, together, rate)
                dear = drafting.dear_shares(together, made.max_fee, self._caps) if isinstance(made, Plan) else {}
                for output, number in enumerate(members):
                    made_of_it = Output(made, output) if isinstance(made, Plan) else made
                    drafts[others[number]] = dear.get(output, made_of_it)
                if not dear or not isinstance(made, Plan):
                    break
                # The others go without them, and each bears more of what it costs then.
                home.lock([_outpoint(claim) for claim in self.place(made, 0)[1]], locked=False)
                members = [number for output, number in enumerate(members) if output not in dear]
        return [drafts[place] for place in range(len(payments))]

    def _together(self, home: HotWallet, payments: Sequence[Payment], rate: int) -> Plan | TooDear | Short:
        """One transaction for all of them."""
        if rate > self._caps.rate:
            return TooDear(f"the next blocks ask for {FeeRate(rate)}, and the cap is {FeeRate(self._caps.rate)}")
        outputs = [{each.destination: coins(each.base_units)} for each in payments]
        before = dict.fromkeys(_outpoint(claim) for each in payments for claim in each.before)
        free = home.unspent() if before else {}
        again = [each for each in before if each in free and each not in self._claimed]
        chosen = self._chosen(home, outputs, rate, again)
        if isinstance(chosen, NotEnough):
            pays, has = sum(each.base_units for each in payments), home.free()
            needs = pays + sizes.fee_for(sizes.weight(self._watched.kind, 1, []), rate)
            return Short(self._caps.coin.symbol, max(needs, has + 1), has)
        change, index = home.change()
        spending = self._spending(home, chosen, payments, change)
        decided = drafting.cost(spending, rate, self._caps)
        if isinstance(decided, TooDear):
            home.lock(chosen, locked=False)
            return decided
        if decided is None:
            home.lock(chosen, locked=False)
            return Short(self._caps.coin.symbol, spending.total + 1, spending.total)
        return self._plan(home, chosen, outputs, decided, (change, index))

    def _swept(self, home: HotWallet, payment: Payment, rate: int) -> Plan | TooDear | Short:
        """One transaction of a sweep, from the smallest coins."""
        free = {coin: satoshis for coin, satoshis in home.unspent().items() if coin not in self._claimed}
        change, index = home.change()
        scripts = self._script(payment.destination), self._script(change)
        chosen = sweeping.choose(free, payment.base_units, self._watched.kind, scripts, rate)
        if chosen is None:
            return Short(self._caps.coin.symbol, payment.base_units, sum(free.values()))
        decided = drafting.cost(self._spending(home, chosen, [payment], change), rate, self._caps)
        if isinstance(decided, TooDear):
            return decided
        assert decided is not None  # the coins were chosen so that they suffice
        self._homes.agree(chosen)
        home.lock(chosen)
        outputs = [{payment.destination: coins(payment.base_units)}]
        return self._plan(home, chosen, outputs, decided, (change, index))

    def _chosen(
        self, home: HotWallet, outputs: list[dict[str, str]], rate: int, again: Sequence[Outpoint]
    ) -> list[Outpoint] | NotEnough:
        """Coins for the outputs, with enough beside them to raise the fee up to the cap, or as far as the wallet has
        for that; else just enough. Those of ``again`` are among them.
        """
        paid = {address for each in outputs for address in each}
        own = (self._watched.address(True, index) for index in count())
        room = next(each for each in own if each not in paid)  # nothing is paid to it: no fresh one is used up
        beside = [[{room: coins(self._caps.fee // part)}] for part in _PARTS if self._caps.fee // part >= _LEAST_ROOM]
        for more in [*beside, []]:
            chosen = home.choose([*outputs, *more], rate, again)
            if not isinstance(chosen, NotEnough):
                self._homes.agree(chosen)
                break
        return chosen

    def _spending(
        self, home: HotWallet, inputs: Sequence[Outpoint], payments: Sequence[Payment], change: str
    ) -> Spending:
        previous = previous_of(home, inputs)
        total = sum(previous[each].satoshis for each in inputs)
        paid = [(self._script(each.destination), each.base_units) for each in payments]
        return Spending(self._watched.kind, len(inputs), total, tuple(paid), self._script(change))

    def _script(self, address: str) -> bytes:
        return script_pubkey(address, self._network)

    def _plan(
        self,
        home: HotWallet,
        inputs: Sequence[Outpoint],
        outputs: Sequence[dict[str, str]],
        decided: Cost,
        change: tuple[str, int],
    ) -> Plan:
        address, index = change
        paid = [*outputs, *([{address: coins(decided.change)}] if decided.change else [])]
        planned = Planned(home.psbt(inputs, paid, 0), (len(outputs), index) if decided.change else None)
        plan = Plan(planned.text, decided.fee)
        self._prove(home, plan, inputs, paid)
        return plan

    def _prove(self, home: HotWallet, plan: Plan, inputs: Sequence[Outpoint], paid: Sequence[dict[str, str]]) -> None:
        """Raise `NodeFailed` unless the node made what it was asked for, and says enough of the coins for a signer.

        What no signer would sign is not recorded: it would keep its withdrawals, and its coins, until people kill it.
        """
        wanted = [(self._script(address), units) for each in paid for address, units in each.items()]
        try:
            planned = Planned.of(plan.text)
            tx = unsigned_of(planned)
            made = [(script, coins(satoshis)) for script, satoshis in tx.outputs]
            does = BitcoinTools(self._watched).read(unsigned_bytes(planned), plan.text)
        except Refused as error:
            said = f"makes what no signer would sign: {error.message}"
            raise NodeFailed(home.node.name, "bad_answer", said) from None
        spent = [(each.txid, each.vout) for each in tx.spends]
        if (spent, made, does.max_fee) != (list(inputs), wanted, plan.max_fee):
            raise NodeFailed(home.node.name, "bad_answer", "makes another transaction than it was asked for")

    def legs(
        self, asset: Asset, surplus: int, destination: str, survey: Survey
    ) -> list[Leg] | Unpayable | TooDear | Short:
        """Coins in blocks that no payout has, the smallest first, in pieces; see `sweeping.legs`."""
        bad = drafting.output_of(Payment("", asset, surplus, destination), self._network, self._caps.coin)
        if isinstance(bad, Unpayable):
            return bad
        free = {coin: satoshis for coin, satoshis in self._homes.best.unspent().items() if coin not in self._claimed}
        scripts = self._script(destination), self._watched.script(True, 0)
        return sweeping.legs(list(free.values()), surplus, self._watched.kind, scripts, _rate_of(survey), self._caps)

    def place(self, plan: Plan, place: int) -> tuple[Plan, tuple[str, ...]]:
        """The plan as it is, and the coins that it spends."""
        return plan, tuple(each.outpoint for each in unsigned_of(Planned.of(plan.text)).spends)

    def dearer(self, payout: Payout, survey: Survey, most_fee: int | None = None) -> Plan | TooDear:
        """The last attempt once more, with the same inputs and recipients, and a fee that replaces it."""
        if payout.last.kind is Kind.CANCEL:
            return self.self_send(payout, survey)
        home, old = self._homes.best, Planned.of(payout.last.plan.text)
        if old.change is None:
            why = "it has no change that a higher fee could come from"
            return TooDear(f"{why}: it waits for a block, or `withdraw kill` takes it back")
        tx = unsigned_of(old)
        inputs, (vout, index) = [(each.txid, each.vout) for each in tx.spends], old.change
        change = self._watched.address(True, index)
        paid = [each for number, each in enumerate(tx.outputs) if number != vout]
        previous = previous_of(home, inputs)
        total = sum(each.satoshis for each in previous.values())
        spending = Spending(self._watched.kind, len(inputs), total, tuple(paid), self._script(change))
        vsize = -(-spending.weight(with_change=True) // 4)
        decided = drafting.raised(spending, payout.last.plan.max_fee, vsize, _rate_of(survey), self._caps)
        if isinstance(decided, TooDear):
            return decided
        if most_fee is not None and decided.fee > most_fee:
            return TooDear(f"it costs {decided.fee} satoshis, and by its worth in money at most {most_fee}")
        most = drafting.most_by_shares([satoshis for _, satoshis in paid], self._caps)
        if most is not None and decided.fee > most:
            share = f"{self._caps.ratio} % of what the least of its payments pays"
            return TooDear(f"it costs {decided.fee} satoshis, and at most {most}, with a share of {share}")
        outputs = [{self._address(script): coins(satoshis)} for script, satoshis in paid]
        return self._plan(home, inputs, outputs, decided, (change, index))

    def self_send(self, payout: Payout, survey: Survey) -> Plan | TooDear:
        """All inputs, paid to ourselves, in the place of all attempts."""
        home = self._homes.best
        inputs = [_outpoint(claim) for claim in payout.claims]
        old = [Planned.of(each.plan.text).change for each in payout.attempts]
        known = next((change for change in old if change is not None and change[1] < MOST_ADDRESSES), None)
        change, index = home.change() if known is None else (self._watched.address(True, known[1]), known[1])
        previous = previous_of(home, inputs)
        total = sum(each.satoshis for each in previous.values())
        spending = Spending(self._watched.kind, len(inputs), total, (), self._script(change))
        dearest = max(each.plan.max_fee for each in payout.attempts)
        decided = drafting.taken_back(spending, dearest, _rate_of(survey), self._caps)
        return decided if isinstance(decided, TooDear) else self._plan(home, inputs, [], decided, (change, index))

    def _address(self, script: bytes) -> str:
        address = address_of(script, self._network)
        assert address is not None  # it was made of one
        return address

    # -- signed bytes

    def read(self, raw: bytes) -> Decoded:
        """What signed bytes do, by the second decoder, with every previous output fetched again. Raises `Refused`."""
        decoded, own = self._read(raw)
        bare = [each for each in decode(raw).spends if not each.witness]
        return replace(decoded, source=self.source if own and not bare else "")

    def contents(self, raw: bytes) -> Decoded:
        """What signed bytes do, without whose signature it is. Raises `Refused`."""
        return self._read(raw)[0]

    def _read(self, raw: bytes) -> tuple[Decoded, bool]:
        """What bytes do, and whether all that they spend is ours."""
        home, tx = self._homes.best, decode(raw)
        previous = previous_of(home, [(each.txid, each.vout) for each in tx.spends])
        spent = {each.script for each in previous.values()}
        own = self._own(home, {*spent, *(script for script, _ in tx.outputs)})
        return read(raw, previous, self._network, own, self.source), spent <= own

    def _own(self, home: HotWallet, scripts: Collection[bytes]) -> set[bytes]:
        """Which scripts are ours: the node says where they stand, and they are derived to see that."""
        addresses = {address: each for each in scripts if (address := address_of(each, self._network)) is not None}
        places = home.places_of(list(addresses))
        return {addresses[each] for each, place in places.items() if self._watched.script(*place) == addresses[each]}

    def send(self, raws: Sequence[bytes]) -> list[Sent]:
        """Give signed bytes to the nodes, once those of our own have tested them; see `sending.send`."""
        return sending.send(self._nodes, self._homes.nodes, raws, self._measured)

    def _measured(self, raw: bytes) -> Measured:
        """What bytes are, by the second decoder and the coins that they spend. Raises `Refused`, `NodesFailed`."""
        tx = decode(raw)
        previous = previous_of(self._homes.best, [(each.txid, each.vout) for each in tx.spends])
        comes, goes = sum(each.satoshis for each in previous.values()), sum(satoshis for _, satoshis in tx.outputs)
        return Measured(tx.txid, tx.vsize, comes - goes)

    # -- what it holds

    def standing(self) -> Standing:
        """What the wallet holds now; see `Payer.standing`."""
        home = self._homes.best
        info = Bitcoind(home.node, self._rules, self._clock).info()
        return Standing(info.blocks, info.bestblockhash, {None: home.holds()})

    def has_block(self, height: int, block_hash: str) -> bool:
        """Whether this is still the chain's block at that height. Raises `NodesFailed`."""
        return self._homes.best.block_at(height) == block_hash

    def received(self, contract: str, after: int, upto: int) -> int | None:
        """There are no tokens here."""
        return None


def _by_operator(settings: ChainSettings, nodes: Nodes, clock: Clock) -> list[tuple[str, BitcoinChain]]:
    """The chain as each operator's nodes tell it; without a quorum all of them together."""
    if settings.quorum <= 1:
        return [("all", BitcoinChain(settings, nodes, clock))]
    of = dict(zip(nodes.all, settings.nodes, strict=True))
    found = []
    for name, endpoints in settings.by_operator.items():
        theirs = [node for node, endpoint in of.items() if endpoint in endpoints]
        found.append((name, BitcoinChain(settings, Nodes(settings.name, theirs, clock.monotonic), clock)))
    return found


def _planned(attempt: Attempt) -> Tx:
    """What an attempt is to be, before it is signed."""
    return unsigned_of(Planned.of(attempt.plan.text))


def _rate_of(survey: Survey) -> int:
    assert isinstance(survey.market, int)  # of another family's survey
    return survey.market


def _outpoint(claim: str) -> Outpoint:
    txid, _, vout = claim.partition(":")
    return txid, int(vout)
