"""A signer that sees files only: a machine without a network, or a device, to which people carry what is to be signed.

What is asked of it is checked here first, and remembered here before it is asked: its signature may be known to others
although it never comes back. What comes back counts by its signatures alone, each of them verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from cryptosupport.domain.errors import Refused, Unsigned
from cryptosupport.domain.freezes import Freeze
from cryptosupport.domain.paying import Order
from cryptosupport.domain.payouts import Kind
from cryptosupport.domain.signing import Account, Caps, Electors, Tools, check_bytes
from cryptosupport.signers.local import LocalSigner
from cryptosupport.signers.papers import Folder
from cryptosupport.signers.store import Store

_NAMED = 3


class Papers(Protocol):
    """What the chain family knows of transactions that are signed elsewhere, as files."""

    def asked(self, text: str) -> tuple[bytes, bytes]:
        """Of a plan's text, the unsigned transaction and what a signer is given. Raises `Refused`."""

    def merged(self, psbt: bytes, content: bytes) -> bytes:
        """The transaction that was asked for with the signatures of a file.

        Raises `Unsigned` where the file is not whole or signatures are missing, `Refused` where it is of anything else.
        """


class PsbtSigner(LocalSigner):
    """Asks over a folder (`domain.paying.Signer`); the rest is as for `LocalSigner`.

    `sign` raises `Unsigned` as long as nothing came back, or not all of it.
    """

    def __init__(
        self, folder: Folder, papers: Papers, account: Account, caps: Caps, electors: Electors, *, tools: Tools,
        store: Store, freezes: Callable[[], Iterable[Freeze]], clock: Callable[[], int],
    ) -> None:  # fmt: skip
        super().__init__(
            account, caps, electors, secret=str, tools=tools, store=store, freezes=freezes, clock=clock, elsewhere=True
        )
        self._folder, self._papers = folder, papers

    def examine(self) -> None:
        """See that it could ask. Raises `BadSettings` where the folder or the store cannot be used, `Unreachable`."""
        self._folder.examine()
        self.high_water()

    def check_key(self) -> None:
        """Nothing is known of the key; what it has signed shows whose it is."""

    def _sign(self, order: Order) -> bytes:
        entry = self._checked(order)
        self._folder.examine()
        unsigned, psbt = self._papers.asked(order.plan.text)
        asked = self._tools.read(unsigned, order.plan.text)
        check_bytes(order, asked, self._account, self._caps, signed=False)
        if not self.signed(asked.txid):
            self._store.keep(replace(entry, txid=asked.txid), self._caps.hour)
        paper = self._folder.paper(order.claims, asked.txid)
        paper.ask(psbt)
        try:
            content = paper.returned()
        except Unsigned as nothing:
            raise Unsigned(f"{_what(order)} waits for a signature: {nothing.message}") from None
        try:
            raw = self._papers.merged(psbt, content)
            check_bytes(order, self._tools.read(raw, order.plan.text), self._account, self._caps)
        except Unsigned as torn:
            raise Unsigned(f"{_what(order)} waits for a signature: {paper.signed}: {torn.message}") from None
        except Refused as refused:
            raise Refused(
                f"{paper.signed} is not used: {refused.message}. {_what(order)} waits for a signature of {paper.path}",
                **refused.facts,
            ) from refused
        paper.used()
        return raw


def _what(order: Order) -> str:
    ids = [each.request.request_id for each in order.withdrawals]
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    named = f"{', '.join(ids[:_NAMED])}{more}"
    return named if order.kind is Kind.PAY else f"the payment to ourselves in the place of {named}"
