"""The record of a look-up: the contract that other programs read."""

import itertools
import json

import pytest

from cryptosupport.domain.errors import NotATxid
from cryptosupport.domain.money import Amount, FeeRate
from cryptosupport.domain.record import BRIEF_FIELDS, FIELDS, exit_code, row_record, tx_record, worst
from cryptosupport.domain.transactions import (
    BadLine,
    Confirmed,
    Confirming,
    Detail,
    Failed,
    Failure,
    FailureCode,
    NotFound,
    Pending,
    PendingReason,
    Replaced,
    Unknown,
)
from tests.domain.reports import BLOCK, BTC, CHANGE, OUTPUT, PAID, TOKEN, TXID, every_report, report

KEYS = [
    "schema", "txid", "chain", "state", "final", "height", "block_hash", "block_time", "confirmations",
    "required_confirmations", "fee", "transfers", "failure", "replaced_by", "pending", "summary", "advice", "explorer",
    "as_of", "source", "error",
]  # fmt: skip


def test_every_record_has_the_keys_of_the_contract_and_is_json() -> None:
    for found in every_report():
        record = tx_record(found, "en")
        assert list(record) == KEYS
        assert record["schema"] == "cryptosupport.tx/1"
        json.dumps(record)


def test_a_confirmed_payment() -> None:
    record = tx_record(
        report(Confirmed(BLOCK, 12, None), transfers=(PAID, TOKEN), fee=Amount(141, BTC), source="n"), "en"
    )
    assert record["state"] == "confirmed"
    assert record["final"] is True
    assert (record["height"], record["block_hash"], record["block_time"]) == (120, "0xblock", "2023-11-14T22:13:20Z")
    assert (record["confirmations"], record["required_confirmations"]) == (12, None)
    assert record["fee"] == {"asset": "BTC", "amount": "0.00000141", "base_units": "141"}
    assert record["transfers"] == [
        {"asset": "ETH", "amount": "1.5", "base_units": "1500000000000000000", "from": "0xFrom", "to": "0xTo"},
        {"asset": "0xToken", "amount": None, "base_units": "7", "from": "0xFrom", "to": "0xTo"},
    ]
    assert record["pending"] is None
    assert record["failure"] is None
    assert record["error"] is None


def test_bitcoin_adds_vout_and_change() -> None:
    record = tx_record(report(Confirming(BLOCK, 1, 3), transfers=(OUTPUT, CHANGE)), "en")
    assert [(one["vout"], one["change"], one["from"]) for one in record["transfers"]] == [
        (0, False, None),
        (1, True, None),
    ]
    assert record["final"] is False
    assert (record["confirmations"], record["required_confirmations"]) == (1, 3)


def test_a_pending_one_tells_why_with_numbers() -> None:
    status = Pending(PendingReason.LOW_FEE, FeeRate(1500), FeeRate(1000), FeeRate(9000), 12, True, ancestors=2)
    assert tx_record(report(status), "en")["pending"] == {
        "reason": "low_fee",
        "feerate": "1.5",
        "mempool_min_feerate": "1",
        "eta_blocks": 12,
        "replaceable": True,
        "nonce": None,
        "missing_nonce": None,
        "ancestors": 2,
    }


def test_failure_replacement_and_error_have_their_own_places() -> None:
    failed = tx_record(report(Failed(BLOCK, 1, None, False, Failure(FailureCode.REVERTED, "no"))), "en")
    assert failed["failure"] == {"code": "reverted", "message": "no"}
    assert failed["final"] is False
    assert tx_record(report(Replaced("0xcd", True)), "en")["replaced_by"] == "0xcd"
    unknown = tx_record(report(Unknown("timeout", "n: no answer", ("n",))), "en")
    assert unknown["error"] == {"code": "timeout", "message": "n: no answer", "nodes": ["n"]}


def test_brief_is_the_state_only() -> None:
    found = report(Confirmed(BLOCK, 12, None), transfers=(PAID,))
    brief = row_record(found, "en", Detail.BRIEF)
    assert brief == {"txid": TXID, "chain": "ethereum", "state": "confirmed", "final": True, "error": None}
    assert row_record(report(Unknown("timeout", "x")), "en", Detail.BRIEF)["error"]["code"] == "timeout"


def test_a_bad_line_names_its_number_and_what_is_wrong() -> None:
    row = BadLine(7, "0x12…ab", NotATxid("cut short"))
    assert row_record(row, "en", Detail.FULL) == {
        "line": 7,
        "input": "0x12…ab",
        "error": {"code": "not_a_txid", "message": "cut short"},
    }
    assert exit_code(row) == 2


def test_csv_fields_are_all_in_some_record() -> None:
    seen: set[str] = set()
    bad = row_record(BadLine(1, "x", NotATxid("x")), "en", Detail.FULL)
    for record in [bad, *(tx_record(found, "en") for found in every_report())]:
        for key, value in record.items():
            seen.add(key)
            if isinstance(value, dict):
                seen |= {f"{key}.{inner}" for inner in value}
    assert set(FIELDS) <= seen
    assert set(BRIEF_FIELDS) <= seen


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Confirmed(BLOCK, 3, 3), 0),
        (Confirming(BLOCK, 1, 3), 10),
        (Pending(PendingReason.WAITING), 10),
        (NotFound(), 11),
        (Replaced(None, True), 12),
        (Failed(BLOCK, 9, None, True, Failure(FailureCode.UNKNOWN, None)), 12),
        (Unknown("timeout", "x"), 6),
    ],
)
def test_each_state_has_its_exit_code(status: object, code: int) -> None:
    assert exit_code(report(status)) == code  # type: ignore[arg-type]


def test_of_several_a_bad_line_wins_then_unknown_then_the_greatest() -> None:
    order = [2, 6, 12, 11, 10, 0]
    for codes in itertools.chain.from_iterable(itertools.combinations(order, size) for size in range(1, 7)):
        assert worst(codes) == codes[0]
    assert worst([]) == 0
