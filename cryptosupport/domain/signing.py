"""What a signer checks by itself before a signature leaves it. Pure: the order, its own settings, and the bytes.

A ledger that lies, was restored, or is read by a faulty engine must not make a key pay twice, or pay anybody who was
not asked for. So nothing here is taken from the order that the signer can know better: the wallet, its assets, who may
approve, what is frozen and what the caps are come from the settings of the signer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

from cryptosupport.domain.errors import Frozen, Refused, Unsigned
from cryptosupport.domain.freezes import Freeze, that_cover
from cryptosupport.domain.money import Asset
from cryptosupport.domain.operators import Operator, Operators, Role
from cryptosupport.domain.paying import Decoded, Order
from cryptosupport.domain.payouts import Kind
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.screening import key_of
from cryptosupport.domain.statements import Signed
from cryptosupport.domain.sweeps import is_sweep
from cryptosupport.domain.withdrawal_record import moment
from cryptosupport.domain.withdrawals import ENDED, State, Withdrawal, intent

HOUR = 3_600_000
"""Milliseconds in which the hourly cap counts; what was signed exactly so long ago is out."""

APPROVE = "approve"
"""What approvers say (as in `desk.approve`)."""

PAYABLE = frozenset(
    {State.APPROVED, State.RESERVED, State.SIGNED, State.BROADCAST, State.CONFIRMING, State.UNKNOWN}
)  # fmt: skip
"""The states in which a payment is right. What is being cancelled is paid no more."""

HANDED_OUT = frozenset({State.SIGNED, State.BROADCAST, State.CONFIRMING})
"""The states that only a signature brings about: whoever made it has to remember it."""

Fault: TypeAlias = Callable[[str, bytes, str], str | None]
"""What is wrong with a signature: (public key as a line, the bytes, the armoured signature); None when it is good."""


class Tools(Protocol):
    """What a chain family gives to whoever holds a key. Nothing that it raises may hold the secret."""

    def sign(self, text: str, secret: str) -> bytes:
        """The signed bytes of a plan's text. Raises `Refused`, `BadSettings`."""

    def read(self, raw: bytes, text: str) -> Decoded:
        """What signed bytes do, by a decoder that did not write them; on a chain of coins the plan's ``text`` says what
        they spend. Raises `Refused` for what cannot be read.
        """

    def address(self, secret: str) -> str:
        """Whose signature the secret makes: the wallet's source. Raises `BadSettings`."""


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that leaves, in base units by symbol, of one wallet; a symbol that is not in both leaves not at all.

    ``transaction`` is for one transaction, ``hour`` for the withdrawals first paid within `HOUR`. ``fee`` is the most
    that one transaction may cost, in base units of the chain's coin.
    """

    transaction: Mapping[str, int]
    hour: Mapping[str, int]
    fee: int


@dataclass(frozen=True, slots=True)
class Account:
    """The wallet whose key it is, by the signer's own settings.

    ``network`` is what `Decoded.network` says of bytes for ``chain``; ``assets`` are those of the chain, by symbol.
    ``cold`` are the keys (`screening.key_of`) of the addresses of the chain's cold wallets: where sweeps may go.
    """

    chain: str
    network: str
    wallet: str
    source: str
    assets: Mapping[str, Asset]
    cold: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Electors:
    """Who may approve.

    ``versions`` are the operators there were, the last one in force. ``same_key`` says whether two lines are one key,
    ``intake`` are the public keys that sign requests, by name.

    Without a ledger (``alone``) nobody knows versions, only the people: then the order says which versions there were,
    and the people in force count under each. A version that is made up lets nobody in: whoever approved has signed the
    intent with the version in it, so that only what they did sign as fits; and who may approve, by which key, nobody
    but the settings say. Approvals of two versions still do not count together.
    """

    versions: tuple[Operators, ...]
    fault: Fault
    same_key: Callable[[str, str], bool]
    intake: Mapping[str, str] = field(default_factory=dict)
    alone: bool = False

    def approvers(self, withdrawal: Withdrawal, order: Order) -> tuple[str, ...]:
        """Who has approved a withdrawal of an order exactly as it is, and may today: never who brought it.

        Those of one version of the operators count together, as the desk counted them: the most of any version.
        """
        versions = self._named_by(order) if self.alone else self.versions
        counted = [self._under(version, withdrawal, order.statements, order.ledger_id) for version in versions]
        return max(counted, key=len, default=())

    def _named_by(self, order: Order) -> list[Operators]:
        """The people in force, as each of the versions that an order names."""
        named = dict.fromkeys(order.versions)
        return [replace(people, version=each) for people in self.versions[-1:] for each in named]

    def _under(
        self, version: Operators, withdrawal: Withdrawal, statements: Iterable[Signed], ledger_id: str
    ) -> tuple[str, ...]:
        wanted = (APPROVE, intent(withdrawal, version.version), ledger_id)
        names = []
        for signed in statements:
            said = signed.statement
            person, then = (each.people.get(said.operator) for each in (self.versions[-1], version))
            if person is None or then is None or person.key != then.key or self._is_maker(person, withdrawal):
                continue
            may = Role.APPROVER in person.roles & then.roles
            fits = (said.action, said.subject, said.ledger) == wanted
            if may and fits and self.fault(person.key, said.signed, signed.signature) is None:
                names.append(person.name)
        return tuple(dict.fromkeys(names))

    def _is_maker(self, person: Operator, withdrawal: Withdrawal) -> bool:
        """Under the own name or a former one, or by a key that signs requests and is theirs (as
        `desk.people.People.is_maker`).
        """
        maker, source = withdrawal.maker, withdrawal.source
        keys = [self.intake[source]] if source in self.intake else []
        keys += [each.people[maker].key for each in self.versions if maker is not None and maker in each.people]
        return person.name == maker or any(self.same_key(key, person.key) for key in keys)


def needed(withdrawal: Withdrawal) -> int:
    """How many people have to approve: as the rules said, one more where nobody is proven to have brought it.

    None where it was allowed, and at least one where it was not.
    """
    decision = withdrawal.decision
    if decision.outcome is Outcome.ALLOW and not decision.approvals:
        return 0
    return max(decision.approvals + (0 if withdrawal.proven else 1), 1)


def sign_each(sign: Callable[[Order], bytes], orders: Iterable[Order]) -> list[bytes | Refused | Unsigned]:
    """What comes of each order, one after the other: the signed bytes, or why there are none."""
    results: list[bytes | Refused | Unsigned] = []
    for order in orders:
        try:
            results.append(sign(order))
        except (Refused, Unsigned) as error:
            results.append(error)
    return results


# -- the order --------------------------------------------------------------------------------------------------------


def check_order(order: Order, account: Account, caps: Caps, electors: Electors, freezes: Iterable[Freeze]) -> None:
    """Raise `Refused` where an order must not be signed whatever its bytes do, `Frozen` where a freeze covers it.

    A cancel moves nothing to anybody: it needs no approval, and no freeze stops it.
    """
    _check_wallet(order, account)
    for withdrawal in order.withdrawals:
        _check_place(withdrawal, account)
    if order.kind is Kind.CANCEL:
        return
    freezes = list(freezes)
    for withdrawal in order.withdrawals:
        _check_asset(withdrawal, account)
        _check_sweep(withdrawal, account)
        _check_freeze(withdrawal, freezes)
        _check_decided(withdrawal, order, electors)
    for symbol, base_units in totals(order).items():
        most = min(caps.transaction.get(symbol, 0), caps.hour.get(symbol, 0))
        if base_units > most:
            raise Refused(
                f"this signer signs for at most {most} base units of {symbol} in one transaction, and this is for "
                f"{base_units}",
                symbol=symbol, base_units=base_units, most=most,
            )  # fmt: skip


def _check_wallet(order: Order, account: Account) -> None:
    asked = (order.chain, order.wallet, key_of(order.source))
    if asked != (account.chain, account.wallet, key_of(account.source)):
        raise Refused(
            f"this signer holds the key of {account.wallet} on {account.chain} ({account.source}), and is asked for "
            f"{order.wallet} on {order.chain} ({order.source})"
        )
    if not order.claims or len(set(order.claims)) < len(order.claims):
        raise Refused("the order does not say, each once, what its attempts have in common: nothing keeps them apart")
    ids = [each.request.request_id for each in order.withdrawals]
    if not ids or len(set(ids)) < len(ids):
        raise Refused("the order names no withdrawal, or one twice")


def _check_place(withdrawal: Withdrawal, account: Account) -> None:
    request, name = withdrawal.request, withdrawal.request.request_id
    if (request.chain, withdrawal.wallet) != (account.chain, account.wallet):
        raise Refused(
            f"{name} is to be paid from {withdrawal.wallet} on {request.chain}, not from {account.wallet} on "
            f"{account.chain}"
        )
    if withdrawal.state in ENDED:
        raise Refused(f"{name} is {withdrawal.state}, which is final: nothing is signed for it", state=withdrawal.state)


def _check_asset(withdrawal: Withdrawal, account: Account) -> None:
    asset, name = withdrawal.request.asset, withdrawal.request.request_id
    known = account.assets.get(asset.symbol)
    if known is None or known.decimals is None:
        raise Refused(f"{name} asks for {asset.symbol}, which this signer does not know on {account.chain}")
    if (asset.decimals, _key(asset.contract)) != (known.decimals, _key(known.contract)):
        raise Refused(f"what {name} calls {asset.symbol} is not what this signer knows as {asset.symbol}")
    if withdrawal.request.base_units <= 0:
        raise Refused(f"{name} asks for nothing")


def _check_sweep(withdrawal: Withdrawal, account: Account) -> None:
    """What goes to the desk's own cold is under no cap, and nothing else passes for it."""
    request = withdrawal.request
    if is_sweep(request.request_id) and key_of(request.destination) not in account.cold:
        raise Refused(
            f"{request.request_id} is a sweep to {request.destination}, which is the address of no cold wallet in this "
            "signer's wallets.toml: find out who changed it",
            destination=request.destination,
        )


