"""Any signer that speaks `eth_signTransaction`: Web3Signer, Clef, a node with accounts.

It signs what it is asked for, or what its own rules let through; so what is asked of it is checked here first, and
remembered here before it is asked: its signature may be known to others although its answer is lost. What comes back is
read by the second decoder, and is refused where it is anything but what was asked.
Source: https://docs.web3signer.consensys.io/reference/api/json-rpc (`eth_accounts`, `eth_signTransaction`), and
https://ethereum.github.io/execution-apis for the shape of a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from cryptosupport.domain.audit import Head
from cryptosupport.domain.errors import Refused, Unsigned
from cryptosupport.domain.freezes import Freeze
from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.paying import Decoded, HighWater, Order
from cryptosupport.domain.screening import key_of
from cryptosupport.domain.signing import Account, Caps, Electors, check_bytes, sign_each
from cryptosupport.signers.local import LocalSigner
from cryptosupport.signers.store import Store


class Words(Protocol):
    """What the chain family knows of a transaction that is signed elsewhere."""

    def asked(self, text: str) -> Mapping[str, object]:
        """A plan's text as `eth_signTransaction` takes it, without `from`. Raises `Refused`."""

    def preview(self, transaction: Mapping[str, object]) -> Decoded:
        """What the bytes of such a transaction would do, not signed yet (no txid, no source). Raises `Refused`."""

    def read(self, raw: bytes) -> Decoded:
        """What signed bytes do. Raises `Refused`."""

    def told(self, raw: bytes) -> Mapping[str, object]:
        """Signed bytes as they would have been asked for, whole, without `from`. Raises `Refused`."""


class Web3Signer:
    """Has ``call`` (method, params) sign for one wallet (`domain.paying.Signer`); the rest is as for `LocalSigner`.

    ``call`` returns the result of JSON-RPC, and raises an error of `domain.errors` where there is none.
    """

    def __init__(
        self, call: Callable[[str, Sequence[object]], object], words: Words, account: Account, caps: Caps,
        electors: Electors, *, store: Store, freezes: Callable[[], Iterable[Freeze]], clock: Callable[[], int],
    ) -> None:  # fmt: skip
        self._words, self._account, self._caps = words, account, caps
        self._local = LocalSigner(
            account, caps, electors, secret=str, tools=Elsewhere(call, words, account.source), store=store,
            freezes=freezes, clock=clock, elsewhere=True,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Web3Signer {self._account.wallet}>"

    def sign(self, order: Order) -> bytes:
        """The signed bytes, remembered. Raises as `LocalSigner.sign` does, and whatever ``call`` raises."""
        preview = self._words.preview(self._words.asked(order.plan.text))
        check_bytes(order, preview, self._account, self._caps, signed=False)
        return self._local.sign(order)

    def check_key(self) -> None:
        """Raise `BadSettings` where it has not the key of the wallet, and whatever ``call`` raises."""
        self._local.check_key()

    def sign_all(self, orders: Sequence[Order]) -> list[bytes | Refused | Unsigned]:
        """The signed bytes of each, asked for one after the other, or why it must not be. Raises as `sign` does."""
        return sign_each(self.sign, orders)

    def signed(self, txid: str) -> bool:
        """Whether it has signed this transaction, whatever a ledger remembers."""
        return self._local.signed(txid)

    def remembered(self, request_ids: Sequence[str]) -> Mapping[str, str]:
        """What it signed for those of these withdrawals that it has signed for, in words, by request id."""
        return self._local.remembered(request_ids)

    def head(self, ledger_id: str) -> Head | None:
        """How far the audit log of a ledger had come when it was told last, None for never."""
        return self._local.head(ledger_id)

    def keep_head(self, ledger_id: str, head: Head) -> None:
        """Remember how far the audit log of a ledger has come."""
        self._local.keep_head(ledger_id, head)

    def high_water(self) -> HighWater:
        """How much was signed for its wallet; each signature is remembered once before and once after it was made."""
        return self._local.high_water()


class Elsewhere:
    """The tools of a key that is elsewhere (`domain.signing.Tools`); there is no secret."""

    def __init__(self, call: Callable[[str, Sequence[object]], object], words: Words, source: str) -> None:
        self._call, self._words, self._source = call, words, source

    def sign(self, text: str, secret: str) -> bytes:
        """The bytes that come back, where they are what was asked for."""
        transaction = self._words.asked(text)
        raw = _bytes(self._call("eth_signTransaction", [{**transaction, "from": self._source}]))
        if not raw:
            raise Refused("what came back from the signer is no transaction")
        asked, read = self._words.preview(transaction), self._words.read(raw)
        if replace(read, txid=asked.txid, source=asked.source) != asked or self._words.told(raw) != transaction:
            raise Refused("what came back from the signer is not the transaction that it was asked to sign")
        return raw

    def read(self, raw: bytes, text: str) -> Decoded:
        """By the second decoder."""
        return self._words.read(raw)

    def address(self, secret: str) -> str:
        """The wallet's own address where the signer has it, else any that it has."""
        accounts = self._call("eth_accounts", [])
        known = [each for each in accounts if isinstance(each, str)] if isinstance(accounts, list) else []
        own = (each for each in known if key_of(each) == key_of(self._source))
        return next(own, shortened(known[0]) if known else "")


def _bytes(answer: object) -> bytes:
    """The signed bytes of an answer: hex, or an object that has it as `raw` (geth, Clef)."""
    raw = answer.get("raw") if isinstance(answer, dict) else answer
    try:
        return bytes.fromhex(raw.removeprefix("0x")) if isinstance(raw, str) else b""
    except ValueError:
        return b""
