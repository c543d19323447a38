"""One family of errors; each carries its numbers and its exit code.

    SupportError                1  something unexpected
    |-- BadInput                2  what was typed or piped in cannot be used
    |   |-- NotATxid            2  an address, a cut id, or no id at all
    |   `-- BadList             2  a screening list was cut short, or is none
    |-- Refused                 3  policy, a freeze or the rules for people say no
    |   |-- Frozen              3  a freeze covers it
    |   `-- Tampered            3  the ledger was changed behind this program
    |-- NoSuchRecord            4  asked for something that is not recorded
    |-- InsufficientFunds       5  the wallet cannot pay this
    |-- Unreachable             6  chain or ledger cannot be reached
    |   |-- NodeFailed          6  one node gave no usable answer
    |   `-- NodesFailed         6  no node of a chain gave a usable answer
    |-- OutcomeUnknown          7  it may or may not have happened: kept, never guessed
    |-- BadSettings             8  a settings file is wrong or missing
    |   |-- ClockWentBack       8  the machine's clock is behind what the ledger has recorded
    |   `-- Edited              8  a settings file is not the one that two people signed
    |-- Waits                   9  recorded, waits for a person or for headroom
    |   `-- Unsigned            9  waits for a signature that is made elsewhere
    |-- Locked                 75  another run holds the lock
    `-- Interrupted           130  stopped by the user, after printing what is known

The class docstring is the default message. Commands turn an error into text or JSON and exit with `exit_code`. What is
`audited` may be an attack: it is written into the audit log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar


class SupportError(Exception):
    """Something unexpected happened."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "support_error"
    audited: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(self, message: str = "", **facts: object) -> None:
        self.message = message or (type(self).__doc__ or "").strip().rstrip(".")
        self.facts: Mapping[str, object] = facts
        super().__init__(self.message)


class BadInput(SupportError):
    """What was given cannot be used."""

    exit_code = 2


class NotATxid(BadInput):
    """This is not a transaction id."""


class BadList(BadInput):
    """This file cannot be used as a screening list."""

    audited = True


class Refused(SupportError):
    """Refused by policy, by a freeze, or by the rules for people."""

    exit_code = 3
    audited = True


class Frozen(Refused):
    """A freeze covers it."""


class Tampered(Refused):
    """The ledger was changed behind this program."""


class NoSuchRecord(SupportError):
    """There is no such record."""

    exit_code = 4


class InsufficientFunds(SupportError):
    """The wallet does not hold enough."""

    exit_code = 5


class Unreachable(SupportError):
    """The chain or the ledger cannot be reached."""

    exit_code = 6


class NodeFailed(Unreachable):
    """A node gave no usable answer.

    `node` is its masked name (never a URL with a key), `reason` one word for programs: `unreachable`, `timeout`,
    `unauthorized`, `rate_limited`, `busy`, `bad_answer`, `too_large`, `not_synced`, `wrong_chain`.
    """

    def __init__(self, node: str, reason: str, message: str) -> None:
        super().__init__(f"{node}: {message}", node=node, reason=reason)
        self.node = node
        self.reason = reason


class NodesFailed(Unreachable):
    """No node of the chain gave a usable answer. `failures` holds what each one said."""

    def __init__(self, chain: str, failures: tuple[NodeFailed, ...]) -> None:
        said = "; ".join(failure.message for failure in failures) or "no endpoint may be asked"
        super().__init__(f"{chain}: {said}", chain=chain, nodes=[failure.node for failure in failures])
        self.chain = chain
        self.failures = failures


class OutcomeUnknown(SupportError):
    """It may or may not have happened; nothing was guessed."""

    exit_code = 7


class BadSettings(SupportError):
    """The settings cannot be used."""

    exit_code = 8


class ClockWentBack(BadSettings):
    """The clock shows a time before that of an earlier decision."""


class Edited(BadSettings):
    """A settings file is not the one that two people signed."""

    audited = True


class Waits(SupportError):
    """Recorded; it waits."""

    exit_code = 9


class Unsigned(Waits):
    """It waits for a signature that is made elsewhere."""


class Locked(SupportError):
    """Another run holds the lock."""

    exit_code = 75


class Interrupted(SupportError):
    """Interrupted; what was known is printed above."""

    exit_code = 130
