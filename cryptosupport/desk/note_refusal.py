"""What was refused goes into the audit log too: a forged word is worth as much to an investigator as one that counted.

A refusal undoes its own transaction, so it is written down in another one.
"""

from __future__ import annotations

from cryptosupport.domain.audit import PROGRAM, Act
from cryptosupport.domain.books import Ledger
from cryptosupport.domain.errors import Edited, SupportError
from cryptosupport.domain.identifiers import shortened

REFUSED = "refused"
"""What the audit log calls a command that was refused."""

_TOLD_AGAIN = 86_400_000
_LONGEST = 500


def note_refusal(ledger: Ledger, command: str, about: str, by: str | None, error: SupportError) -> None:
    """Write down that ``command`` was refused with ``error``.

    ``about`` is the request id or the list that it was of ("" for neither), ``by`` whoever said that it is them, None
    for a program: what cron runs into again and again is told once a day. Raises `Unreachable`, and `Tampered` where
    the log itself takes no more.
    """
    facts: dict[str, str | None] = {name: shortened(str(value)) for name, value in error.facts.items()}
    facts |= {"command": command, "why": _clean(error.message), "exit_code": str(error.exit_code)}
    if isinstance(error, Edited):  # whatever was asked for: it is not what was refused
        about, by = "", None
    act = Act(REFUSED, shortened(about), PROGRAM if by is None else f"{shortened(by)} (unproven)", facts)
    with ledger.act() as records:
        last = records.last_acts(REFUSED, [act.subject]).get(act.subject) if by is None else None
        if last is None or _told(last.act) != _told(act) or records.now - last.at >= _TOLD_AGAIN:
            records.log(act)


def _told(act: Act) -> tuple[str, str | None]:
    return act.who, act.facts["why"]


def _clean(message: str) -> str:
    """The message, so that it fits the log: bytes of a file name that are no UTF-8 become question marks."""
    return message.encode(errors="replace").decode()[:_LONGEST]
