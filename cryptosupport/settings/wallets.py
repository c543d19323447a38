"""wallets.toml: the desk's own wallets."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import msgspec

from cryptosupport.domain.money import Asset
from cryptosupport.settings.chains import clear_fault, url_fault
from cryptosupport.settings.reading import Section, convert, is_there, parse
from cryptosupport.settings.values import check, is_reference, number, reference

WEB3SIGNER = "web3signer:"
"""What stands before the URL of a signer that speaks `eth_signTransaction`."""

_SOCKET = "socket:"


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
    """One wallet of wallets.toml.

    ``signer`` says where its key is, ``signer_header`` refers to the secret that a signer of its own is sent as
    `Authorization`.
    """

    given = ("name",)

    chain: str
    role: str
    name: str = ""
    signer: str | None = None
    signer_header: str | None = None
    address: str | None = None
    descriptor: str | None = None
    birthday: date | None = None
    float: dict[str, FloatSettings] = msgspec.field(default_factory=dict)
    caps: dict[str, CapSettings] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.role not in ("hot", "cold", "deposit"):
            raise ValueError(f"role {self.role!r}: use hot, cold or deposit")
        check("signer", _signer, self.signer)
        check("signer_header", reference, self.signer_header)
        if self.signer_header is not None and self.signer_url is None:
            raise ValueError(f'signer_header: it goes with signer = "{WEB3SIGNER}https://HOST:PORT"')

    @property
    def signer_url(self) -> str | None:
        """Where a signer that speaks `eth_signTransaction` is asked, None where the key is somewhere else."""
        is_url = self.signer is not None and self.signer.startswith(WEB3SIGNER)
        return self.signer.removeprefix(WEB3SIGNER) if is_url and self.signer is not None else None


def _signer(text: str) -> str:
    """Where a key is, as it is. Raises `ValueError`, which does not show it: somebody may have written the key."""
    if text.startswith(WEB3SIGNER):
        url = text.removeprefix(WEB3SIGNER)
        if is_reference(url) or "@" in url:
            raise ValueError("write the URL out, without user and password: signer_header refers to what it wants")
        if (fault := url_fault(url) or clear_fault(url)) is not None:
            raise ValueError(fault)
    elif not is_reference(text) and not text.startswith(_SOCKET):
        raise ValueError(f"write keyring:NAME, env:NAME, {_SOCKET}/PATH or {WEB3SIGNER}URL, never the key itself")
    return text


def load_wallets(folder: Path) -> dict[str, WalletSettings]:
    """Read wallets.toml; without the file, no wallets."""
    path = folder / "wallets.toml"
    if not is_there(path):
        return {}
    wallets = {name: convert(path, table, WalletSettings, name) for name, table in parse(path).items()}
    return {name: msgspec.structs.replace(wallet, name=name) for name, wallet in wallets.items()}
