"""desk.toml, what stands guard beside the policy: screening, approvals, freezes, and who may see personal data."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from cryptosupport.settings.chains import url_fault
from cryptosupport.settings.reading import Section
from cryptosupport.settings.values import check, file_name, is_reference, micro_usd, milliseconds, nearest, time_span

LONGEST_HOOK = "60s"
FREEZES = ("audit", "screening", "prices", "funds", "unknown")
"""What can freeze the desk by itself (a broken audit log, lists that are too old, prices that are too old), and what
can freeze a wallet (less than is reserved, several payments in a row that nobody can tell of).
"""


class Hook(Section, frozen=True):
    """Somebody who is asked: a program (``command``, run without a shell) or an address (``url``), never both.

    ``header`` refers to the secret that is sent as `Authorization`; a program gets none. ``timeout`` is for one
    question.
    """

    command: tuple[str, ...] | None = None
    url: str | None = None
    timeout: str = "5s"
    header: str | None = None

    def __post_init__(self) -> None:
        if (self.command is None) == (self.url is None):
            raise ValueError('give one of command = ["/path/program", "argument"] and url = "https://..."')
        check("timeout", _hook_time, self.timeout)
        if self.command is not None:
            _check_command(self.command)
            if self.header is not None:
                raise ValueError("header: it goes with a url; a program gets no secret from here")
        if self.url is not None and (fault := url_fault(self.url) or _in_clear(self.url)) is not None:
            raise ValueError(f"url: {fault}")
        check("header", reference, self.header)

    def __repr__(self) -> str:
        """Without the URL, which may be secret."""
        return f"Hook(command={self.command!r}, timeout={self.timeout!r})"

    @property
    def timeout_ms(self) -> int:
        """The timeout in milliseconds."""
        return milliseconds(self.timeout)

    @property
    def program(self) -> Path | None:
        """The program that is run, None where a URL is asked."""
        return None if self.command is None else Path(self.command[0])


class ScreeningSettings(Section, frozen=True):
    """desk.toml [screening]: which lists have to be there and how old they may be, and who is asked beside them.

    ``contracts`` is what becomes of a payment to a contract. An address that is new on a customer's allow list counts
    after ``allowlist_cooling``. ``travel_rule`` is asked about payments above ``travel_rule_above``.
    """

    lists: tuple[str, ...] = ()
    warn_after: str = "24h"
    hold_after: str = "72h"
    provider: Hook | None = None
    contracts: str = "allow"
    allowlist_cooling: str | None = None
    travel_rule_above: str | None = None
    travel_rule: Hook | None = None

    def __post_init__(self) -> None:
        for name in self.lists:
            if not name.isprintable() or not name.strip():
                raise ValueError(f"lists: {name!r} is not a name")
        check("warn_after", time_span, self.warn_after)
        check("hold_after", time_span, self.hold_after)
        if self.warn_after_ms > self.hold_after_ms:
            raise ValueError(f"warn_after {self.warn_after!r}: use at most hold_after, {self.hold_after!r}")
        if self.contracts not in ("allow", "hold"):
            raise ValueError(f"contracts {self.contracts!r}: use allow or hold")
        check("allowlist_cooling", time_span, self.allowlist_cooling)
        check("travel_rule_above", micro_usd, self.travel_rule_above)
        if (self.travel_rule is None) != (self.travel_rule_above is None):
            raise ValueError("travel_rule and travel_rule_above: give both, who is asked and above which value")

    @property
    def warn_after_ms(self) -> int:
        """The age of a list that is warned of, in milliseconds."""
        return milliseconds(self.warn_after)

    @property
    def hold_after_ms(self) -> int:
        """The age of a list that holds what it would have to allow, in milliseconds."""
        return milliseconds(self.hold_after)

    @property
    def allowlist_cooling_ms(self) -> int | None:
        """How long an address cools on an allow list, in milliseconds; None where it counts at once."""
        return None if self.allowlist_cooling is None else milliseconds(self.allowlist_cooling)

    @property
    def travel_rule_above_value(self) -> int | None:
        """The value above which the travel rule counts, in micro-USD."""
        return None if self.travel_rule_above is None else micro_usd(self.travel_rule_above)

    @property
    def programs(self) -> tuple[Path, ...]:
        """The programs that are run: who can write one of them decides what is paid."""
        hooks = [hook for hook in (self.provider, self.travel_rule) if hook is not None]
        return tuple(hook.program for hook in hooks if hook.program is not None)


class ApprovalSettings(Section, frozen=True):
    """desk.toml [approvals].

    A request that nobody approved is expired after ``expire``. A change that loosens something counts only ``lock``
    after it was proposed. A statement has to be handed in within ``fresh`` of being signed.
    """

    expire: str = "24h"
    lock: str = "48h"
    fresh: str = "15m"

    def __post_init__(self) -> None:
        for name in ("expire", "lock", "fresh"):
            check(name, time_span, getattr(self, name))

    @property
    def expire_ms(self) -> int:
        """How long a request waits for approvals, in milliseconds."""
        return milliseconds(self.expire)

    @property
    def lock_ms(self) -> int:
        """How long a loosening change waits, in milliseconds."""
        return milliseconds(self.lock)

    @property
    def fresh_ms(self) -> int:
        """How old a statement may be when it is handed in, in milliseconds."""
        return milliseconds(self.fresh)


class FreezeSettings(Section, frozen=True):
    """desk.toml [freeze]: the file that freezes everything while it is there, and what freezes the desk by itself."""

    file: str = "freeze"
    auto: tuple[str, ...] = FREEZES
    lists_older_than: str = "7d"
    prices_older_than: str = "1h"
    unknown_in_a_row: int = 5

    def __post_init__(self) -> None:
        check("file", file_name, self.file)
        for name in self.auto:
            if name not in FREEZES:
                raise ValueError(f"auto: {name!r} freezes nothing{nearest(name, FREEZES)}")
        check("lists_older_than", time_span, self.lists_older_than)
        check("prices_older_than", time_span, self.prices_older_than)
        if not 2 <= self.unknown_in_a_row <= 1000:
            raise ValueError(f"unknown_in_a_row {self.unknown_in_a_row}: use 2 to 1000")

    def path(self, data: Path) -> Path:
        """The file; a relative one is in the folder ``data``."""
        return data / self.file

    @property
    def lists_older_than_ms(self) -> int:
        """The age of a list that freezes the desk, in milliseconds."""
        return milliseconds(self.lists_older_than)

    @property
    def prices_older_than_ms(self) -> int:
        """The age of prices that freezes the desk, in milliseconds."""
        return milliseconds(self.prices_older_than)


class PrivacySettings(Section, frozen=True):
    """desk.toml [privacy]: the ``key`` that personal data is kept under, and how often an operator may look at it."""

    key: str = "keyring:personal-data"
    reveals_per_hour: int = 20

    def __post_init__(self) -> None:
        check("key", reference, self.key)
        if not 1 <= self.reveals_per_hour <= 10_000:
            raise ValueError(f"reveals_per_hour {self.reveals_per_hour}: use 1 to 10000")


def _hook_time(text: str) -> int:
    if (read := time_span(text)) > milliseconds(LONGEST_HOOK):
        raise ValueError(f"{text!r}: use at most {LONGEST_HOOK}, somebody waits for the answer")
    return read


def _check_command(command: tuple[str, ...]) -> None:
    """Raise `ValueError` for what cannot be run; nothing is looked for on PATH, which is another one under cron."""
    if not command or not command[0].startswith("/"):
        raise ValueError('command: begin with the whole path of the program, as ["/path/program", "argument"]')
    for text in command:
        if "\0" in text:
            raise ValueError("command: it holds a NUL character")
        if is_reference(text):
            raise ValueError("command: a secret on a command line can be read by all; the program has to fetch its own")


def _in_clear(url: str) -> str | None:
    """What is wrong with a URL over which customers' data would leave this machine in clear."""
    if not url.startswith("http://"):
        return None
    host = urlsplit(url).hostname or ""
    try:
        near = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = False
    return None if near else "use https://; http:// only on this machine, as http://127.0.0.1:PORT/"


def reference(text: str) -> str:
    """A reference to a secret as it is. Raises `ValueError`, which does not show what stands there instead."""
    if not is_reference(text) or not text.partition(":")[2].strip():
        raise ValueError("write keyring:NAME or env:NAME, never the secret itself")
    return text