def _check_freeze(withdrawal: Withdrawal, freezes: Iterable[Freeze]) -> None:
    found = that_cover(freezes, withdrawal.booking)
    if found:
        told = (f"{each.scope.text} since {moment(each.at)} by {each.by}: {each.reason}" for each in found)
        raise Frozen(
            f"{withdrawal.request.request_id} is frozen: {'; '.join(told)}. Two people lift it: "
            "`cryptosupport freeze lift`",
            freezes=[each.id for each in found],
        )


def _check_decided(withdrawal: Withdrawal, order: Order, electors: Electors) -> None:
    name, outcome = withdrawal.request.request_id, withdrawal.decision.outcome
    if withdrawal.state not in PAYABLE:
        state = withdrawal.state.replace("_", " ")
        raise Refused(f"{name} is {state}: it is not paid in this state", state=withdrawal.state)
    if outcome not in (Outcome.ALLOW, Outcome.APPROVAL):
        raise Refused(f"{name} was decided as {outcome}, and is not paid", state=withdrawal.state)
    wanted = needed(withdrawal)
    if not wanted:
        return
    names = electors.approvers(withdrawal, order)
    if len(names) < wanted:
        by = ", ".join(names) or "nobody"
        raise Refused(
            f"{name} needs the approval of {wanted}, and signatures that count are there of {by}: of operators in "
            "force, for exactly this withdrawal, and not of who brought it",
            needed=wanted, approved=list(names),
        )  # fmt: skip


