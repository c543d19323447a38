"""Paying from one descriptor wallet on Bitcoin: what `domain.paying.Payer` asks for.

A node of our own knows the coins (`HotWallet`) and fills in what a signer needs; which recipients, how much change and
what fee is decided here, and what was signed is read by python-bitcoinlib. Other operators' nodes are asked what
became of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from cryptosupport.chains.bitcoin import drafting, following, sending, sizes
from cryptosupport.chains.bitcoin.bitcoind import Bitcoind
from cryptosupport.chains.bitcoin.chain import BitcoinChain
from cryptosupport.chains.bitcoin.codec import address_of, script_pubkey
from cryptosupport.chains.bitcoin.descriptors import Watched
from cryptosupport.chains.bitcoin.drafting import Caps, Cost, Spending
from cryptosupport.chains.bitcoin.hotwallet import HotWallet, NotEnough, Outpoint, coins
from cryptosupport.chains.bitcoin.importing import watch
from cryptosupport.chains.bitcoin.networks import Rules
from cryptosupport.chains.bitcoin.plans import Planned
from cryptosupport.chains.bitcoin.reading import previous_of, read, unsigned_bytes, unsigned_of
from cryptosupport.chains.bitcoin.tools import BitcoinTools
from cryptosupport.chains.bitcoin.transactions import decode
from cryptosupport.domain.agreeing import Voice, agree
from cryptosupport.domain.errors import BadInput, BadSettings, NodeFailed, NodesFailed, Refused
from cryptosupport.domain.money import FeeRate
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
)
from cryptosupport.domain.payouts import OVER, Kind, Payout, Plan, Seen
from cryptosupport.domain.ports import Clock
from cryptosupport.settings import ChainSettings
from cryptosupport.settings.values import number as decimal
from cryptosupport.transport import JsonRpcNode, Node, Nodes

MOST_TOGETHER = 500
"""So many withdrawals are taken for one transaction at most; their size counts too (`drafting.MOST_VBYTES`)."""

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
    own = _own_nodes(rules, nodes)
    return {node.name: watch(node, wallet, watched, since) for node in own}


def _own_nodes(rules: Rules, nodes: Nodes) -> list[JsonRpcNode]:
    own = [node for node in nodes.all if isinstance(node, JsonRpcNode)]
    own = [node for node in own if node.own or rules.network.name == "regtest"]
    if not own:
        failure = NodeFailed(rules.chain, "no_wallet", "no endpoint is a bitcoind marked own = true")
        raise NodesFailed(rules.chain, (failure,))
    return own


def open_payer(settings: ChainSettings, nodes: Nodes, clock: Clock, wallet: str, descriptor: str) -> Payer:
    """What pays from ``descriptor``, of the wallet that wallets.toml calls ``wallet``. Raises `BadSettings`."""
    watched = _watched(Rules.of(settings), wallet, descriptor)
    if settings.fees.max_feerate is None:
        raise BadSettings(f"chains/{settings.name}.toml: to pay, [fees] has to name max_feerate")
    rate = decimal(settings.fees.max_feerate.partition(" ")[0], 3).units
    caps = Caps(settings.coin, settings.max_fee, rate)
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
        self._kept: HotWallet | None = None
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
        seen = self._seen(payouts, troubles)
        self._kept = None  # another node may be the first that answers by now
        home = self._home()
        self._claimed = {_outpoint(claim) for each in payouts if each.step not in OVER for claim in each.claims}
        spends = home.spends()
        return Survey(0, len(spends), {None: home.holds()}, self._rate(home), seen, tuple(troubles), spends)

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

    def _home(self) -> HotWallet:
        """The wallet at the first node of our own that has it. Raises `NodesFailed`."""
        if self._kept is None:
            own = _own_nodes(self._rules, self._nodes)
            self._kept = Nodes(self._rules.chain, own, self._clock.monotonic).first(self._wallet_at)
        return self._kept

    def _wallet_at(self, node: Node) -> HotWallet:
        assert isinstance(node, JsonRpcNode)
        wallet = HotWallet(node, self._wallet, self._watched.kind, self._rules.required)
        wallet.holds()
        return wallet

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
        home, rate = self._home(), _rate_of(survey)
        self._lock(home, self._claimed)
        groups, bad = drafting.group(payments, self._network, self._caps.coin, MOST_TOGETHER)
        drafts: dict[int, Draft] = dict(bad)
        for members in groups:
            made = self._together(home, [payments[place] for place in members], rate)
            for number, place in enumerate(members):
                drafts[place] = Output(made, number) if isinstance(made, Plan) else made
        return [drafts[place] for place in range(len(payments))]

    def _together(self, home: HotWallet, payments: Sequence[Payment], rate: int) -> Plan | TooDear | Short:
        """One transaction for all of them."""
        if rate > self._caps.rate:
            return TooDear(f"the next blocks ask for {FeeRate(rate)}, and the cap is {FeeRate(self._caps.rate)}")
        outputs = [{each.destination: coins(each.base_units)} for each in payments]
        chosen = self._chosen(home, outputs, rate)
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

    def _chosen(self, home: HotWallet, outputs: list[dict[str, str]], rate: int) -> list[Outpoint] | NotEnough:
        """Coins for the outputs, with enough beside them to raise the fee up to the cap; else just enough."""
        room, _ = home.change()
        chosen = home.choose([*outputs, {room: coins(self._caps.fee)}], rate)
        return home.choose(outputs, rate) if isinstance(chosen, NotEnough) else chosen

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

    def place(self, plan: Plan, place: int) -> tuple[Plan, tuple[str, ...]]:
        """The plan as it is, and the coins that it spends."""
        return plan, tuple(each.outpoint for each in unsigned_of(Planned.of(plan.text)).spends)

    def dearer(self, payout: Payout, survey: Survey, most_fee: int | None = None) -> Plan | TooDear:
        """The last attempt once more, with the same inputs and recipients, and a fee that replaces it."""
        if payout.last.kind is Kind.CANCEL:
            return self.self_send(payout, survey)
        home, old = self._home(), Planned.of(payout.last.plan.text)
        if old.change is None:
            return TooDear("it has no change that a higher fee could come from")
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
        outputs = [{self._address(script): coins(satoshis)} for script, satoshis in paid]
        return self._plan(home, inputs, outputs, decided, (change, index))

    def self_send(self, payout: Payout, survey: Survey) -> Plan | TooDear:
        """All inputs, paid to ourselves, in the place of all attempts."""
        home = self._home()
        inputs = [_outpoint(claim) for claim in payout.claims]
        old = [Planned.of(each.plan.text).change for each in payout.attempts]
        known = next((change for change in old if change is not None), None)
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
        home, tx = self._home(), decode(raw)
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
        """Give signed bytes to the nodes; see `sending.send`."""
        return sending.send(self._nodes, raws)

    # -- what it holds

    def standing(self) -> Standing:
        """What the wallet holds now; see `Payer.standing`."""
        home = self._home()
        info = Bitcoind(home.node, self._rules, self._clock).info()
        return Standing(info.blocks, info.bestblockhash, {None: home.holds()})

    def has_block(self, height: int, block_hash: str) -> bool:
        """Whether this is still the chain's block at that height. Raises `NodesFailed`."""
        return self._home().block_at(height) == block_hash

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


def _rate_of(survey: Survey) -> int:
    assert isinstance(survey.market, int)  # of another family's survey
    return survey.market


def _outpoint(claim: str) -> Outpoint:
    txid, _, vout = claim.partition(":")
    return txid, int(vout)
