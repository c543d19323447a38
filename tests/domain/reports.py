"""A report of every kind that the states allow, for tests of words and records."""

from cryptosupport.domain.money import Amount, Asset, FeeRate, GasFees
from cryptosupport.domain.transactions import (
    Block,
    Confirmed,
    Confirming,
    Dropped,
    Failed,
    Failure,
    FailureCode,
    Hint,
    NotFound,
    Pending,
    PendingReason,
    Replaced,
    Transfer,
    TxReport,
    TxStatus,
    Unknown,
)

ETH = Asset("ETH", 18)
BTC = Asset("BTC", 8)
BLOCK = Block(120, "0xblock", 1_700_000_000)
TXID = "0x" + "ab" * 32
PAID = Transfer(Amount(15 * 10**17, ETH), "0xFrom", "0xTo")
OUTPUT = Transfer(Amount(150_000_000, BTC), None, "bc1qto", 0, False)
CHANGE = Transfer(Amount(7, BTC), None, "bc1qus", 1, True)
SCRIPT = Transfer(Amount(7, BTC), None, None, 2, None)
TOKEN = Transfer(Amount(7, Asset("0xToken", None, "0xToken")), "0xFrom", "0xTo")


def report(status: TxStatus, **facts: object) -> TxReport:
    """A report about `TXID` on ethereum, with its state and further facts."""
    return TxReport(**{"txid": TXID, "chain": "ethereum", "status": status, "as_of": 1_700_000_100} | facts)  # type: ignore[arg-type]


def _waiting() -> list[TxReport]:
    bare = [Pending(reason) for reason in PendingReason if reason is not PendingReason.NONCE_GAP]
    return [
        *(report(status) for status in bare),
        report(Pending(PendingReason.LOW_FEE, GasFees(10**9, 1), None, GasFees(2 * 10**9, 1), nonce=4)),
        report(Pending(PendingReason.LOW_FEE, FeeRate(1000), FeeRate(2000), FeeRate(3000), replaceable=True)),
        report(Pending(PendingReason.WAITING, FeeRate(1000), eta_blocks=1)),
        report(Pending(PendingReason.WAITING, FeeRate(1000), eta_blocks=6)),
        report(Pending(PendingReason.NONCE_GAP, GasFees(1, 1), nonce=7, missing_nonce=5)),
        report(Pending(PendingReason.ANCESTOR, FeeRate(1000), ancestors=3)),
        report(Pending(PendingReason.LOCKTIME, locktime=900_000)),
        report(Pending(PendingReason.LOCKTIME, locktime=1_800_000_000)),
        report(Pending(PendingReason.REORGED, was_in="0xold")),
    ]


def every_report() -> list[TxReport]:
    """One report for every sentence that can be said."""
    failed = [
        Failed(BLOCK, 1, None, final, Failure(code, "why", replayed))
        for code in FailureCode
        for replayed in (True, False)
        for final in (True, False)
    ]
    without = (FailureCode.REVERTED, FailureCode.OUT_OF_GAS, FailureCode.UNKNOWN)
    bare = [Failure(code, None, replayed) for code in without for replayed in (True, False)]
    return [
        report(NotFound(("node",)), chain=None, asked=("ethereum", "bsc")),
        report(NotFound(("node",), Hint.BLOCK_HASH)),
        report(NotFound(("node",), Hint.WTXID, "cd" * 32)),
        *_waiting(),
        *(report(status) for status in failed),
        *(report(Failed(BLOCK, 9, 3, True, failure)) for failure in bare),
        report(Confirming(BLOCK, 1, 3), transfers=(PAID,)),
        report(Confirming(BLOCK, 1, 3)),
        report(Confirming(BLOCK, 2, None), transfers=(PAID,)),
        report(Confirming(BLOCK, 2, None)),
        report(Confirming(BLOCK, 2, None), outcome_known=False),
        report(
            Confirmed(BLOCK, 3, 3), transfers=(OUTPUT, CHANGE, SCRIPT), fee=Amount(141, BTC), explorer="https://x/1"
        ),
        report(Confirmed(BLOCK, 3, 3), transfers=(CHANGE,)),
        report(Confirmed(BLOCK, 3, 3), transfers=(SCRIPT,)),
        report(Confirmed(BLOCK, 1, None), transfers=(TOKEN,)),
        report(Confirmed(BLOCK, 3, None), created="0xNew"),
        report(Confirmed(BLOCK, 3, None)),
        report(Confirmed(BLOCK, 3, None), outcome_known=False),
        report(Confirmed(BLOCK, 3, 1, spendable_at=220), coinbase=True),
        report(Confirmed(BLOCK, 3, None), also_on=("bsc",)),
        report(Replaced("0x" + "cd" * 32, False)),
        report(Replaced("0x" + "cd" * 32, True)),
        report(Replaced(None, False)),
        report(Replaced(None, True)),
        report(Dropped()),
        report(Dropped(True)),
        report(Confirmed(BLOCK, 3, 3), transfers=(SCRIPT, OUTPUT)),
        report(Unknown("timeout", "node.example: no answer within 10 s", ("node.example",))),
    ]
