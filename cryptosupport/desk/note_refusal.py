"""What was refused goes into the audit log too: a forged word is worth as much to an investigator as one that counted.

A refusal undoes its own transaction, so it is written down in another one.
"""

from __future__ import annotations

import re

from cryptosupport.domain.audit import PROGRAM, Act
from cryptosupport.domain.books import Ledger
from cryptosupport.domain.errors import BadList, Edited, SupportError
from cryptosupport.domain.identifiers import shortened, without_secrets

REFUSED = "refused"
"""What the audit log calls a command that was refused."""

_TOLD_AGAIN = 86_400_000
_LONGEST = 500
_QUOTED = re.compile(r'"[^"]*"')


def note_refusal(
    ledger: Ledger, command: str, about: str, by: str | None, error: SupportError, proven: bool = False
) -> None:
    """Write down that ``command`` was refused with ``error``.

    ``about`` is the request id or the list that it was of ("" for neither), ``by`` whoever said that it is them, None
    for a program; ``proven``: a signature showed that. What cron runs into again and again is told once a day. Raises
    `Unreachable`, and `Tampered` where the log itself takes no more.
    """
    facts: dict[str, str | None] = {name: shortened(str(value)) for name, value in error.facts.items()}
    facts |= {"command": command, "why": _clean(error), "exit_code": str(error.exit_code)}
    if isinstance(error, Edited):  # whatever was asked for: it is not what was refused
        about, by = str(error.facts.get("file", "")), None
    who = PROGRAM if by is None else f"operator {by}" if proven else f"{shortened(by)} (unproven)"
    act = Act(REFUSED, shortened(about), who, facts)
    with ledger.act() as records:
        last = records.last_acts(REFUSED, [act.subject]).get(act.subject) if by is None else None
        if last is None or _told(last.act) != _told(act) or not 0 <= records.now - last.at < _TOLD_AGAIN:
            records.log(act)


def _told(act: Act) -> tuple[str, str | None]:
    return act.who, act.facts.get("why")


def _clean(error: SupportError) -> str:
    """The message, so that it fits the log, which never forgets: no secret is in it, nor what stood in a list's file,
    which can be about people. Bytes of a file name that are no UTF-8 become question marks.
    """
    message = without_secrets(error.message.encode(errors="replace").decode())
    return (_QUOTED.sub('"…"', message) if isinstance(error, BadList) else message)[:_LONGEST]
