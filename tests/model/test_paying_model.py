"""The model of the paying protocol, in all its states: with every rule kept nothing is lost, without one it shows."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

MODEL = Path(__file__).with_name("paying.pml")
MEMORY = "-DMEMLIM=1500"  # MB
DEPTH = "-m100000"
PATIENCE = 120  # seconds for one search, the longest of which takes 5 on an idle core


@dataclass(frozen=True)
class Search:
    """What pan said: ``found`` is the first thing that went wrong, None where it went through all states."""

    found: str | None
    states: int
    told: str

    @property
    def complete(self) -> bool:
        """Whether no state was left out: not for depth, memory, or because something was found."""
        cut = re.search(r"not completed|max search depth too small|out of memory|-DMEMLIM bound", self.told)
        return not cut and "Full statespace search" in self.told and "errors: 0" in self.told


Spin = Callable[..., Search]


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    done = subprocess.run([ROOT / "tools" / "install-spin.sh"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"there is no spin, and none can be fetched: {done.stderr.strip()}")
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc: what spin writes is C")


@pytest.fixture
def search(tmp_path: Path) -> Spin:
    """Search the model with ``switches`` for a broken assertion or a dead end, and with PROGRESS for a run without end.

    ``whole``: something to go through, not something to find; then it pays to have it compiled well.
    """

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(switches: str, whole: bool = False) -> Search:
        names = switches.split()
        run("spin", *(f"-D{name}" for name in names), "-a", str(MODEL))
        kind, options = ("-DNOREDUCE", ["-a", "-f"]) if "PROGRESS" in names else ("-DSAFETY", [])
        run("gcc", "-O1" if whole else "-O0", "-w", "-DCOLLAPSE", MEMORY, kind, "-o", "pan", "pan.c")
        told = run("./pan", DEPTH, "-w21", *options)
        found = re.search(r"^pan:1: (.*) \(at depth", told, re.MULTILINE)
        states = re.search(r"(\d+) states, (?:stored|visited)", told)
        assert states, told
        return Search(found[1] if found else None, int(states[1]), told)

    return start


# -- nothing is lost -------------------------------------------------------------------------------------------------

SOUND = {
    "two workers": "NO_ALARM",
    "a restored backup, two withdrawals": "RESTORE ONE_WORKER",
    "a restored backup, two workers": "RESTORE ONE_WITHDRAWAL",
}


@pytest.mark.parametrize("switches", SOUND.values(), ids=SOUND)
def test_nobody_is_paid_twice_and_nobody_is_paid_and_refunded(switches: str, search: Spin) -> None:
    done = search(switches, whole=True)
    assert done.found is None
    assert done.complete, done.told
    assert done.states > 100_000


@pytest.mark.parametrize("end", ["FINAL", "REVERTED", "CANCELLED"])
def test_a_payout_may_end_in_each_way(end: str, search: Spin) -> None:
    assert search(f"ONE_WORKER NEVER={end}").found is not None


@pytest.mark.parametrize("switches", ["ONE_WORKER", "ONE_WITHDRAWAL"])
def test_once_nothing_is_lost_any_more_every_withdrawal_ends(switches: str, search: Spin) -> None:
    done = search(f"{switches} PROGRESS", whole=True)
    assert done.found is None
    assert done.complete, done.told
    assert re.search(r"never claim\s+\+ \(ends\)", done.told)
    assert re.search(r"acceptance\s+cycles\s+\+ \(fairness enabled\)", done.told)


def test_bytes_that_only_their_signer_sends_may_wait_for_ever(search: Spin) -> None:
    assert search("ONE_WORKER MUT_SEND_ONCE PROGRESS").found == "acceptance cycle"


# -- what each rule is for -------------------------------------------------------------------------------------------

BROKEN = [
    "MUT_STORE_AFTER_BROADCAST MUT_SIGN_ANEW",
    "MUT_NO_FENCE",
    "MUT_NOT_FOUND_IS_UNPAID MUT_NO_SIGNER_STORE",
    "MUT_FRESH_NONCE_ON_BUMP MUT_NO_SIGNER_STORE",
    "MUT_FRESH_NONCE_ON_BUMP MUT_SELF_SEND_ANYWHERE",
    "MUT_REFUND_ON_TIMEOUT",
    "MUT_UNFINAL_IS_FINAL",
    "RESTORE ONE_WORKER MUT_NO_SIGNER_STORE",
    "RESTORE ONE_WORKER MUT_NO_GUARD",
    "RESTORE ONE_WORKER MUT_GUARD_BY_NONCE",
    "RESTORE ONE_WORKER MUT_SIGN_ANEW",
    "RESTORE ONE_WORKER MUT_RESTORE_KEEPS_LEASE",
    "RESTORE ONE_WORKER MUT_CANCEL_UNTOLD",
    "RESTORE ONE_WORKER MUT_SIGNER_IN_BACKUP",
]


@pytest.mark.parametrize("switches", BROKEN)
def test_a_broken_rule_loses_money(switches: str, search: Spin) -> None:
    found = search(switches).found
    assert found is not None
    assert found.startswith("assertion violated"), found
    assert "paid" in found or "refunded" in found


HELD = {
    "the signer's store holds what a false not-found would pay again": "MUT_NOT_FOUND_IS_UNPAID",
    "the signer's store holds a bump with a nonce of its own": "MUT_FRESH_NONCE_ON_BUMP",
    "one attempt, one signature holds bytes that went out before they were stored": "MUT_STORE_AFTER_BROADCAST",
    "asking the signer holds a stale worker": "MUT_NO_FENCE ASK_SIGNER",
    "asking the signer holds a restored backup": (
        "RESTORE ONE_WORKER MUT_NO_GUARD MUT_RESTORE_KEEPS_LEASE MUT_SIGN_ANEW ASK_SIGNER"
    ),
}


@pytest.mark.parametrize("switches", HELD.values(), ids=HELD)
def test_where_one_rule_is_broken_another_holds(switches: str, search: Spin) -> None:
    done = search(switches, whole=True)
    assert done.found is None
    assert done.complete, done.told


def test_every_switch_that_breaks_a_rule_is_tried_and_explained() -> None:
    text = MODEL.read_text(encoding="utf-8")
    head, _, rest = text.partition("*/")
    switches = set(re.findall(r"\bMUT_[A-Z_]+\b", rest))
    assert switches == set(re.findall(r"\bMUT_[A-Z]\w+\b", head))
    assert switches - {"MUT_SEND_ONCE"} == {name for each in BROKEN for name in each.split() if "MUT_" in name}