def totals(order: Order) -> dict[str, int]:
    """What leaves the desk by an order, in base units by symbol: sweeps do not."""
    sums: Counter[str] = Counter()
    for each in order.withdrawals:
        if not is_sweep(each.request.request_id):
            sums[each.request.asset.symbol] += each.request.base_units
    return dict(sums)


def handed_out(order: Order) -> tuple[str, ...]:
    """The withdrawals of an order that were signed for before, as the ledger has it, by request id."""
    return tuple(
        each.request.request_id
        for each in order.withdrawals
        if each.state in HANDED_OUT or each.txid is not None
    )  # fmt: skip


# -- the bytes --------------------------------------------------------------------------------------------------------


def check_bytes(order: Order, decoded: Decoded, account: Account, caps: Caps, *, signed: bool = True) -> None:
    """Raise `Refused` unless the bytes do exactly what a checked order asks for, within the fees that are allowed.

    A payment pays every withdrawal once, and whatever else moves stays with the wallet; a cancel pays nobody else,
    not even nothing. What is not ``signed`` yet has no source.
    """
    source = key_of(account.source)
    if key_of(decoded.source) != (source if signed else ""):
        raise _wrong(f"they are signed by {decoded.source or 'nobody'}, and not by {account.source}")
    if decoded.network != account.network:
        raise _wrong(f"they count on the network {decoded.network}, and not on {account.network}")
    if sorted(decoded.claims) != sorted(order.claims):
        raise _wrong(
            f"they take {_list(decoded.claims)}, and the payout has {_list(order.claims)}: it could be paid twice"
        )
    _check_pays(order, decoded, source)
    if decoded.max_fee > order.plan.max_fee:
        raise _wrong(f"they can cost {decoded.max_fee} base units, and the plan says at most {order.plan.max_fee}")
    if decoded.max_fee > caps.fee:
        raise Refused(
            f"this signer pays a fee of at most {caps.fee} base units, and this can cost {decoded.max_fee}",
            fee=decoded.max_fee, most=caps.fee,
        )  # fmt: skip


def _check_pays(order: Order, decoded: Decoded, source: str) -> None:
    paid = Counter((key_of(each.destination), _key(each.contract), each.base_units) for each in decoded.pays)
    wanted = Counter(wanted_of(each) for each in order.withdrawals) if order.kind is Kind.PAY else Counter()
    for destination, contract, base_units in wanted - paid:
        raise _wrong(f"they do not pay {base_units} base units of {contract or 'the coin'} to {destination}")
    for destination, contract, base_units in paid - wanted:
        if destination != source or base_units < 0:
            raise _wrong(
                f"they pay {base_units} base units of {contract or 'the coin'} to {destination}, which nobody asked for"
            )


def wanted_of(withdrawal: Withdrawal) -> tuple[str, str | None, int]:
    """What one withdrawal asks of the chain: to whom, of which contract (None: the coin), how many base units.

    Addresses are in the one spelling of `screening.key_of`.
    """
    request = withdrawal.request
    return key_of(request.destination), _key(request.asset.contract), request.base_units


def _key(contract: str | None) -> str | None:
    return None if contract is None else key_of(contract)


def _wrong(what: str) -> Refused:
    return Refused(f"the bytes are not what was asked for, and are not handed out: {what}")


def _list(claims: Iterable[str]) -> str:
    return ", ".join(sorted(claims)) or "nothing"
