"""Withdrawals and decisions as rows, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec
from sqlalchemy import Row, Select, and_, select

from cryptosupport.domain.errors import Tampered
from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.money import Asset, Quantity
from cryptosupport.domain.personal import Box, Sealed, opened, place
from cryptosupport.domain.policy.decision import Decision, Outcome, Voice
from cryptosupport.domain.policy.rules import Booking
from cryptosupport.domain.withdrawals import Beneficiary, Request, Signature, State, Verification, Withdrawal
from cryptosupport.ledger import tables
from cryptosupport.ledger.personal import CLEARLY, Keep, as_clear, kept, read

T = TypeVar("T")
Values: TypeAlias = dict[str, Any]

_VOICES = msgspec.json.Decoder(list[tuple[str, str, str, int]])
_PRICES = msgspec.json.Decoder(tuple[tuple[str, str], ...])
_WAIVED = _PRICES
_BENEFICIARY = msgspec.json.Decoder(Beneficiary)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def values_of(withdrawal: Withdrawal, keep: Keep = as_clear) -> Values:
    """The row of table `withdrawal`; ``keep`` says how personal data is kept."""
    request = withdrawal.request
    signature = request.signature
    return {
        "id": withdrawal.id,
        "request_id": request.request_id,
        "customer": request.customer,
        "asset": request.asset.symbol,
        "contract": request.asset.contract,
        "decimals": request.asset.decimals,
        "chain": request.chain,
        "base_units": request.base_units,
        "destination": request.destination,
        "memo": request.memo,
        "tier": request.tier,
        "country": request.country,
        "verification": None if request.verification is None else _json(request.verification),
        "signature_key": None if signature is None else signature.key,
        "signature": None if signature is None else signature.value,
        "source": withdrawal.source,
        "maker": withdrawal.maker,
        "proven": withdrawal.proven,
        "created_at": withdrawal.created_at,
        **_personal_of(request, keep),
    } | changing_values_of(withdrawal)


def _personal_of(request: Request, keep: Keep) -> Values:
    """The columns with personal data."""

    def column(name: str, value: object, text: Callable[[], str]) -> str | None:
        return kept(value, lambda: keep(text(), place(f"withdrawal.{name}", request.request_id)))

    note, to, signed = request.note, request.beneficiary, None if request.signature is None else request.signed
    bytes_kept = column("signed", signed, lambda: opened(request.signed).decode())
    return {
        "note": column("note", note, lambda: opened(note) or ""),
        "beneficiary": column("beneficiary", to, lambda: _json(opened(to))),
        "signed": None if bytes_kept is None else bytes_kept.encode(),
    }


def changing_values_of(withdrawal: Withdrawal) -> Values:
    """The columns of table `withdrawal` that a decision, a cancel or paying changes."""
    return {
        "state": withdrawal.state.value,
        "effective_tier": withdrawal.effective_tier,
        "wallet": withdrawal.wallet,
        "fee_units": withdrawal.fee_units,
        "fee_value": withdrawal.fee_value,
        "value": withdrawal.value,
        "booked_at": withdrawal.booked_at,
        "unbooked": " ".join(withdrawal.unbooked) or None,
        "turn": withdrawal.turn,
        "ended_by": withdrawal.ended_by,
        "waived": _json(withdrawal.waived) if withdrawal.waived else None,
        "expires_at": withdrawal.expires_at,
        "txid": withdrawal.txid,
        "vout": withdrawal.vout,
        "nonce": withdrawal.nonce,
        "updated_at": withdrawal.updated_at,
    }


def values_of_decision(withdrawal: Withdrawal) -> Values:
    """The row of table `decision` for the withdrawal's last one."""
    decision = withdrawal.decision
    return {
        "withdrawal_id": withdrawal.id,
        "turn": withdrawal.turn,
        "at": decision.at,
        "outcome": decision.outcome.value,
        "voices": _json([(voice.rule, voice.outcome, voice.reason, voice.approvals) for voice in decision.voices]),
        "policy": decision.policy,
        "value": decision.value,
        "prices": _json(decision.prices) if decision.prices else None,
    }


_W, _D = tables.withdrawal.c, tables.decision.c

SELECT: Select[Any] = select(
    *tables.withdrawal.c,
    *(_D[name].label(f"decision_{name}") for name in ("at", "outcome", "voices", "policy", "value", "prices")),
).join(tables.decision, and_(_D.withdrawal_id == _W.id, _D.turn == _W.turn))
"""Withdrawals with their last decision, for `withdrawal_of`."""


