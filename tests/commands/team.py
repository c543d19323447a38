"""Workers that share what several wallets are to pay: `python -m tests.commands.team FOLDER LEDGER NODE WORKERS N`.

All start at the same moment, with a ledger in common, a data folder each, and one signer for each wallet. What is
printed is how long they took, what they did, and what the chain says that is wrong.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from cryptosupport.outside.nodes import Anvil
from tests.commands.fleet import Asked, Child, Fleet, unpaid_or_twice

ROUNDS = 40
"""So often a worker does a pass at most: while others have the wallets, it has nothing to do."""


class Node(Anvil):
    """The node of somebody else, who also ends it."""

    def __init__(self, port: int) -> None:
        self.name, self.port, self.url = "anvil", port, f"http://127.0.0.1:{port}"
        self._headers = {"Content-Type": "application/json"}


def share(fleet: Fleet, asked: list[Asked], workers: int) -> dict[str, Any]:
    """Have ``workers`` pay what was asked for: seconds until the last one was sent, and what is wrong in the end."""
    file = fleet.folder / "in.jsonl"
    file.write_text("".join(each.line for each in asked), encoding="utf-8")
    code, said = fleet.run("withdraw", "submit", "--input", str(file), "-o", "jsonl")
    assert code == 0, said
    began, codes, passes = time.monotonic(), set[int](), 0
    while fleet.sent() < len(asked) and passes < ROUNDS * workers:
        team: list[Child] = []
        for number in range(workers):
            team.append(fleet.start(f"work-{passes + number}", "withdraw", "run", "-o", "jsonl", data=f"data-{number}"))
        passes += workers
        codes |= {each.ended(wait=True) or 0 for each in team}
        fleet.running.clear()
    took = time.monotonic() - began
    states: dict[str, str] = {}
    for _ in range(10):
        fleet.node.rpc("anvil_mine", "0x8")
        codes.add(fleet.run("withdraw", "run", "-o", "jsonl")[0])
        states = fleet.states()
        if set(states.values()) == {"final"}:
            break
    wrong = unpaid_or_twice(fleet, asked, states)
    wrong += [f"{' '.join(each)} fails" for each in (("reconcile",), ("audit", "verify")) if fleet.run(*each)[0]]
    final = sum(state == "final" for state in states.values())
    return {
        "seconds": took, "passes": passes, "codes": sorted(codes), "final": final, "sent": fleet.sent(), "wrong": wrong
    }  # fmt: skip


def main(folder: str, url: str, node: str, workers: str, count: str) -> None:
    """Print what came of it, as JSON."""
    fleet = Fleet(Path(folder), url, Node(int(node.rpartition(":")[2])), remote=True)
    asked = [Asked(number, 10**6 + number, "USDT" if number % 3 == 0 else "ETH") for number in range(1, int(count) + 1)]
    try:
        fleet.open()
        print(json.dumps(share(fleet, asked, int(workers))))
    finally:
        fleet.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
