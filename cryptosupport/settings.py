"""configs/*.toml as frozen structs. Unknown keys are refused with the file, the key and the nearest good one.

A folder is found by `find_folder`; each file is read when first needed. Secrets stay references ("keyring:NAME",
"env:NAME") here; `context.py` resolves them.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from cryptosupport.domain.errors import BadInput, BadSettings
from cryptosupport.domain.identifiers import explorer
from cryptosupport.domain.money import Asset

PRESETS = Path(__file__).parent / "configs"
"""The folder inside the package: chains only."""

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
S = TypeVar("S", bound=msgspec.Struct)


_FEE_FORMS = {
    "max_feerate": (r"[0-9]+(\.[0-9]{1,3})? sat/vB", "300 sat/vB"),
    "max_fee_per_gas": (r"[0-9]+(\.[0-9]{1,9})? gwei", "200 gwei"),
    "min_priority_fee": (r"[0-9]+(\.[0-9]{1,9})? gwei", "25 gwei"),
    "max_fee": (r"[0-9]+(\.[0-9]+)? [\w.]+", "0.02 ETH"),
    "max_fee_ratio": (r"[0-9]+(\.[0-9]+)?%", "10%"),
}


def milliseconds(text: str) -> int:
    """Read a duration such as "250ms", "12s", "15m", "48h" or "2d" as milliseconds. Raises `ValueError`."""
    match = re.fullmatch(r"([0-9]{1,9})(ms|s|m|h|d)", text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write 250ms, 12s, 15m, 48h or 2d")
    return int(match[1]) * _UNITS[match[2]]


def is_reference(text: str) -> bool:
    """Whether ``text`` names a secret ("keyring:NAME", "env:NAME") in place of being one."""
    return text.startswith(("keyring:", "env:"))


def _url_fault(url: str) -> str | None:
    """What is wrong with an endpoint's URL, in words that hold nothing of it: every part of it may be secret."""
    if not url.isprintable() or " " in url:
        return "it holds a space or a control character"
    if is_reference(url):
        return None
    if not url.startswith(("http://", "https://")):
        return "use http:// or https://, or a reference such as keyring:NAME"
    try:
        parts = urlsplit(url)
        # One of these letters unquoted, and a piece of the password would pass for the host.
        if parts.netloc.count("@") > 1 or "@" in parts.path + parts.query + parts.fragment:
            return "in a user, password or path write %40 for @, %2F for /, %3F for ? and %23 for #"
        return None if parts.hostname and parts.port != 0 else "it names no host, or port 0"
    except ValueError:
        return "its host or port cannot be read"


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of a settings file."""


class Endpoint(_Section, frozen=True):
    """One node of a chain. ``timeout`` is per request; ``connections`` how many requests it may have at once."""

    url: str
    kind: str = "jsonrpc"
    operator: str | None = None
    own: bool = False
    rpc_user: str | None = None
    rpc_password: str | None = None
    cookie_file: str | None = None
    timeout: str = "10s"
    connections: int = 4

    def __post_init__(self) -> None:
        if self.kind not in ("jsonrpc", "esplora"):
            raise ValueError(f"kind {self.kind!r}: use jsonrpc or esplora")
        if (fault := _url_fault(self.url)) is not None:
            raise ValueError(f"url: {fault}")
        if not 0 < milliseconds(self.timeout) <= milliseconds("1h") or not 1 <= self.connections <= 64:
            raise ValueError("timeout has to be above zero and at most 1h, and connections from 1 to 64")
        if self.rpc_password is not None and self.cookie_file is not None:
            raise ValueError("rpc_password and cookie_file: give one of the two")
        try:
            path = Path(self.cookie_file or "").expanduser()
        except RuntimeError:
            raise ValueError("cookie_file: the home folder that its ~ stands for is not known") from None
        if "\0" in str(path):
            raise ValueError("cookie_file: it holds a NUL character")

    def __repr__(self) -> str:
        """Without the URL and the password, which may be secret."""
        return f"Endpoint(operator={self.operator!r}, kind={self.kind!r}, own={self.own})"


class AssetSettings(_Section, frozen=True):
    """A coin (no contract) or token of a chain."""

    decimals: int
    contract: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.decimals <= 77:
            raise ValueError(f"decimals {self.decimals}: use 0 to 77")


class FeeSettings(_Section, frozen=True):
    """Caps on what a payment may cost; each is text with its unit."""

    max_feerate: str | None = None
    max_fee_per_gas: str | None = None
    min_priority_fee: str | None = None
    max_fee: str | None = None
    max_fee_ratio: str | None = None

    def __post_init__(self) -> None:
        for name, (form, example) in _FEE_FORMS.items():
            value: str | None = getattr(self, name)
            if value is not None and re.fullmatch(form, value) is None:
                raise ValueError(f"{name} {value!r}: write it like {example!r}")


class ChainSettings(_Section, frozen=True):
    """chains/NAME.toml. ``enabled = false``: asked only when named with --chain.

    ``explorer`` is a URL with {txid}; ``explorer_hosts`` are further places whose URLs people paste, each a host or a
    host with the first part of the path ("blockchair.com/bitcoin").
    """

    family: str
    name: str = ""
    enabled: bool = True
    chain_id: int | None = None
    network: str | None = None
    endpoints: tuple[str | Endpoint, ...] = ()
    quorum: int = 1
    finality: str | None = None
    confirmations: int | None = None
    block_time: str = "12s"
    explorer: str | None = None
    explorer_hosts: tuple[str, ...] = ()
    assets: dict[str, AssetSettings] = {}
    fees: FeeSettings = FeeSettings()

    def __post_init__(self) -> None:
        if re.fullmatch(r"[a-z][a-z0-9_]*", self.family) is None:
            raise ValueError(f"family {self.family!r}: use evm or bitcoin")
        if self.chain_id is not None and self.chain_id < 1:
            raise ValueError("chain_id: use 1 or more")
        _ = self.nodes  # one that is written as a string has to be as sound as the others
        if milliseconds(self.block_time) > milliseconds("1d"):
            raise ValueError(f"block_time {self.block_time!r}: use at most 1d")
        if self.finality is not None and self.finality not in ("finalized", "safe"):
            raise ValueError(f"finality {self.finality!r}: use finalized or safe, or confirmations = N")
        if self.confirmations is not None and self.confirmations < 1:
            raise ValueError("confirmations: use 1 or more")
        if self.finality is not None and self.confirmations is not None:
            raise ValueError("give one of finality and confirmations, not both")
        if self.quorum < 1:
            raise ValueError("quorum: use 1 or more")
        if self.explorer is not None and not re.fullmatch(r"https?://[^{}]+\{txid\}[^{}]*", self.explorer):
            raise ValueError(f"explorer {self.explorer!r}: write it like https://example.com/tx/{{txid}}")
        try:
            explorer(self.name, self.explorer, self.explorer_hosts)
        except ValueError as error:
            raise ValueError(f"explorer or explorer_hosts: {error}") from error
        unit = self.fees.max_fee.partition(" ")[2] if self.fees.max_fee else None
        if unit is not None and self.assets and (unit not in self.assets or self.assets[unit].contract is not None):
            raise ValueError(f"fees.max_fee is in {unit}, which is not the chain's own coin: fees are paid in that")

    @property
    def operators(self) -> tuple[str, ...]:
        """Who runs the endpoints, each once: the operator as named, else the host."""
        named = (node.operator or urlsplit(node.url).hostname or node.url for node in self.nodes)
        return tuple(dict.fromkeys(named))

    @property
    def nodes(self) -> tuple[Endpoint, ...]:
        """The endpoints in their order."""
        return tuple(Endpoint(url=item) if isinstance(item, str) else item for item in self.endpoints)

    @property
    def coin(self) -> Asset:
        """The chain's own coin: the asset without a contract."""
        for symbol, asset in self.assets.items():
            if asset.contract is None:
                return Asset(symbol, asset.decimals)
        raise BadSettings(f"chains/{self.name}.toml names no asset without a contract: add the chain's own coin")

    @property
    def tokens(self) -> dict[str, Asset]:
        """The known tokens, by contract in lower case."""
        return {
            asset.contract.lower(): Asset(symbol, asset.decimals, asset.contract)
            for symbol, asset in self.assets.items()
            if asset.contract is not None
        }

    @property
    def block_seconds(self) -> float:
        """The usual time between blocks, in seconds, for polling."""
        return milliseconds(self.block_time) / 1000


