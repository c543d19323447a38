"""wallets.toml: the desk's own wallets."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import msgspec

from cryptosupport.domain.money import Asset
from cryptosupport.settings.reading import Section, convert, is_there, parse
from cryptosupport.settings.values import number


class FloatSettings(Section, frozen=True):
    """How much of an asset a hot wallet should hold, as decimals of the asset."""

    floor: str
    target: str
    ceiling: str
    sweep_to: str


class CapSettings(Section, frozen=True):
    """The most of an asset that the signer of a wallet lets leave by itself, as decimals of the asset."""

    per_transaction: str
    per_hour: str

    def units(self, asset: Asset) -> tuple[int, int]:
        """Both in base units of ``asset``. Raises `ValueError`."""
        assert asset.decimals is not None  # settings name the decimals of every asset
        return tuple(number(each, asset.decimals).at(asset.decimals) for each in (self.per_transaction, self.per_hour))  # type: ignore[return-value]


class WalletSettings(Section, frozen=True):
    """One wallet of wallets.toml."""

    given = ("name",)

    chain: str
    role: str
    name: str = ""
    signer: str | None = None
    address: str | None = None
    descriptor: str | None = None
    birthday: date | None = None
    float: dict[str, FloatSettings] = msgspec.field(default_factory=dict)
    caps: dict[str, CapSettings] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.role not in ("hot", "cold", "deposit"):
            raise ValueError(f"role {self.role!r}: use hot, cold or deposit")


def load_wallets(folder: Path) -> dict[str, WalletSettings]:
    """Read wallets.toml; without the file, no wallets."""
    path = folder / "wallets.toml"
    if not is_there(path):
        return {}
    wallets = {name: convert(path, table, WalletSettings, name) for name, table in parse(path).items()}
    return {name: msgspec.structs.replace(wallet, name=name) for name, wallet in wallets.items()}
