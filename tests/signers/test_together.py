"""Many orders at once: checked one against the other, remembered by one commit, and told only then."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from cryptosupport.domain.errors import BadSettings, Refused
from tests.signers.signerkit import Bench, Tools, order, withdrawal


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "signed.db")


def results(bench: Bench, *orders: object) -> list[str]:
    """What came of each: its claims, or the words of the refusal."""
    told = bench.signer.sign_all(orders)  # type: ignore[arg-type]
    return [each.message if isinstance(each, Refused) else " ".join(Tools().read(each).claims) for each in told]


def test_a_refusal_keeps_no_other_order_from_being_signed(bench: Bench) -> None:
    said = results(
        bench,
        order(withdrawal("w-1", 10), claims=["1"]),
        order(withdrawal("w-2", 101), claims=["2"]),
        order(withdrawal("w-3", 10), claims=["3"]),
    )
    assert (said[0], said[2]) == ("1", "3")
    assert "at most 100 base units of ETH in one transaction" in said[1]
    assert bench.signer.high_water().signatures == 2
    bench.sign(order(withdrawal("w-2", 10), claims=["2"]))  # nothing of the refused one was kept


def test_orders_that_exclude_each_other_are_not_signed_together(bench: Bench) -> None:
    """Two places for one withdrawal, and one place for two withdrawals (B12)."""
    said = results(
        bench,
        order(withdrawal("w-1", 10), claims=["1"]),
        order(withdrawal("w-1", 10), claims=["2"]),
        order(withdrawal("w-2", 10), claims=["1"]),
    )
    assert said[0] == "1"
    assert "w-1 was signed for with 1" in said[1]
    assert "was signed for to pay w-1" in said[2]


def test_the_cap_of_an_hour_counts_what_was_signed_just_before(bench: Bench) -> None:
    orders = [order(withdrawal(f"w-{number}", 50), claims=[str(number)]) for number in range(4)]
    said = results(bench, *orders)
    assert said[:3] == ["0", "1", "2"]
    assert "150 are signed for, and this is for 50" in said[3]
    assert "150 are signed for" in results(bench, orders[3])[0]


def test_what_is_about_no_single_order_tells_and_remembers_none(bench: Bench) -> None:
    """The key is another one from the second order on: the first one's bytes never leave, and count against no cap."""
    secrets = iter([bench.secret(), "another", *[bench.secret()] * 20])
    bench.secret = lambda: next(secrets)
    orders = [order(withdrawal(f"w-{number}", 50), claims=[str(number)]) for number in range(3)]
    signer = bench.signer
    with pytest.raises(BadSettings, match="the key of hot is that of"):
        signer.sign_all(orders)
    assert signer.high_water().signatures == 0
    assert not [each for each in signer.sign_all(orders) if isinstance(each, Refused)]  # 150 of 150
    assert isinstance(signer.sign_all([order(withdrawal("w-9", 1), claims=["9"])])[0], Refused)


def _signs(path: Path, dies_at: int) -> None:
    """Sign three orders, and die while one is signed."""
    bench = Bench(path)
    signed = 0

    class Deadly(Tools):
        def sign(self, text: str, secret: str) -> bytes:
            nonlocal signed
            signed += 1
            if signed == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().sign(text, secret)

    bench.tools = Deadly()
    bench.signer.sign_all([order(withdrawal(f"w-{number}", 10), claims=[str(number)]) for number in range(3)])


@pytest.mark.parametrize("dies_at", [1, 2, 3, 99])
def test_whoever_dies_among_them_has_told_nobody_and_remembers_all_or_none(tmp_path: Path, dies_at: int) -> None:
    path = tmp_path / "signed.db"
    process = multiprocessing.get_context("fork").Process(target=_signs, args=(path, dies_at))
    process.start()
    process.join(60)
    assert process.exitcode == (0 if dies_at == 99 else -signal.SIGKILL)
    bench = Bench(path)
    assert bench.signer.high_water().signatures == (3 if dies_at == 99 else 0)
    said = results(bench, *[order(withdrawal(f"w-{number}", 10), claims=[str(number)]) for number in range(3)])
    assert said == ["0", "1", "2"]
