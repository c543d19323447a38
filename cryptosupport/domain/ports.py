"""What the desk asks of the outside world; adapters in chains, ledger and outside fit these shapes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptosupport.domain.addresses import Address, AddressOnChain
from cryptosupport.domain.money import Asset
from cryptosupport.domain.transactions import Detail, Hint, Sighting, TxReport
from cryptosupport.domain.verdicts import ProviderVerdict


class Clock(Protocol):
    """Time, passed in so that tests can set it.

    ``ends_at`` is the point of `monotonic` from which on nobody waits for a node any more; infinity until it is set.
    """

    ends_at: float

    def now(self) -> int:
        """Whole seconds since 1970, UTC."""

    def milliseconds(self) -> int:
        """Whole milliseconds since 1970, UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that only moves forward, for time-outs."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """A verdict on one endpoint: ``ok`` and one sentence, with the height it sees where it answered.

    ``time`` is that of the block at this height (seconds since 1970), None where it was not told; `doctor` sets its
    clock by it.
    """

    chain: str
    node: str
    ok: bool
    message: str
    height: int | None = None
    time: int | None = None


class Chain(Protocol):
    """A chain as `tx status`, `address check`, `doctor` and the limits need it; one class per family."""

    @property
    def name(self) -> str:
        """The name in the settings: `ethereum`."""

    @property
    def lookups_per_call(self) -> int:
        """How many ids `look_up` takes best at once."""

    @property
    def connections(self) -> int:
        """How many calls of `look_up` its nodes take at once."""

    @property
    def poll_seconds(self) -> float:
        """How long to wait before looking again."""

    def txid(self, text: str) -> str | None:
        """The id in this chain's own form, or None when ``text`` (lower case hex, with or without 0x) is no id here."""

    def native(self, text: str) -> bool:
        """Whether ``text`` has this chain's own form (a 0x that is there or not there as this chain writes it)."""

    def look_up(self, txids: Sequence[str], detail: Detail, memory: Mapping[str, Sighting]) -> list[TxReport]:
        """Say what happened to each of ``txids``, in their order.

        ``memory`` holds earlier sightings by txid. Raises `NodesFailed` when no node can be asked; what goes wrong
        with single
        ids is an `Unknown` report.
        """

    def recognise(self, text: str) -> tuple[Hint, str | None] | None:
        """Say what an id that finds nothing is instead, where the node can tell: (hint, the id that was meant)."""

    def parse_address(self, text: str) -> Address | None:
        """Read an address of this chain's network, or None when ``text`` has another form.

        Raises `BadInput` when it has this chain's form but is wrong: a bad checksum, mixed case, another network.
        """

    def describe_address(self, address: Address) -> AddressOnChain:
        """Ask the chain about an address: contract or not. Raises `NodesFailed`."""

    def balance(self, wallet: str, address: str | None, asset: Asset) -> int:
        """Ask what one of our wallets holds now, in base units of ``asset``; what is still to arrive does not count.

        ``wallet`` is its name in the settings, by which bitcoind knows it too; ``address`` its one address, None where
        it has many. Raises `NodesFailed`, and `BadSettings` for a wallet or asset that this chain cannot have.
        """

    def health(self) -> list[NodeHealth]:
        """Ask every endpoint whether it is up, on the right chain, and synced. Never raises for a node."""


class Keyring(Protocol):
    """Keeps secrets by name. Every function raises `BadSettings` when the keyring cannot be used."""

    def password(self, name: str) -> str | None:
        """What is kept under ``name``, None for nothing."""
        ...

    def set_password(self, name: str, value: str) -> None:
        """Keep ``value`` under ``name``."""
        ...

    def delete(self, name: str) -> None:
        """Forget what is kept under ``name``. Raises `NoSuchRecord`."""
        ...

    def examine(self) -> tuple[tuple[str, ...], tuple[str, ...], str]:
        """The backends as "module.Class", those that keep secrets in clear, and why there are none to be had."""
        ...

    def refuse_weak(self, allowed: Collection[str]) -> None:
        """Raise `BadSettings` for a keyring that keeps nothing, or secrets in clear and is not ``allowed`` to."""
        ...


class Memory(Protocol):
    """What earlier look-ups saw."""

    def recall(self, chain: str, txids: Sequence[str]) -> dict[str, Sighting]:
        """The sightings among ``txids``, by txid."""

    def remember(self, sightings: Sequence[Sighting]) -> None:
        """Keep them; an earlier first sighting, and facts that the new one lacks, stay."""

    def addresses(self) -> Sequence[str]:
        """The addresses that earlier look-ups met, each once."""

    def close(self) -> None:
        """Let go of the file."""


class Provider(Protocol):
    """Somebody outside who is asked about payments: a screening provider, or a travel-rule service."""

    def ask(self, questions: Sequence[Mapping[str, object]]) -> list[ProviderVerdict]:
        """What is said of each, in their order; never raises for a provider that fails.

        A question holds `purpose` ("destination" or "travel_rule"), `request_id`, `customer`, `asset`, `chain`,
        `amount`, `base_units`, `destination`, `memo`, `country`, `value_usd`, and for the travel rule `beneficiary`.
        """
