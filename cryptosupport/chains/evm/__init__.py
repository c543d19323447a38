"""EVM chains: Ethereum and all that answer its JSON-RPC. The settings alone tell one from another.

The chain is loaded when it is opened: reading addresses (`addresses`) needs no HTTP client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptosupport.chains.evm.chain import EvmChain
    from cryptosupport.domain.ports import Clock
    from cryptosupport.settings import ChainSettings
    from cryptosupport.transport import Nodes

__all__ = ["EvmChain", "open_chain"]


def open_chain(settings: ChainSettings, nodes: Nodes, clock: Clock) -> EvmChain:
    """The chain of ``settings``, asked through ``nodes``. Raises `BadSettings`."""
    from cryptosupport.chains.evm.chain import EvmChain

    return EvmChain(settings, nodes, clock)


def __getattr__(name: str) -> Any:
    if name != "EvmChain":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cryptosupport.chains.evm.chain import EvmChain

    return EvmChain
