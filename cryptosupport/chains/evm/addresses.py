"""Reading addresses without a node: what intake needs of a chain, and all that it loads of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cryptosupport.chains.evm.codec import parse_address
from cryptosupport.domain.addresses import Address

if TYPE_CHECKING:
    from cryptosupport.settings import ChainSettings


def address_reader(settings: ChainSettings) -> Callable[[str], Address | None]:
    """What reads an address of the chain of ``settings``, as `Chain.parse_address` does: EVM chains share one form."""
    return parse_address
