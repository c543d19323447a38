"""The Bitcoin family of chains: bitcoind over JSON-RPC, and Esplora servers over REST."""

from __future__ import annotations

from cryptosupport.chains.bitcoin.chain import BitcoinChain
from cryptosupport.domain.ports import Chain, Clock
from cryptosupport.settings import ChainSettings
from cryptosupport.transport import Nodes

__all__ = ["BitcoinChain", "open_chain"]


def open_chain(settings: ChainSettings, nodes: Nodes, clock: Clock) -> Chain:
    """The chain of ``settings``, asked through ``nodes``. Raises `BadSettings`."""
    return BitcoinChain(settings, nodes, clock)
