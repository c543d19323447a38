"""Withdrawals as commands print them: a table, and for one the sentence, the reasons, the facts and every rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cryptosupport.commands import output as out
from cryptosupport.context import Context
from cryptosupport.domain.errors import Locked
from cryptosupport.domain.withdrawals import State

COLUMNS = ("request_id", "customer", "amount", "asset", "chain", "destination", "state", "why")
PERSONAL = ("note", "beneficiary", "notes")
EXPLAINING = ("country", "source", "maker", "ended_by", *PERSONAL, "masked", "booked", "decisions", "payouts", "silent")
REVEALED = tuple(f"personal.{name}" for name in PERSONAL)

_STOPPED = {State.REJECTED, State.HELD, State.WAITING, State.AWAITING_APPROVAL}


def show(
    output: str,
    records: Iterable[out.Record],
    single: bool = False,
    further: Sequence[str] = (),
    detail: Callable[[out.Record], str] | None = None,
    columns: Sequence[str] = COLUMNS,
) -> None:
    """Print withdrawals; ``further`` fields stand at the end of their records."""
    from cryptosupport.domain.withdrawal_record import FIELDS

    if output == "table":
        records = ({**record, "why": _why(record)} for record in records)
    out.show(output, records, columns=columns, fields=(*FIELDS, *further), single=single, detail=detail or _text)


@contextmanager
def unless_locked(context: Context, fail: bool) -> Iterator[None]:
    """Leave to another run what it is at, unless that is to ``fail``."""
    try:
        yield
    except Locked as locked:
        if fail:
            raise
        context.note(locked.message)


def _why(record: out.Record) -> str:
    """Why it is not allowed: what the strictest rule says, or what is wrong with the line."""
    if (error := record.get("error")) is not None:
        where = f"line {record['line']}" if "line" in record else record["input"]
        return f"{where}: {error['message']}"
    return next(iter(_reasons(record)), "")


def _reasons(record: out.Record) -> list[str]:
    """What the strictest rules say of one that they keep from going on."""
    decision = record["decision"]
    if record["state"] not in _STOPPED:
        return []
    if record["state"] == State.REJECTED and decision["outcome"] != "deny":
        return ["an operator rejected it (`cryptosupport withdraw explain` says who)"]
    strictest = (rule for rule in decision["rules"] if rule["outcome"] == decision["outcome"])
    return [f"{rule['reason']} ({rule['name']})" for rule in strictest]


def text_of(dry_run: bool) -> Callable[[out.Record], str]:
    """What a person reads of one; in a dry run it says "would be"."""
    return lambda record: _text(record, "Would be {}: " if dry_run else "{}: ")


def _text(record: out.Record, begins: str = "{}: ") -> str:
    """The sentence and the reasons first, then the facts that there are, then every rule."""
    from cryptosupport.domain.addresses import in_fours

    decision, destination = record["decision"], record["destination"]
    state = record["state"].replace("_", " ")
    what = f"{record['amount']} {record['asset']} on {record['chain']} to {destination} for {record['customer']}."
    sentence = begins.format(state)
    said = [sentence[0].upper() + sentence[1:] + what, *(f"{reason}." for reason in _reasons(record))]
    if record.get("repeated"):
        said.append(f"It was recorded before, at {record['created_at']}; nothing was changed.")
    prices = ", ".join(f"{symbol} {usd}" for symbol, usd in decision["prices"].items())
    lines = [
        ("request_id", record["request_id"]),
        ("customer", record["customer"]),
        ("tier", record["tier"]),
        ("amount", f"{record['amount']} {record['asset']} ({record['base_units']} base units)"),
        ("value", decision["value_usd"] and f"{decision['value_usd']} USD, at {prices or 'prices of before'}"),
        ("chain", record["chain"]),
        ("destination", destination),
        ("", in_fours(destination)),
        ("memo", record["memo"]),
        ("state", state),
        ("wallet", record["wallet"]),
        ("txid", record["txid"]),
        ("fee", record["fee"] and _money(record["fee"])),
        ("recorded", record["created_at"]),
        ("changed", record["updated_at"] if record["updated_at"] != record["created_at"] else None),
        ("policy", decision["policy"]),
        *_personal(record.get("personal", {})),
    ]
    first = "".join(f"{out.printable(line)}\n" for line in said)
    return f"{first}\n{out.aligned(lines)}\nrules\n{_rules(decision)}"


def _personal(record: out.Record) -> list[tuple[str, Any]]:
    """What is personal, or its masks."""
    to = record.get("beneficiary")
    if isinstance(to, Mapping):
        own = "their own wallet" if to["self_hosted"] else None
        to = ", ".join(filter(None, (to["name"], to["provider"], own, to["proof"])))
    notes = [(each["kind"], f"{each['text']} ({each['who']}, {each['at']})") for each in record.get("notes", ())]
    return [("note", record.get("note")), ("beneficiary", to), *notes]


def _rules(decision: out.Record) -> str:
    return out.aligned((f"  {rule['outcome']}", f"{rule['name']}: {rule['reason']}") for rule in decision["rules"])


def explained(record: out.Record) -> str:
    """All that is known of it, its decisions one after another, and the rules that do not speak of it."""
    *earlier, _ = record["decisions"]
    booked, silent = record["booked"], record["silent"]
    facts = [
        ("country", record["country"]),
        ("came by", record["source"]),
        ("brought by", record["maker"]),
        ("cancelled by", record["ended_by"]),
        *([] if "personal" in record else _personal(record)),
        ("counts in limits", _counts(record, booked) if booked else "no"),
    ]
    parts = [_text(record), out.aligned(facts)]
    parts += [f"decided before, at {turn['at']}: {turn['outcome']}\n{_rules(turn)}" for turn in reversed(earlier)]
    parts += [_payout(each) for each in record["payouts"]]
    if silent:
        reasons = out.aligned((f"  {rule['name']}", rule["reason"]) for rule in silent)
        parts.append(f"rules that speak of others\n{reasons}")
    return "\n".join(parts)


def shown(record: out.Record) -> str:
    """What a person reads of one, and every attempt to pay it."""
    return "\n".join([_text(record), *(_payout(each) for each in record["payouts"])])


def _payout(payout: out.Record) -> str:
    """A payout, then what was signed when, for at most how much, and what the nodes said of it."""
    where = f", in block {payout['height']} ({payout['block_hash']})" if payout["height"] is not None else ""
    cost = f", for a fee of {_money(payout['fee'])}" if payout["fee"] else ""
    head = f"payout {payout['payout']} of {payout['wallet']} at {', '.join(payout['claims'])}: {payout['step']}"
    lines = [
        (f"  {each['kind']} {each['number']}" if place == 0 else "", line)
        for each in payout["attempts"]
        for place, line in enumerate(_attempt(each))
    ]
    return f"{head}{where}{cost}\n{out.aligned(lines)}"


def _attempt(attempt: out.Record) -> Iterator[str]:
    yield f"{attempt['txid'] or 'not signed'}{', which counts' if attempt['counts'] else ''}"
    signed = f"signed {attempt['signed_at']}" if attempt["signed_at"] else f"made {attempt['made_at']}"
    times = "once" if attempt["sent"] == 1 else f"{attempt['sent']} times, last"
    sent = f"sent {times} {attempt['sent_at']}" if attempt["sent"] else "not sent"
    yield f"{signed}, {sent}; a fee of at most {_money(attempt['max_fee'])}"
    if attempt["said"]:
        yield f"the nodes said last: {attempt['said']}"


def _money(fee: out.Record) -> str:
    return f"{fee['amount']} {fee['asset']}" if fee["asset"] else f"{fee['base_units']} base units"


def _counts(record: out.Record, booked: out.Record) -> str:
    """What counts of it, as what, since when, and where it does not."""
    value = f" or {booked['value_usd']} USD" if booked["value_usd"] is not None else ""
    fee = f", and up to {booked['fee_usd']} USD for the fee" if booked["fee_usd"] != "0" else ""
    waits = " while it waits" if booked["waits"] else ""
    but = f"; not in {', '.join(booked['not_in'])}" if booked["not_in"] else ""
    return f"{booked['amount']} {record['asset']}{value}{fee}{waits}, since {booked['since']}{but}"
