"""EVM chains: Ethereum and all that answer its JSON-RPC. The settings alone tell one from another."""

from __future__ import annotations

from cryptosupport.chains.evm.chain import EvmChain, open_chain

__all__ = ["EvmChain", "open_chain"]