class LedgerSettings(_Section, frozen=True):
    """desk.toml [ledger]."""

    url: str = "sqlite:///cryptosupport.db"


class DeskIdentity(_Section, frozen=True):
    """desk.toml [desk]."""

    name: str = "the desk"
    timezone: str = "UTC"
    locales: tuple[str, ...] = ("en",)
    links: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.locales:
            raise ValueError("locales: name at least one, such as en")


class PriceSettings(_Section, frozen=True):
    """desk.toml [prices]."""

    files: tuple[str, ...] = ()
    min_sources: int = 1
    max_age: str = "15m"
    max_move: str = "20%"

    def __post_init__(self) -> None:
        milliseconds(self.max_age)
        if re.fullmatch(_FEE_FORMS["max_fee_ratio"][0], self.max_move) is None:
            raise ValueError(f"max_move {self.max_move!r}: write it like 20%")
        if self.min_sources < 1:
            raise ValueError("min_sources: use 1 or more")


class KeySettings(_Section, frozen=True):
    """desk.toml [keys]."""

    allow_backends: tuple[str, ...] = ()


class DeskSettings(_Section, frozen=True):
    """desk.toml."""

    ledger: LedgerSettings = LedgerSettings()
    desk: DeskIdentity = DeskIdentity()
    prices: PriceSettings = PriceSettings()
    keys: KeySettings = KeySettings()


