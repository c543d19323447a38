"""wallets.toml: the desk's own wallets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import msgspec

from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.money import Asset
from cryptosupport.domain.sweeps import PER_MILLION, Bounds
from cryptosupport.settings.chains import ChainSettings, clear_fault, load_chain, url_fault
from cryptosupport.settings.reading import Section, convert, is_there, parse
from cryptosupport.settings.values import check, is_reference, milliseconds, number, percent, reference

WEB3SIGNER = "web3signer:"
"""What stands before the URL of a signer that speaks `eth_signTransaction`."""

PSBT = "psbt:"
"""What stands before the folder over which a signer elsewhere is given PSBTs."""

_SOCKET = "socket:"

FEES_KEPT = 10
"""So many of the dearest payments a wallet can pay for, whatever is swept."""

_PERCENT_DECIMALS = 4


class FloatSettings(Section, frozen=True):
    """How much of an asset a hot wallet should hold, as decimals of the asset, and how its surplus is swept.

    One sweep moves from ``min_sweep`` to ``max_sweep``, costs at most ``max_fee_ratio`` of what it moves, and waits for
    ``cooldown`` after the one before. The first one to a place moves ``test_sweep``; unless that is said, a hundredth
    of the target. ``fee_reserve`` is kept for fees to come; unless that is said, of the coin what `FEES_KEPT` of the
    dearest payments cost.
    """

    floor: str
    target: str
    ceiling: str
    sweep_to: str
    min_sweep: str = "0"
    max_sweep: str | None = None
    test_sweep: str | None = None
    max_fee_ratio: str = "1%"
    fee_reserve: str | None = None
    cooldown: str = "1h"

    def __post_init__(self) -> None:
        check("max_fee_ratio", _millionths, self.max_fee_ratio)
        if milliseconds(self.cooldown) > milliseconds("30d"):
            raise ValueError("cooldown: use at most 30d")

    def bounds(self, asset: Asset) -> Bounds:
        """The same in base units of ``asset``. Raises `ValueError` naming the key of what is wrong."""
        floor, target, ceiling, least = (self._units(key, asset) for key in ("floor", "target", "ceiling", "min_sweep"))
        most = None if self.max_sweep is None else self._units("max_sweep", asset)
        if not floor <= target <= ceiling:
            told = f"floor {self.floor}, target {self.target} and ceiling {self.ceiling}"
            raise ValueError(f"{told} have to rise in this order")
        if most is not None and most < max(least, 1):
            raise ValueError(f"max_sweep {self.max_sweep}: it has to be above zero, and at least min_sweep")
        return Bounds(floor, target, ceiling, least, most, _millionths(self.max_fee_ratio))

    def test(self, asset: Asset) -> int:
        """What the first sweep to a place moves, fees included, in base units. Raises `ValueError`."""
        units = self._units("target", asset) // 100 if self.test_sweep is None else self._units("test_sweep", asset)
        return max(units, 1)

    def kept_for_fees(self, asset: Asset, max_fee: int) -> int:
        """What is kept for fees, in base units, on a chain where a payment costs ``max_fee`` at most. Raises
        `ValueError`.
        """
        if self.fee_reserve is None:
            return FEES_KEPT * max_fee if asset.contract is None else 0
        return self._units("fee_reserve", asset)

    def _units(self, key: str, asset: Asset) -> int:
        assert asset.decimals is not None  # settings name the decimals of every asset
        try:
            return number(getattr(self, key), asset.decimals).at(asset.decimals)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error


def _millionths(text: str) -> int:
    """Read "0.5%" as 5,000 millionths. Raises `ValueError`."""
    read = percent(text)
    if read.decimals > _PERCENT_DECIMALS or read.at(_PERCENT_DECIMALS) > PER_MILLION:
        raise ValueError(f"{text!r}: use 0% to 100%, with at most {_PERCENT_DECIMALS} decimals")
    return read.at(_PERCENT_DECIMALS)


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
    def known_by(self) -> str | None:
        """What it is known by on its chain: its address, or its public descriptor; None where it has neither."""
        return self.address or self.descriptor

    @property
    def signer_url(self) -> str | None:
        """Where a signer that speaks `eth_signTransaction` is asked, None where the key is somewhere else."""
        is_url = self.signer is not None and self.signer.startswith(WEB3SIGNER)
        return self.signer.removeprefix(WEB3SIGNER) if is_url and self.signer is not None else None

    @property
    def psbt_folder(self) -> Path | None:
        """The folder over which a signer elsewhere is given files, None where the key is somewhere else."""
        is_folder = self.signer is not None and self.signer.startswith(PSBT)
        return Path(self.signer.removeprefix(PSBT)) if is_folder and self.signer is not None else None


def _signer(text: str) -> str:
    """Where a key is, as it is. Raises `ValueError`, which does not show it: somebody may have written the key."""
    if text.startswith(WEB3SIGNER):
        url = text.removeprefix(WEB3SIGNER)
        if is_reference(url) or "@" in url:
            raise ValueError("write the URL out, without user and password: signer_header refers to what it wants")
        if (fault := url_fault(url) or clear_fault(url)) is not None:
            raise ValueError(fault)
    elif text.startswith(PSBT):
        if not text.removeprefix(PSBT).startswith("/") or "\0" in text:
            raise ValueError(f"write the whole path of the folder, as {PSBT}/srv/psbt")
    elif not is_reference(text) and not text.startswith(_SOCKET):
        raise ValueError(
            f"write keyring:NAME, env:NAME, {_SOCKET}/PATH, {PSBT}/FOLDER or {WEB3SIGNER}URL, never the key itself"
        )
    return text


def load_wallets(folder: Path, whole: bool = True) -> dict[str, WalletSettings]:
    """Read wallets.toml; without the file, no wallets.

    Raises `BadSettings`; where it is ``whole``, for an amount that its chain has no such asset for, too.
    """
    path = folder / "wallets.toml"
    if not is_there(path):
        return {}
    read = {name: convert(path, table, WalletSettings, name) for name, table in parse(path).items()}
    wallets = {name: msgspec.structs.replace(wallet, name=name) for name, wallet in read.items()}
    for wallet in wallets.values():
        if whole and (wallet.float or wallet.caps) and (settings := _chain_of(folder, wallet)) is not None:
            for fault in amount_faults(wallet, wallets, settings):
                raise BadSettings(f"{path} [{wallet.name}]: {fault}")
    return wallets


def _chain_of(folder: Path, wallet: WalletSettings) -> ChainSettings | None:
    """The settings of its chain; None where they cannot be used, which whoever asks that chain is told."""
    try:
        return load_chain(folder, wallet.chain)
    except BadSettings:
        return None


def amount_faults(
    wallet: WalletSettings, wallets: Mapping[str, WalletSettings], settings: ChainSettings
) -> Iterator[str]:
    """What is wrong with the amounts of a wallet on the chain of ``settings``, each with its key."""
    assets = {symbol: Asset(symbol, each.decimals, each.contract) for symbol, each in settings.assets.items()}
    for symbol, caps in wallet.caps.items():
        where = f"caps.{symbol}"
        if symbol not in assets:
            yield f"{where}: chains/{settings.name}.toml names no asset {symbol}"
            continue
        for key in ("per_transaction", "per_hour"):
            try:
                number(getattr(caps, key), settings.assets[symbol].decimals)
            except ValueError as error:
                yield f"{where}: {key}: {error}"
    for symbol, float_ in wallet.float.items():
        where = f"float.{symbol}"
        if symbol not in assets:
            yield f"{where}: chains/{settings.name}.toml names no asset {symbol}"
            continue
        yield from (f"{where}: {fault}" for fault in _float_faults(assets[symbol], float_))
        target = wallets.get(float_.sweep_to)
        if target is None:
            yield f"{where}: sweep_to names {float_.sweep_to}, and wallets.toml has no such wallet"
        elif target.chain != wallet.chain:
            yield f"{where}: sweep_to names {float_.sweep_to}, which is on {target.chain}, not on {wallet.chain}"
        elif target.role != "cold":
            yield f"{where}: sweep_to names {float_.sweep_to}, which is {target.role}, not cold"


def _float_faults(asset: Asset, float_: FloatSettings) -> Iterator[str]:
    for read in (
        lambda: float_.bounds(asset),
        lambda: float_.test(asset),
        lambda: float_.kept_for_fees(asset, 0),
    ):
        try:
            read()
        except ValueError as error:
            yield f"{error}"
