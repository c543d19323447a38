"""What a plan holds: one spelling, and nothing else."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from cryptosupport.chains.bitcoin.plans import LONGEST_PSBT, Planned
from cryptosupport.domain.errors import Refused


def text(**fields: Any) -> str:
    return json.dumps({"psbt": "cHNidP8=", **fields}, sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize("change", [None, (0, 0), (1, 2**31 - 1)])
def test_a_plan_is_read_as_it_was_written(change: tuple[int, int] | None) -> None:
    planned = Planned("cHNidP8=", change)
    assert Planned.of(planned.text) == planned
    assert planned.raw == b"psbt\xff"


OTHERS = {
    "nothing": "",
    "no_json": "psbt",
    "a_list": "[]",
    "no_psbt": '{"change":{"index":"0","vout":"0"}}',
    "no_text": text(psbt=1),
    "no_base64": text(psbt="cHNidP8"),
    "other_base64": text(psbt="cHNidP8 ="),
    "bits_left_over": text(psbt="cHNidP9="),
    "another_field": text(fee="1"),
    "no_change": text(change=None),
    "change_is_a_list": text(change=["0", "1"]),
    "change_without_an_index": text(change={"vout": "0"}),
    "change_with_more": text(change={"vout": "0", "index": "1", "own": "1"}),
    "numbers": text(change={"vout": 0, "index": 1}),
    "leading_zero": text(change={"vout": "0", "index": "01"}),
    "negative": text(change={"vout": "-1", "index": "1"}),
    "other_digits": text(change={"vout": "0", "index": "١"}),
    "hardened": text(change={"vout": "0", "index": str(2**31)}),
    "blanks": json.dumps({"psbt": "cHNidP8="}),
    "other_order": '{"psbt":"cHNidP8=","change":{"index":"0","vout":"0"}}',
    "twice": '{"psbt":"cHNidP8=","psbt":"cHNidP8="}',
    "deep": "[" * 100_000,
    "a_giant": text(psbt=b64encode(bytes(LONGEST_PSBT + 1)).decode()),
    "a_giant_text": text(psbt="A" * LONGEST_PSBT * 2),
}


@pytest.mark.parametrize("written", OTHERS.values(), ids=OTHERS)
def test_another_text_is_refused(written: str) -> None:
    with pytest.raises(Refused, match="no plan of a Bitcoin payment"):
        Planned.of(written)


def test_the_largest_that_is_allowed_is_read() -> None:
    assert len(Planned.of(text(psbt=b64encode(bytes(LONGEST_PSBT)).decode())).raw) == LONGEST_PSBT