class FloatSettings(_Section, frozen=True):
    """How much of an asset a hot wallet should hold, as decimals of the asset."""

    floor: str
    target: str
    ceiling: str
    sweep_to: str


class WalletSettings(_Section, frozen=True):
    """One wallet of wallets.toml."""

    chain: str
    role: str
    name: str = ""
    signer: str | None = None
    address: str | None = None
    descriptor: str | None = None
    birthday: date | None = None
    float: dict[str, FloatSettings] = {}

    def __post_init__(self) -> None:
        if self.role not in ("hot", "cold", "deposit"):
            raise ValueError(f"role {self.role!r}: use hot, cold or deposit")


# -- finding and reading the folder ----------------------------------------------------------------------------------


def find_folder(option: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The settings folder: the option, $CRYPTOSUPPORT_CONFIGS, the user's, the machine's, or the package's presets.

    Raises `BadSettings` when the option or the variable names no folder, or this user may not look for one: then the
    presets must not answer in its place.
    """
    named = option or environment.get("CRYPTOSUPPORT_CONFIGS")
    if named:
        if not _is_folder(Path(named)):
            raise BadSettings(f"{named} is not a folder: make one with `cryptosupport init {named}`")
        return Path(named)
    for folder in (_at_home(".config"), Path("/etc/cryptosupport")):
        if folder is not None and _is_folder(folder):
            return folder
    return PRESETS


def folder_to_write(option: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Where a new settings folder belongs, so that `find_folder` finds it: the option, the variable, or the user's.

    Raises `BadSettings` when none is named and the user has no home.
    """
    return _named_or_at_home(option or environment.get("CRYPTOSUPPORT_CONFIGS"), ".config", "name the folder to write")


def data_folder(option: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder for data, which need not be there: the option, $CRYPTOSUPPORT_DATA, or the user's.

    Raises `BadSettings` when none is named and the user has no home.
    """
    advice = "name a folder for data with --data DIR"
    return _named_or_at_home(option or environment.get("CRYPTOSUPPORT_DATA"), ".local/share", advice)


def _named_or_at_home(named: str | None, below: str, advice: str) -> Path:
    folder = Path(named) if named else _at_home(below)
    if folder is None:
        raise BadSettings(f"this user has no home folder: {advice}")
    return folder


def _at_home(where: str) -> Path | None:
    """Our folder below the user's home, None for a user who has no home (a container's, or a service's)."""
    try:
        return Path.home() / where / "cryptosupport"
    except RuntimeError:
        return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}") from error


def _is_there(path: Path) -> bool:
    """Whether something has this name, be it a link that leads nowhere: only then do defaults not count."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}") from error
    return True


def write_presets(folder: Path, chains: Sequence[str] = ()) -> tuple[list[Path], list[Path]]:
    """Copy the presets into ``folder``, of the chains only ``chains`` if any are named: (files written, files kept).

    A file that is there stays as it is. Files are for their owner alone. Raises `BadInput` when ``folder`` is a file or
    a chain has no preset, `BadSettings` when it cannot be written.
    """
    presets = chain_names(PRESETS)
    for name in chains:
        if name not in presets:
            near = difflib.get_close_matches(name, presets, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(presets)}"
            raise BadInput(f"no preset {name!r}; {hint}")
    names = ["desk.toml", "wallets.toml", *(f"chains/{name}.toml" for name in chains or presets)]
    written: list[Path] = []
    kept: list[Path] = []
    try:
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"{folder} is a file: name a folder")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "chains").mkdir(mode=0o700, exist_ok=True)
        for name in names:
            (written if _copy_new(PRESETS / name, folder / name) else kept).append(folder / name)
    except OSError as error:
        raise BadSettings(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    return written, kept


def _copy_new(source: Path, target: Path) -> bool:
    """Copy a file unless something of that name is there, be it a link that leads nowhere."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(source.read_bytes())
    return True


def load_desk(folder: Path) -> DeskSettings:
    """Read desk.toml; without the file, its defaults."""
    return _read(folder / "desk.toml", DeskSettings) if _is_there(folder / "desk.toml") else DeskSettings()


def chain_names(folder: Path) -> list[str]:
    """The chains that the folder holds a file for, by name; hidden files are an editor's. Raises `BadSettings`."""
    try:
        names = os.listdir(folder / "chains")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BadSettings(f"{folder / 'chains'} cannot be read: {error.strerror}") from error
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml") and not name.startswith("."))


def load_chain(folder: Path, name: str) -> ChainSettings:
    """Read chains/NAME.toml. Raises `BadSettings` naming the good names when there is no such file."""
    path, names = folder / "chains" / f"{name}.toml", chain_names(folder)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none'}"
        raise BadSettings(f"no chain {name!r} in {folder / 'chains'}; {hint}")
    if not re.fullmatch(r"[\w.-]+", name):
        raise BadSettings(f"{path}: a chain's name holds letters, digits, '.', '_' and '-' only: rename the file")
    return msgspec.structs.replace(_read(path, ChainSettings), name=name)


def load_wallets(folder: Path) -> dict[str, WalletSettings]:
    """Read wallets.toml; without the file, no wallets."""
    path = folder / "wallets.toml"
    if not _is_there(path):
        return {}
    wallets = {name: _convert(path, table, WalletSettings, name) for name, table in _parse(path).items()}
    return {name: msgspec.structs.replace(wallet, name=name) for name, wallet in wallets.items()}


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, not TOML, or a number of thousands of digits
        raise BadSettings(f"{path} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise BadSettings(f"{path} is not valid TOML: it is nested too deeply") from error


def _read(path: Path, kind: type[S]) -> S:
    return _convert(path, _parse(path), kind)


def _convert(path: Path, table: object, kind: type[S], where: str = "") -> S:
    _refuse_unknown(path, table, kind, where)
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise BadSettings(f"{path}{f' [{where}]' if where else ''}: {error}") from error


def _refuse_unknown(path: Path, table: object, kind: Any, where: str) -> None:
    """Raise `BadSettings` naming the first key that ``kind`` does not have, and the nearest one that it has."""
    for struct in _structs(kind):
        if not isinstance(table, dict):
            return
        known = {field.encode_name: field.type for field in msgspec.structs.fields(struct) if field.name != "name"}
        if struct is DeskIdentity:
            known["name"] = str
        for key, value in table.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
                raise BadSettings(f"{path}{f' [{where}]' if where else ''}: unknown key {key!r}; {hint}", key=key)
            inside = f"{where}.{key}" if where else key
            for child, named in _children(known[key], value):
                _refuse_unknown(path, child, known[key], f"{inside}.{named}" if named else inside)


def _structs(kind: Any) -> list[type[msgspec.Struct]]:
    """The struct that a type annotation holds (in a union, tuple or dict), if any."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    return [struct for part in getattr(kind, "__args__", ()) for struct in _structs(part)]


def _children(kind: Any, value: object) -> list[tuple[object, str]]:
    """The tables below ``value`` that ``kind`` describes, each with its name."""
    if isinstance(value, dict) and getattr(kind, "__origin__", None) is dict:
        return [(table, name) for name, table in value.items()]
    if isinstance(value, list):
        return [(table, str(index + 1)) for index, table in enumerate(value)]
    return [(value, "")]
