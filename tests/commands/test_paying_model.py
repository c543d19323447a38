"""Anything may happen to a desk that pays: requests, passes, bumps, kills, freezes, blocks, a forgetful node, a reorg.

Whatever the order, each withdrawal is paid at most once, exactly what was asked, and its state is the truth in the end.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from cryptosupport.outside.nodes import Anvil
from tests.commands.payingdesk import ETHER, HOT, KEY, Paydesk, write_settings
from tests.commands.withdrawkit import in_this_process

RECIPIENTS = [f"0x{0xA0 + number:02x}" + "5a" * 19 for number in range(8)]
MAY_BE = {"approved", "waiting", "reserved", "signed", "broadcast", "confirming", "unknown", "cancelling", "cancelled"}
MAY_BE |= {"final", "waiting_liquidity"}


class Desk(RuleBasedStateMachine):
    """One wallet on one chain; the n-th request pays n + 1 tenths of a coin to the n-th recipient."""

    node: ClassVar[Anvil]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="cryptosupport-model-"))
        write_settings(self.folder / "configs", f'["{self.node.url}"]', signer="env:HOT_KEY")
        with (self.folder / "configs" / "desk.toml").open("a", encoding="utf-8") as file:
            file.write('[bump]\nresend = "1ms"\nafter = "1h"\n')
        (self.folder / "configs" / "desk.toml").chmod(0o600)
        self.snapshot = self.node.rpc("evm_snapshot")
        self.node.rpc("evm_setAutomine", False)
        self.node.rpc("anvil_setBalance", HOT, hex(100 * ETHER))
        self.desk = Paydesk(in_this_process(self.folder), self.folder, self.node)
        self.asked: list[str] = []
        self.frozen = False

    def done(self, code: int) -> None:
        assert code in (0, 3, 4, 7, 9), code

    @rule()
    def ask(self) -> None:
        if len(self.asked) < len(RECIPIENTS):
            number = len(self.asked)
            name, to = f"w-{number}", self.checksummed(RECIPIENTS[number])
            facts = {"request_id": name, "customer": "c", "asset": "ETH", "chain": "ethereum", "destination": to}
            line = json.dumps({**facts, "amount": f"0.{number + 1}"})
            assert self.desk.run("withdraw", "submit", "--input", "-", stdin=line + "\n").exit_code in (0, 9)
            self.asked.append(name)

    @staticmethod
    def checksummed(address: str) -> str:
        from cryptosupport.chains.evm.codec import to_checksum

        return to_checksum(address)

    @rule()
    def a_pass(self) -> None:
        self.done(self.desk.run("withdraw", "run").exit_code)
        self.nothing_too_much()

    @rule(blocks=st.integers(1, 3))
    def blocks(self, blocks: int) -> None:
        self.node.mine(blocks)

    @rule(data=st.data(), what=st.sampled_from(["bump", "kill", "cancel"]))
    def a_person(self, data: st.DataObject, what: str) -> None:
        if self.asked:
            name = data.draw(st.sampled_from(self.asked))
            self.done(self.desk.run("withdraw", what, name, "--operator", "ops").exit_code)

    @rule()
    def the_node_forgets(self) -> None:
        self.node.rpc("anvil_dropAllTransactions")

    @rule(depth=st.integers(1, 3))
    def a_reorg(self, depth: int) -> None:
        """Blocks that were not final are gone, and with them what was in them."""
        if int(self.node.rpc("eth_blockNumber"), 16) > depth + 1:
            self.node.rpc("anvil_reorg", depth, [])

    @rule()
    def freeze_or_lift(self) -> None:
        if self.frozen:
            for name in ("ann", "ben"):
                self.desk.run("freeze", "lift", "wallet=hot", "--operator", name)
        else:
            self.desk.run("freeze", "add", "wallet=hot", "--reason", "x", "--operator", "ann")
        self.frozen = not self.frozen

    def paid(self) -> list[int]:
        """What each recipient has."""
        return [self.desk.balance(each) for each in RECIPIENTS]

    def nothing_too_much(self) -> None:
        for number, units in enumerate(self.paid()):
            assert units in (0, (number + 1) * ETHER // 10 if number < len(self.asked) else 0)
        listed = self.desk.run("withdraw", "list", "-o", "jsonl").jsonl
        assert {each["state"] for each in listed} <= MAY_BE

    def teardown(self) -> None:
        try:
            self.in_the_end()
        finally:
            self.node.rpc("evm_revert", self.snapshot)
            self.node.rpc("anvil_dropAllTransactions")
            shutil.rmtree(self.folder, ignore_errors=True)

    def in_the_end(self) -> None:
        """When nothing is frozen and all is mined, every state is the truth."""
        if self.frozen:
            self.freeze_or_lift()
        for _ in range(4):
            self.done(self.desk.run("withdraw", "run").exit_code)
            self.node.mine(100)
        states: dict[str, Any] = {
            each["request_id"]: each["state"] for each in self.desk.run("withdraw", "list", "-o", "jsonl").jsonl
        }
        assert set(states.values()) <= {"final", "cancelled"}, states
        for number, units in enumerate(self.paid()[: len(self.asked)]):
            assert units == ((number + 1) * ETHER // 10 if states[f"w-{number}"] == "final" else 0), states
        if self.asked:
            assert self.desk.run("audit", "verify").exit_code == 0


def test_whatever_happens_each_is_paid_once_or_not_at_all(anvil_with: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HOT_KEY", KEY)
    machine = type("Anything", (Desk,), {"node": anvil_with("--no-mining")})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(os.environ.get("PAYING_EXAMPLES", "12")),
            stateful_step_count=18,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
