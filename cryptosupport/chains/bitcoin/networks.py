"""The Bitcoin networks, and the rules of one configured chain."""

from __future__ import annotations

from dataclasses import dataclass

from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.money import Asset
from cryptosupport.domain.transactions import Block, Confirmed, Confirming
from cryptosupport.settings import ChainSettings

COINBASE_MATURITY = 100
"""Blocks before a block reward can be spent (COINBASE_MATURITY in Bitcoin Core's consensus/consensus.h)."""

DEFAULT_CONFIRMATIONS = 3


@dataclass(frozen=True, slots=True)
class Network:
    """One network. ``core`` is bitcoind's name for it; ``oldest_tip`` how many seconds old the last block of a synced
    node can be, or None where blocks may stay away."""

    name: str
    core: str
    genesis: str
    oldest_tip: int | None = None


# Genesis hashes: Bitcoin Core, kernel/chainparams.cpp (consensus.hashGenesisBlock); each read from a node of its
# network too. Three hours without a block on mainnet: once in some 10^8 blocks.
NETWORKS = {
    network.name: network
    for network in (
        Network("mainnet", "main", "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f", 3 * 3600),
        Network("testnet4", "testnet4", "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043"),
        Network("signet", "signet", "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6"),
        Network("regtest", "regtest", "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"),
    )
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of this chain: when it is final, what its coin is called, where its explorer is."""

    chain: str
    network: Network
    required: int
    coin: Asset
    explorer: str | None

    @classmethod
    def of(cls, settings: ChainSettings) -> Rules:
        """Read ``settings``. Raises `BadSettings` for a network or a finality that Bitcoin does not have."""
        name = settings.network or "mainnet"
        network = NETWORKS.get(name)
        if network is None:
            raise BadSettings(f"chains/{settings.name}.toml: network {name!r}: use one of {', '.join(NETWORKS)}")
        if settings.finality is not None:
            message = (
                f"chains/{settings.name}.toml: Bitcoin has no finality {settings.finality!r}: use confirmations = N"
            )
            raise BadSettings(message)
        coin = settings.coin
        if coin.decimals != 8:
            raise BadSettings(f"chains/{settings.name}.toml: {coin.symbol} has 8 decimals on Bitcoin")
        return cls(settings.name, network, settings.confirmations or DEFAULT_CONFIRMATIONS, coin, settings.explorer)

    def link(self, txid: str) -> str | None:
        """Where the explorer shows ``txid``."""
        return None if self.explorer is None else self.explorer.replace("{txid}", txid)

    def mined(self, block: Block, confirmations: int, coinbase: bool) -> Confirming | Confirmed:
        """The state of a transaction in ``block``, ``confirmations`` deep."""
        if confirmations < self.required:
            return Confirming(block, confirmations, self.required)
        # The reward of the first block can never be spent.
        young = coinbase and confirmations < COINBASE_MATURITY and block.height > 0
        spendable_at = block.height + COINBASE_MATURITY if young else None
        return Confirmed(block, confirmations, self.required, spendable_at)
