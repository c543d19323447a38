"""What nobody pays or follows, as no wallet of the settings is there for it: each run tells of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from cryptosupport.domain.books import Ledger
from cryptosupport.domain.errors import BadSettings, SupportError, Waits
from cryptosupport.domain.payouts import Payout


def left_behind(ledger: Ledger, sources: Collection[tuple[str, str]]) -> Iterator[SupportError]:
    """Payments under way from a wallet that is none of ``sources`` (chain and what it is known by there), and what is
    approved on their chains and has no wallet. Raises `Tampered`.
    """
    with ledger.look() as records:
        lost = [place for place in records.payouts.sources() if place not in sources]
        live = [payout for place in lost for payout in records.payouts.live(*place)]
        chains = sorted({chain for chain, _ in sources})
        waiting = {chain: records.payouts.payable(chain, None, 1) for chain in chains}
    if live:
        yield BadSettings(_lost(live))
    for chain, found in waiting.items():
        for each in found:
            name = each.request.request_id
            yield Waits(
                f"{name} is approved since before {chain} had a hot wallet, and nobody pays it: "
                f"`cryptosupport withdraw hold {name}`, and release it"
            )


def _lost(live: list[Payout]) -> str:
    first = live[0]
    more = f" (and {len(live) - 1} more)" if len(live) > 1 else ""
    names = ", ".join(item.request_id for item in first.items[:3])
    return (
        f"payout {first.id} of {first.wallet} ({names}) is under way from {first.source} on {first.chain}{more}, and "
        "no hot wallet of wallets.toml pays from there: nobody follows it. Put that wallet back until it is over"
    )
