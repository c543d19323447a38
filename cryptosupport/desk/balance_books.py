"""What a wallet holds, against what it held when it was reconciled last and what it has paid since.

Of a token, what came in is told by its logs: opening + in - out = closing, to the base unit. Of the coin nobody can
tell that without tracing every block, so there a wallet may hold more than opening - out - fees, and never less.

It begins anew, and says so, where what it held then no longer counts: the block is gone, the wallet was adopted, people
have lifted a freeze of it (they have looked), or a stranger's transaction was dealt with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cryptosupport.desk.match_payouts import Pending, Spent
from cryptosupport.domain.adoption import ADOPTED
from cryptosupport.domain.audit import Act, Entry
from cryptosupport.domain.books import Records
from cryptosupport.domain.findings import Finding
from cryptosupport.domain.freezes import Scope
from cryptosupport.domain.paying import Payer, Standing
from cryptosupport.domain.withdrawals import canonical

BALANCED = "reconcile.balanced"
"""What the audit log calls a wallet whose books were balanced, with what it held."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a wallet held at the end of an earlier block; ``at`` is when that was recorded (milliseconds since 1970)."""

    height: int
    block_hash: str
    holds: Mapping[str | None, int]
    at: int


def opening_of(records: Records, chain: str, source: str, wallet: str) -> tuple[Opening | None, str]:
    """What the wallet held when it was reconciled last; None, and why, where that does not count any more."""
    entry = records.last_acts(BALANCED, {wallet}).get(wallet)
    opening = None if entry is None else _read(entry, chain, source)
    if entry is None or opening is None:
        return None, ""
    adopted = records.last_acts(ADOPTED, {wallet}).get(wallet)
    if adopted is not None and adopted.number > entry.number:
        return None, "it was adopted"
    scope = Scope("wallet", wallet).key
    lifted = (it.lifted_at for it in records.freezes(lifted=True) if it.source == "auto" and it.scope.key == scope)
    if any(at is not None and at >= opening.at for at in lifted):
        return None, "people have lifted a freeze of it"
    return opening, ""


def _read(entry: Entry, chain: str, source: str) -> Opening | None:
    facts = entry.act.facts
    if (facts.get("chain"), facts.get("source")) != (chain, source):
        return None
    held = json.loads(facts["holds"] or "{}")
    holds = {contract or None: int(units) for contract, units in held.items()}
    return Opening(int(facts["height"] or 0), facts["block"] or "", holds, entry.at)


def balanced(chain: str, source: str, wallet: str, standing: Standing) -> Act:
    """The act that records what a wallet holds."""
    holds = canonical({contract or "": str(units) for contract, units in standing.holds.items()}).decode()
    facts = {"chain": chain, "source": source, "height": str(standing.height), "block": standing.block_hash}
    return Act(BALANCED, wallet, facts={**facts, "holds": holds})


@dataclass
class Sums:
    """What payouts took from a wallet since ``opening``, up to where it is counted now (``standing``), and what those
    may have taken that no node asked has in a block. ``exact`` is whether nothing of that was needed.
    """

    wallet: str
    opening: Opening | None
    standing: Standing
    out: dict[str | None, int] = field(default_factory=dict)
    pending: dict[str | None, int] = field(default_factory=dict)
    exact: bool = True

    def add(self, spent: Spent | Pending) -> None:
        """One more payout that a block has, or may have by now."""
        if isinstance(spent, Pending):
            for contract, units in spent.base_units.items():
                self.pending[contract] = self.pending.get(contract, 0) + units
        elif self.opening is not None and self.opening.height < spent.height <= self.standing.height:
            for contract, units in spent.base_units.items():
                self.out[contract] = self.out.get(contract, 0) + units

    def compare(self, payer: Payer) -> Iterator[Finding]:
        """What does not add up. Raises `NodesFailed`."""
        opening, standing = self.opening, self.standing
        if opening is None:
            return
        if standing.height < opening.height:
            behind = f"the nodes are behind block {opening.height}, of the last reconcile"
            yield self._finding("unreachable", "", behind)
            return
        if not payer.has_block(opening.height, opening.block_hash):
            yield self._finding("begun", "", f"block {opening.height}, of the last reconcile, is gone")
            return
        for contract, held in opening.holds.items():
            closing = standing.holds.get(contract)
            if closing is None:
                yield self._finding("unreachable", contract or "", "no node gives a balance of this token any more")
                continue
            came = None if contract is None else payer.received(contract, opening.height, standing.height)
            due = held + (came or 0) - self.out.get(contract, 0)
            if closing < due - self.pending.get(contract, 0) or (came is not None and closing > due):
                yield self._finding("balance", contract or "", self._sum(contract, held, came, due, closing))
            elif closing < due:
                self.exact = False  # one node has taken what another is still waiting for: the next time tells

    def _sum(self, contract: str | None, held: int, came: int | None, due: int, closing: int) -> str:
        assert self.opening is not None  # it has given a sum
        came_in = "what came in" if came is None else f"{came} that came in"
        out, at, now = self.out.get(contract, 0), self.opening.height, self.standing.height
        differs = f"{abs(due - closing)} {'less' if closing < due else 'more'}"
        return (
            f"it held {held} base units at block {at}, with {came_in} and less {out} that it paid; at block {now} it "
            f"holds {closing}, which is {differs}"
        )

    def _finding(self, kind: str, contract: str, what: str) -> Finding:
        return Finding(self.wallet, kind, contract or "the coin", f"{self.wallet}: {what}")
