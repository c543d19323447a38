"""desk.toml: the desk itself, its ledger, what requests have to show, and the prices that it counts with.

What stands guard beside the policy has its sections in `guards`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cryptosupport.domain.money import Quantity
from cryptosupport.settings.guards import ApprovalSettings, FreezeSettings, PrivacySettings, ScreeningSettings
from cryptosupport.settings.hooks import EventHook, check_names
from cryptosupport.settings.paying import BatchSettings, BumpSettings
from cryptosupport.settings.reading import Section, is_there, read
from cryptosupport.settings.values import (
    check,
    file_name,
    is_reference,
    micro_usd,
    milliseconds,
    percent,
    time_span,
    timezone,
)

if TYPE_CHECKING:
    from cryptosupport.domain.prices import PriceRules

_PUBLIC_KEY = re.compile(r"ssh-ed25519 AAAA[A-Za-z0-9+/]+=*( [^\n]*)?|[0-9a-fA-F]{64}")


class LedgerSettings(Section, frozen=True):
    """desk.toml [ledger]."""

    url: str = "sqlite:///cryptosupport.db"


class DeskIdentity(Section, frozen=True):
    """desk.toml [desk]."""

    name: str = "the desk"
    timezone: str = "UTC"
    locales: tuple[str, ...] = ("en",)
    links: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.locales:
            raise ValueError("locales: name at least one, such as en")
        check("timezone", timezone, self.timezone)


class IntakeSettings(Section, frozen=True):
    """desk.toml [intake]: what requests have to show.

    ``keys`` are the public keys that may sign requests, by name. ``balances`` is a file of what customers own, no older
    than ``balances_max_age``. ``run_cap`` is the most that one run of `withdraw submit` may bring in; a withdrawal that
    is not through after ``overdue`` is overdue.
    """

    require_signature: bool = False
    keys: dict[str, str] = msgspec.field(default_factory=dict)
    balances: str | None = None
    balances_max_age: str = "15m"
    run_cap: str | None = None
    overdue: str = "24h"

    def __post_init__(self) -> None:
        if self.require_signature and not self.keys:
            raise ValueError('require_signature: name who may sign, as keys = { NAME = "ssh-ed25519 AAAA..." }')
        for name, key in self.keys.items():
            if not name.isprintable() or not name.strip():
                raise ValueError(f"keys: {name!r} is not a name")
            if not is_reference(key) and _PUBLIC_KEY.fullmatch(key) is None:
                raise ValueError(f"keys.{name}: write ssh-ed25519 AAAA... or the 64 hexadecimal digits of the key")
        check("balances", file_name, self.balances)
        check("balances_max_age", time_span, self.balances_max_age)
        check("run_cap", micro_usd, self.run_cap)
        check("overdue", time_span, self.overdue)

    def balances_file(self, folder: Path) -> Path | None:
        """The file of balances; a relative one is in the settings ``folder``."""
        return None if self.balances is None else folder / self.balances

    @property
    def run_cap_value(self) -> int | None:
        """The cap of a run in micro-USD."""
        return None if self.run_cap is None else micro_usd(self.run_cap)


class PriceSettings(Section, frozen=True):
    """desk.toml [prices]: where prices come from, and when they count."""

    files: tuple[str, ...] = ()
    min_sources: int = 1
    max_age: str = "15m"
    max_spread: str = "5%"
    max_move: str = "20%"
    usd_stablecoins: tuple[str, ...] = ("USDT", "USDC", "DAI")

    def __post_init__(self) -> None:
        for name in self.files:
            check("files", file_name, name)
        check("max_age", time_span, self.max_age)
        check("max_spread", percent, self.max_spread)
        check("max_move", percent, self.max_move)
        if self.min_sources < 1:
            raise ValueError("min_sources: use 1 or more")

    def paths(self, folder: Path) -> tuple[Path, ...]:
        """The price files; a relative one is in the settings ``folder``."""
        return tuple(folder / name for name in self.files)

    @property
    def rules(self) -> PriceRules:
        """When quotes make a price."""
        from cryptosupport.domain.prices import PriceRules

        return PriceRules(
            self.min_sources,
            milliseconds(self.max_age),
            percent(self.max_spread),
            percent(self.max_move),
            frozenset(self.usd_stablecoins),
        )


class ShareSettings(Section, frozen=True):
    """desk.toml [share]: how much of an asset may be hot, of all that the desk has; ``assets`` by symbol."""

    hot: str | None = None
    assets: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        check("hot", percent, self.hot)
        for symbol, text in self.assets.items():
            check(f"assets.{symbol}", percent, text)

    def limit(self, symbol: str) -> Quantity | None:
        """The most of an asset that may be hot, in percent; None without a limit."""
        text = self.assets.get(symbol, self.hot)
        return None if text is None else percent(text)


class KeySettings(Section, frozen=True):
    """desk.toml [keys]."""

    allow_backends: tuple[str, ...] = ()


class DeskSettings(Section, frozen=True):
    """desk.toml."""

    ledger: LedgerSettings = LedgerSettings()
    desk: DeskIdentity = DeskIdentity()
    intake: IntakeSettings = IntakeSettings()
    prices: PriceSettings = PriceSettings()
    keys: KeySettings = KeySettings()
    screening: ScreeningSettings = ScreeningSettings()
    approvals: ApprovalSettings = ApprovalSettings()
    freeze: FreezeSettings = FreezeSettings()
    privacy: PrivacySettings = PrivacySettings()
    bump: BumpSettings = BumpSettings()
    batch: BatchSettings = BatchSettings()
    share: ShareSettings = ShareSettings()
    hooks: dict[str, EventHook] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_names(self.hooks)

    @property
    def programs(self) -> tuple[Path, ...]:
        """The programs that are run: who can write one of them runs what they like as this desk."""
        told = [hook.program for hook in self.hooks.values() if hook.program is not None]
        return (*self.screening.programs, *told)


def load_desk(folder: Path) -> DeskSettings:
    """Read desk.toml; without the file, its defaults."""
    return read(folder / "desk.toml", DeskSettings) if is_there(folder / "desk.toml") else DeskSettings()