UNREADABLE: tuple[type[Exception], ...] = (
    *(ValueError, TypeError, KeyError, AttributeError, ArithmeticError, AssertionError, RecursionError),
    msgspec.MsgspecError,
)
"""What a row that this program did not write makes of its reading."""


def withdrawal_of(row: Row[Any], box: Box = CLEARLY) -> Withdrawal:
    """The withdrawal of a row of `SELECT`; what is sealed in it, ``box`` opens when somebody looks inside.

    Raises `Tampered` for a row that this program cannot have written.
    """
    try:
        return _withdrawal_of(row._mapping, box)
    except UNREADABLE as error:
        name = str(row._mapping["request_id"])
        raise Tampered(
            f"{shortened(name)} was changed in the database behind this program: its row cannot be read; pay nothing, "
            "run `cryptosupport audit verify` and find out who did it",
            request_id=name,
        ) from error


def _withdrawal_of(it: Mapping[Any, Any], box: Box) -> Withdrawal:
    if not all(it[name] is None or isinstance(it[name], int) for name in _NUMBERS):
        raise ValueError("SQLite lets anybody put a text where a number has to be")
    signed = it["signature_key"] is not None
    request = Request(
        request_id=it["request_id"],
        customer=it["customer"],
        asset=Asset(it["asset"], it["decimals"], it["contract"]),
        chain=it["chain"],
        base_units=it["base_units"],
        destination=it["destination"],
        memo=it["memo"],
        tier=it["tier"],
        country=it["country"],
        verification=_optional(it["verification"], Verification),
        beneficiary=None if it["beneficiary"] is None else _personal(it, "beneficiary", box, _BENEFICIARY.decode),
        note=None if it["note"] is None else _personal(it, "note", box, bytes.decode),
        signature=Signature(it["signature_key"], it["signature"]) if signed else None,
        signed=_personal(it, "signed", box, bytes) if signed else b"",
    )
    unbooked = tuple((it["unbooked"] or "").split())
    decision = decision_of({name: it[f"decision_{name}"] for name in _DECIDED}, it["booked_at"] is not None, unbooked)
    return Withdrawal(
        id=it["id"],
        request=request,
        state=State(it["state"]),
        decision=decision,
        unbooked=unbooked,
        waived=_WAIVED.decode(it["waived"]) if it["waived"] else (),
        **{name: it[name] for name in _PLAIN},
    )


_NUMBERS = (
    *("id", "decimals", "booked_at", "created_at", "updated_at", "turn", "expires_at", "vout", "nonce"),
    "decision_at",
)
_DECIDED = ("at", "outcome", "voices", "policy", "value", "prices")
_PLAIN = (
    *("source", "maker", "effective_tier", "wallet", "fee_units", "fee_value", "value", "booked_at"),
    *("created_at", "updated_at", "turn", "ended_by", "proven", "expires_at", "txid", "vout", "nonce"),
)


def decision_of(it: Mapping[Any, Any], booked: bool = True, unbooked: tuple[str, ...] = ()) -> Decision:
    """The decision of a row; ``booked`` and ``unbooked`` are known of the last one only."""
    spoken = _VOICES.decode(it["voices"])
    voices = tuple(Voice(name, Outcome(outcome), reason, count) for name, outcome, reason, count in spoken)
    prices = _PRICES.decode(it["prices"]) if it["prices"] else ()
    return Decision(Outcome(it["outcome"]), voices, it["policy"], it["at"], booked, unbooked, it["value"], prices)


def _personal(it: Mapping[Any, Any], name: str, box: Box, reader: Callable[[bytes], T]) -> T | Sealed[T]:
    return read(it[name], lambda: place(f"withdrawal.{name}", it["request_id"]), box, reader)


def _optional(text: str | None, kind: type[Any]) -> Any:
    return None if text is None else msgspec.json.decode(text, type=kind)


BOOKED: Select[Any] = select(
    *(_W[name] for name in ("customer", "effective_tier", "country", "asset", "chain", "wallet")),
    *(_W[name] for name in ("destination", "source")),
    *(_W[name] for name in ("base_units", "decimals", "value", "fee_units", "fee_value")),
    *(_W[name] for name in ("booked_at", "unbooked", "state")),
)
"""What windows need of a withdrawal, for `booking_of`."""


def booking_of(row: Row[Any]) -> Booking:
    """How windows count the withdrawal of a row of `BOOKED`."""
    (customer, tier, country, asset, chain, wallet, destination, source, base_units, decimals, value, *rest) = row
    amount, fee, fee_value = Quantity(base_units, decimals), Quantity(rest[0], decimals), rest[1]
    return Booking(customer, tier, country, asset, chain, wallet, destination, source, amount, value, fee, fee_value)
