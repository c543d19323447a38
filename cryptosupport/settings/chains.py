"""chains/NAME.toml: a chain, its nodes, its assets and what a payment there may cost."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.identifiers import explorer
from cryptosupport.domain.money import Asset, Quantity
from cryptosupport.settings.reading import Section, read
from cryptosupport.settings.values import is_reference, micro_usd, milliseconds, number, percent

_FEE_FORMS = {
    "max_feerate": (r"[0-9]+(\.[0-9]{1,3})? sat/vB", "300 sat/vB"),
    "max_fee_per_gas": (r"[0-9]+(\.[0-9]{1,9})? gwei", "200 gwei"),
    "min_priority_fee": (r"[0-9]+(\.[0-9]{1,9})? gwei", "25 gwei"),
    "max_fee": (r"[0-9]+(\.[0-9]+)? [\w.]+", "0.02 ETH"),
    "max_fee_value": (r"[0-9]+(\.[0-9]{1,6})? USD", "20 USD"),
    "max_fee_ratio": (r"[0-9]+(\.[0-9]+)?%", "10%"),
}


def url_fault(url: str) -> str | None:
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


def clear_fault(url: str) -> str | None:
    """What is wrong with a URL over which what nobody else may read or change would leave this machine in clear."""
    if not url.startswith("http://"):
        return None
    host = urlsplit(url).hostname or ""
    try:
        near = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = False
    return None if near else "use https://; http:// only on this machine, as http://127.0.0.1:PORT/"


class Endpoint(Section, frozen=True):
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
        if (fault := url_fault(self.url)) is not None:
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


class AssetSettings(Section, frozen=True):
    """A coin (no contract) or token of a chain. ``hard_cap`` is in whole coins."""

    decimals: int
    contract: str | None = None
    hard_cap: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.decimals <= 77:
            raise ValueError(f"decimals {self.decimals}: use 0 to 77")
        try:
            _ = self.most
        except ValueError as error:
            raise ValueError(f"hard_cap: {error}") from error

    @property
    def most(self) -> Quantity | None:
        """The hard cap: more than this in one request is denied, whatever the policy says."""
        return None if self.hard_cap is None else number(self.hard_cap, self.decimals)


class FeeSettings(Section, frozen=True):
    """Caps on what a payment may cost; each is text with its unit."""

    max_feerate: str | None = None
    max_fee_per_gas: str | None = None
    min_priority_fee: str | None = None
    max_fee: str | None = None
    max_fee_value: str | None = None
    max_fee_ratio: str | None = None

    @property
    def max_value(self) -> int | None:
        """``max_fee_value`` in micro-USD."""
        return None if self.max_fee_value is None else micro_usd(self.max_fee_value)

    @property
    def max_ratio(self) -> Quantity | None:
        """``max_fee_ratio`` in percent."""
        return None if self.max_fee_ratio is None else percent(self.max_fee_ratio)

    def __post_init__(self) -> None:
        for name, (form, example) in _FEE_FORMS.items():
            value: str | None = getattr(self, name)
            if value is not None and re.fullmatch(form, value) is None:
                raise ValueError(f"{name} {value!r}: write it like {example!r}")


class ChainSettings(Section, frozen=True):
    """chains/NAME.toml. ``enabled = false``: asked only when named with --chain.

    ``explorer`` is a URL with {txid}; ``explorer_hosts`` are further places whose URLs people paste, each a host or a
    host with the first part of the path ("blockchair.com/bitcoin"). ``in_flight`` is how many payouts of one wallet may
    wait for a block at once.
    """

    given = ("name",)

    family: str
    name: str = ""
    enabled: bool = True
    chain_id: int | None = None
    network: str | None = None
    endpoints: tuple[str | Endpoint, ...] = ()
    quorum: int = 1
    in_flight: int = 16
    finality: str | None = None
    confirmations: int | None = None
    block_time: str = "12s"
    explorer: str | None = None
    explorer_hosts: tuple[str, ...] = ()
    assets: dict[str, AssetSettings] = msgspec.field(default_factory=dict)
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
        if not 1 <= self.in_flight <= 64:
            raise ValueError("in_flight: use 1 to 64")
        if self.explorer is not None and not re.fullmatch(r"https?://[^{}]+\{txid\}[^{}]*", self.explorer):
            raise ValueError(f"explorer {self.explorer!r}: write it like https://example.com/tx/{{txid}}")
        try:
            explorer(self.name, self.explorer, self.explorer_hosts)
        except ValueError as error:
            raise ValueError(f"explorer or explorer_hosts: {error}") from error
        self._check_max_fee()

    def _check_max_fee(self) -> None:
        amount, _, unit = (self.fees.max_fee or "").partition(" ")
        if not unit or not self.assets:
            return
        if unit not in self.assets or self.assets[unit].contract is not None:
            raise ValueError(f"fees.max_fee is in {unit}, which is not the chain's own coin: fees are paid in that")
        try:
            number(amount, self.assets[unit].decimals)
        except ValueError as error:
            raise ValueError(f"fees.max_fee: {error}") from error

    @property
    def operators(self) -> tuple[str, ...]:
        """Who runs the endpoints, each once: the operator as named, else the host."""
        return tuple(self.by_operator)

    @property
    def by_operator(self) -> dict[str, tuple[Endpoint, ...]]:
        """The endpoints of each operator."""
        found: dict[str, tuple[Endpoint, ...]] = {}
        for node in self.nodes:
            name = node.operator or urlsplit(node.url).hostname or node.url
            found[name] = (*found.get(name, ()), node)
        return found

    @property
    def nodes(self) -> tuple[Endpoint, ...]:
        """The endpoints in their order."""
        return tuple(Endpoint(url=item) if isinstance(item, str) else item for item in self.endpoints)

    @property
    def by_symbol(self) -> dict[str, Asset]:
        """The known assets, the coin and the tokens."""
        return {name: Asset(name, asset.decimals, asset.contract) for name, asset in self.assets.items()}

    @property
    def coin(self) -> Asset:
        """The chain's own coin: the asset without a contract."""
        for asset in self.by_symbol.values():
            if asset.contract is None:
                return asset
        raise BadSettings(f"chains/{self.name}.toml names no asset without a contract: add the chain's own coin")

    @property
    def pay_fault(self) -> str | None:
        """What keeps every payment from beginning, None where nothing does."""
        rate, name = self.fees.max_fee_per_gas, "max_fee_per_gas"
        if self.family == "bitcoin":
            rate, name = self.fees.max_feerate, "max_feerate"
        if self.max_fee and rate is not None:
            return None
        return f"to pay, [fees] has to name max_fee and {name}: without caps a spike of fees would be paid"

    @property
    def tokens(self) -> dict[str, Asset]:
        """The known tokens, by contract in lower case."""
        return {asset.contract.lower(): asset for asset in self.by_symbol.values() if asset.contract is not None}

    @property
    def max_fee(self) -> int:
        """The most that paying may cost, in base units of the chain's own coin; 0 where the file does not say.

        Raises `BadSettings` where it names a fee and no coin.
        """
        if self.fees.max_fee is None:
            return 0
        decimals = self.coin.decimals
        assert decimals is not None  # settings name the decimals of every asset
        return number(self.fees.max_fee.partition(" ")[0], decimals).units

    @property
    def block_seconds(self) -> float:
        """The usual time between blocks, in seconds, for polling."""
        return milliseconds(self.block_time) / 1000


def chain_names(folder: Path) -> list[str]:
    """The chains that the folder holds a file for, by name; hidden files are an editor's. Raises `BadSettings`."""
    try:
        names = os.listdir(folder / "chains")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BadSettings(f"{folder / 'chains'} cannot be read: {error.strerror}") from error
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml") and not name.startswith("."))


def meant(name: str, names: Sequence[str]) -> str:
    """Which of the chains ``names`` somebody meant who wrote ``name``, in words."""
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none'}"


def load_chain(folder: Path, name: str) -> ChainSettings:
    """Read chains/NAME.toml. Raises `BadSettings` naming the good names when there is no such file."""
    path, names = folder / "chains" / f"{name}.toml", chain_names(folder)
    if name not in names:
        raise BadSettings(f"no chain {name!r} in {folder / 'chains'}; {meant(name, names)}")
    if not re.fullmatch(r"[\w.-]+", name):
        raise BadSettings(f"{path}: a chain's name holds letters, digits, '.', '_' and '-' only: rename the file")
    return msgspec.structs.replace(read(path, ChainSettings), name=name)
