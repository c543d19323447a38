"""Fresh addresses of a wallet, and which addresses are its own: derived here, whatever the node says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cryptosupport.chains.bitcoin.codec import script_pubkey
from cryptosupport.chains.bitcoin.descriptors import Watched, bdk_kind, derived
from cryptosupport.chains.bitcoin.homes import Homes
from cryptosupport.chains.bitcoin.networks import Rules
from cryptosupport.chains.bitcoin.plans import Planned
from cryptosupport.domain.errors import BadInput, BadSettings, NodeFailed, Refused
from cryptosupport.domain.ports import Clock
from cryptosupport.settings import ChainSettings
from cryptosupport.transport import Nodes

GAP = 1000
"""So many addresses of each branch beyond the last one that is known to be used are recognised."""

_TRIES = 1000


def fresh(
    settings: ChainSettings, nodes: Nodes, clock: Clock, wallet: str, descriptor: str, after: int
) -> tuple[str, int]:
    """An address that was never given out, and its index, which is beyond ``after``.

    Raises `BadSettings`, `NodesFailed`, and `NodeFailed` where the node's address is not that of the descriptor.
    """
    rules = Rules.of(settings)
    watched = _watched(rules.network.name, wallet, descriptor)
    home = Homes(rules, nodes, clock, wallet, watched.kind).best
    for _ in range(_TRIES):
        address, index = home.receive()
        if watched.address(False, index) != address:
            said = f"gives {address} as address {index} of {wallet}, and its descriptor makes another: it is not used"
            raise NodeFailed(home.node.name, "bad_answer", said)
        if index > after:
            return address, index
    raise NodeFailed(home.node.name, "bad_answer", f"gives out addresses of {wallet} that were given out before")


def _watched(network: str, wallet: str, descriptor: str) -> Watched:
    try:
        return Watched.of(descriptor, network)
    except BadInput as error:
        raise BadSettings(f"wallets.toml [{wallet}]: descriptor: {error.message}") from error


def last_change(texts: Iterable[str]) -> int:
    """The highest index of an address of change in plans; -1 where none has change."""
    found = [-1]
    for text in texts:
        try:
            change = Planned.of(text).change
        except Refused:  # changed in the database, which whoever pays from it is told
            continue
        found += [] if change is None else [change[1]]
    return max(found)


class OwnScripts:
    """The output scripts of a descriptor, also of one that cannot be paid from (several keys, one branch).

    Raises `BadInput` for what is no descriptor of the network.
    """

    def __init__(self, descriptor: str, network: str) -> None:
        self._network = network
        self._branches = _branches(descriptor.strip(), network)
        self._shapes = {_shape(branch(0)) for branch in self._branches}
        self._known: set[bytes] = set()
        self._upto = 0

    def holds(self, address: str, used: int) -> bool:
        """Whether an address is among those up to `GAP` beyond the index ``used``. Raises `BadInput` for no address."""
        script = script_pubkey(address, self._network)
        if _shape(script) not in self._shapes:
            return False
        for index in range(self._upto, used + 1 + GAP):
            self._known.update(branch(index) for branch in self._branches)
        self._upto = max(self._upto, used + 1 + GAP)
        return script in self._known


def _shape(script: bytes) -> tuple[bytes, int]:
    return script[:2], len(script)


def _branches(descriptor: str, network: str) -> list[Callable[[int], bytes]]:
    """What makes the script of an index, for each branch."""
    try:
        watched = Watched.of(descriptor, network)
    except BadInput as error:
        if error.facts.get("reason") != "bad_form":
            raise
        return [_of_bdk(single, network) for single in _singles(descriptor)]
    return [lambda index: derived(watched, False, index), lambda index: derived(watched, True, index)]


def _singles(descriptor: str) -> list[str]:
    """The descriptor of each branch, without checksums."""
    body = descriptor.partition("#")[0]
    return [body.replace("<0;1>", branch) for branch in ("0", "1")] if "<0;1>" in body else [body]


def _of_bdk(single: str, network: str) -> Callable[[int], bytes]:
    import bdkpython as bdk

    from cryptosupport.chains.bitcoin.descriptors import bdk_network

    try:
        read: Any = bdk.Descriptor(single, bdk_kind(network))
        read.derive_address(0, bdk_network(network))
    except Exception as error:  # bdk has a type of its own for each fault, and quotes what it was given
        raise BadInput(f"this is no descriptor that addresses of {network} can be derived from") from error
    return lambda index: bytes(read.derive_address(index, bdk_network(network)).script_pubkey().to_bytes())
