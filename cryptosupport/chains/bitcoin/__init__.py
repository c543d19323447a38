"""The Bitcoin family of chains: bitcoind over JSON-RPC, and Esplora servers over REST.

The chain is loaded when it is opened: reading addresses (`addresses`) needs no HTTP client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptosupport.domain.ports import Chain, Clock
    from cryptosupport.settings import ChainSettings
    from cryptosupport.transport import Nodes


def open_chain(settings: ChainSettings, nodes: Nodes, clock: Clock) -> Chain:
    """The chain of ``settings``, asked through ``nodes``. Raises `BadSettings`."""
    from cryptosupport.chains.bitcoin.chain import BitcoinChain

    return BitcoinChain(settings, nodes, clock)
