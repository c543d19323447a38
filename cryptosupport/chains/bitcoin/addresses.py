"""Reading addresses without a node: what intake needs of a chain, and all that it loads of one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cryptosupport.chains.bitcoin.codec import parse_address
from cryptosupport.chains.bitcoin.networks import Rules
from cryptosupport.domain.addresses import Address
from cryptosupport.settings import ChainSettings


def address_reader(settings: ChainSettings) -> Callable[[str], Address | None]:
    """What reads an address of the network of ``settings``, as `Chain.parse_address` does. Raises `BadSettings`."""
    return partial(parse_address, network=Rules.of(settings).network.name)
