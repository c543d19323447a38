"""A signer in the same process: the key is fetched when it is needed, and nothing is signed that was not checked.

What happens to an order: it is checked by itself (withdrawals, approvals, freezes, caps), against the store and against
the key; it is signed; what was signed is read by the second decoder and checked against the order; the signature is
remembered; only then are the bytes handed out. A crash between signing and remembering is harmless: the bytes were in
this process only, and went with it. Several orders are remembered by one commit, before the bytes of any are handed
out. A crash between remembering and handing out is a lost answer: the same order is
signed again, and whatever was signed for it before has the same claims, so that at most one of them counts on chain.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from cryptosupport.domain.audit import Head
from cryptosupport.domain.errors import BadSettings, Refused, SupportError, Unsigned
from cryptosupport.domain.freezes import Freeze
from cryptosupport.domain.paying import Decoded, HighWater, Order
from cryptosupport.domain.payouts import Kind
from cryptosupport.domain.screening import key_of
from cryptosupport.domain.signing import (
    Account,
    Caps,
    Electors,
    Tools,
    check_bytes,
    check_order,
    handed_out,
    sign_each,
    totals,
    wanted_of,
)
from cryptosupport.domain.withdrawals import canonical
from cryptosupport.signers.store import Entry, Store

T = TypeVar("T")


class LocalSigner:
    """Holds the key of one wallet (`domain.paying.Signer`); for any thread.

    ``secret`` fetches the key, and is asked only when something is signed; ``freezes`` tells those that count now, and
    ``clock`` milliseconds since 1970. Where the key is really elsewhere (``elsewhere``), and a signature may be known
    before its bytes arrive, it is remembered before it is asked for.
    """

    def __init__(
        self, account: Account, caps: Caps, electors: Electors, *, secret: Callable[[], str], tools: Tools,
        store: Store, freezes: Callable[[], Iterable[Freeze]], clock: Callable[[], int], elsewhere: bool = False,
    ) -> None:  # fmt: skip
        self._account, self._caps, self._electors = account, caps, electors
        self._secret, self._tools, self._store = secret, tools, store
        self._freezes, self._clock, self._elsewhere = freezes, clock, elsewhere
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._account.wallet}>"

    def examine(self) -> None:
        """See that it could sign, before anybody asks. Raises `BadSettings` where the key is not that of the wallet or
        the store cannot be used, `Unreachable` where the store is held by another process.
        """
        self._check_key(self._secret())
        self.high_water()

    def check_key(self) -> None:
        """Raise `BadSettings` where the key is not that of the wallet; one that is not there now is told by `sign`."""
        try:
            secret = self._secret()
        except BadSettings:
            return
        self._check_key(secret)

    def sign(self, order: Order) -> bytes:
        """The signed bytes, remembered.

        Raises `Refused` where it must not, `Frozen` under a freeze, `BadSettings` where the key is not that of the
        wallet or the store cannot be used, `Unreachable` where the store is held by another process.
        """
        with self._lock:
            return self._sign(order)

    def sign_all(self, orders: Sequence[Order]) -> list[bytes | Refused | Unsigned]:
        """The signed bytes of each, or why there are none; all of them are remembered, at once, before any is told.

        Raises as `sign` does what is about no single order: then none is remembered, and none is told.
        """
        if self._elsewhere:  # what is asked for elsewhere is on the disk before it is asked for
            return sign_each(self.sign, orders)
        with self._lock, self._store.together():
            return sign_each(self._sign, orders)

    def _checked(self, order: Order) -> Entry:
        """An order that may be signed as things are, as the store is to keep it. Raises as `sign` does."""
        freezes = self._freezes() if order.kind is Kind.PAY else ()
        check_order(order, self._account, self._caps, self._electors, freezes)
        entry = self._entry(order)
        self._store.check(entry, self._caps.hour)
        return entry

    def _sign(self, order: Order) -> bytes:
        entry = self._checked(order)
        if self._elsewhere:
            self._check_key("")
            self._store.keep(entry, self._caps.hour)
        raw, decoded = self._signed(order)
        check_bytes(order, decoded, self._account, self._caps)
        self._store.keep(replace(entry, txid=decoded.txid), self._caps.hour)
        return raw

    def signed(self, txid: str) -> bool:
        """Whether it has signed this transaction, whatever a ledger remembers."""
        return self._store.signed(self._account.chain, self._account.source, txid)

    def remembered(self, request_ids: Sequence[str]) -> Mapping[str, str]:
        """What it signed for those of these withdrawals that it has signed for, in words, by request id."""
        return self._store.remembered(request_ids)

    def high_water(self) -> HighWater:
        """How much it has signed for its wallet, to be compared with what ledger and chain know."""
        return self._store.high_water(self._account.chain, self._account.source)

    def head(self, ledger_id: str) -> Head | None:
        """How far the audit log of a ledger had come when it was told last, None for never."""
        return self._store.head(ledger_id)

    def keep_head(self, ledger_id: str, head: Head) -> None:
        """Remember how far the audit log of a ledger has come."""
        self._store.keep_head(ledger_id, head, self._clock())

    def _entry(self, order: Order) -> Entry:
        """What the store keeps of an order; the wallet as the signer spells it, and not as the ledger does."""
        return Entry(
            chain=self._account.chain,
            source=self._account.source,
            ledger_id=order.ledger_id,
            claims=order.claims,
            kind=order.kind,
            pays={each.request.request_id: _asked(*wanted_of(each)) for each in order.withdrawals},
            base_units=totals(order),
            handed_out=handed_out(order),
            plan_hash=hashlib.sha256(order.plan.text.encode()).hexdigest(),
            txid="",
            at=self._clock(),
        )

    def _signed(self, order: Order) -> tuple[bytes, Decoded]:
        secret = self._secret()
        self._check_key(secret)
        raw = _without(secret, lambda: self._tools.sign(order.plan.text, secret))
        return raw, _without(secret, lambda: self._tools.read(raw, order.plan.text))

    def _check_key(self, secret: str) -> None:
        address = _without(secret, lambda: self._tools.address(secret))
        if key_of(address) != key_of(self._account.source):
            raise BadSettings(
                f"the key of {self._account.wallet} is that of {address or 'nobody'}, and its address in the settings "
                f"is {self._account.source}"
            )


def _asked(destination: str, contract: str | None, base_units: int) -> str:
    return canonical([destination, contract, str(base_units)]).decode()


def _without(secret: str, work: Callable[[], T]) -> T:
    """Do ``work``, and let nothing of the secret out: errors of libraries can quote what they were given."""
    try:
        return work()
    except SupportError as error:
        bare = secret.strip().lower().removeprefix("0x")
        if not bare:
            raise
        if bare not in f"{error.message} {dict(error.facts)}".lower():
            error.__cause__ = error.__context__ = None  # they may quote it
            raise
        failure: SupportError = Refused("nothing was signed: what the tools of the chain say is not shown")
    except Exception as error:
        failure = Refused(f"nothing was signed: the tools of the chain failed ({type(error).__name__})")
    raise failure  # outside of the handlers: it is not to bring along the error that it stands for
