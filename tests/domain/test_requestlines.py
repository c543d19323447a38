"""A line of JSON or CSV is one request or none: what two programs could read differently is refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.requestlines import COLUMNS, CsvForm, json_fields
from cryptosupport.domain.requests import SIGNED, Number, read_request, signed_bytes
from cryptosupport.domain.withdrawals import Request
from tests.domain.test_requests import (
    A_SIGNATURE,
    GOOD,
    INTAKE,
    NAMES,
    NO_AMOUNTS,
    ON_BITCOIN,
    ON_ETHEREUM,
    TEXTS,
    read_or_refused,
)

HEADER = ",".join(GOOD).encode()
ROW = ",".join(GOOD.values()).encode()


def refusal(parse: Callable[[bytes], object], line: bytes) -> str:
    with pytest.raises(BadInput) as caught:
        parse(line)
    assert caught.value.message.isprintable(), "it is shown on a terminal"
    assert len(caught.value.message) < 600
    return caught.value.message


def as_json(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def from_json(line: bytes) -> Request:
    return read_request(json_fields(line), INTAKE)


def from_csv(row: bytes, header: bytes = HEADER) -> Request:
    return read_request(CsvForm(header).fields(row), INTAKE)


# -- bad lines, one by one, as JSON and as CSV -----------------------------------------------------------------------


def test_a_good_line_is_the_same_request_in_both_forms() -> None:
    assert from_json(as_json()) == from_csv(ROW) == read_request(GOOD, INTAKE)


@pytest.mark.parametrize("parse", [from_json, from_csv])
class TestALineInAnyForm:
    def line(self, parse: object) -> bytes:
        return as_json() if parse is from_json else ROW

    def test_with_a_byte_order_mark_is_refused(self, parse: Callable[[bytes], object]) -> None:
        message = refusal(parse, b"\xef\xbb\xbf" + self.line(parse))
        assert message == "this line starts with a byte order mark: save the file as UTF-8 without it"

    def test_that_ends_in_cr_lf_is_refused(self, parse: Callable[[bytes], object]) -> None:
        assert refusal(parse, self.line(parse) + b"\r") == "this line ends in CR LF: save the file with LF line ends"

    def test_with_a_carriage_return_inside_is_refused(self, parse: Callable[[bytes], object]) -> None:
        assert "holds a carriage return" in refusal(parse, self.line(parse).replace(b",", b"\r,", 1))

    def test_with_a_nul_byte_is_refused(self, parse: Callable[[bytes], object]) -> None:
        assert "holds a NUL byte" in refusal(parse, self.line(parse).replace(b"c-7", b"c\x007"))

    @pytest.mark.parametrize("bad", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82", b"\xf4\x90\x80\x80"])
    def test_that_is_not_utf8_is_refused(self, parse: Callable[[bytes], object], bad: bytes) -> None:
        assert "this line is not UTF-8: byte " in refusal(parse, self.line(parse).replace(b"c-7", bad))

    def test_that_is_two_lines_is_refused(self, parse: Callable[[bytes], object]) -> None:
        assert "more than one line" in refusal(parse, self.line(parse) + b"\n" + self.line(parse))

    @pytest.mark.parametrize("text", NO_AMOUNTS, ids=ascii)
    def test_with_an_amount_that_is_none_is_refused(self, parse: Callable[[bytes], object], text: str) -> None:
        encoded = text.encode("utf-8", "surrogatepass")
        assert refusal(parse, self.line(parse).replace(b"1.5", encoded))

    @pytest.mark.parametrize(
        ("good", "bad", "why"),
        [
            ("1.5", "0", "there is nothing to pay"),
            ("1.5", "1.0000000000000000001", "19 decimals, and the asset has 18"),
            ("1.5", str(2**256), "2**256 - 1"),
            (ON_ETHEREUM, ON_ETHEREUM.replace("aA", "AA"), "EIP-55"),
            (ON_ETHEREUM, ON_BITCOIN, "an address of bitcoin, and the request says ethereum"),
            ("ethereum", "etherium", "known are ethereum, bitcoin"),
            ("c-7", "=HYPERLINK(1)", "starts like a spreadsheet formula"),
            ("c-7", "c\u202e7", "U+202E (RIGHT-TO-LEFT OVERRIDE)"),
        ],
    )
    def test_that_asks_for_what_cannot_be_is_refused(
        self, parse: Callable[[bytes], object], good: str, bad: str, why: str
    ) -> None:
        assert why in refusal(parse, self.line(parse).replace(good.encode(), bad.encode()))

    def test_of_ten_megabytes_is_refused(self, parse: Callable[[bytes], object]) -> None:
        line = self.line(parse).replace(b"c-7", b"c" * 10_000_000)
        assert "customer has 10000000 characters, and at most 128 are taken" in refusal(parse, line)


# -- JSON ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", [b"", b"{", b"{}}", b"{} {}", b"{'a': 1}", b'{"a": "b",}', b"nul", b'{"a": "\x01"}', b"\\"]
)
def test_what_is_not_json_is_refused_with_the_place(line: bytes) -> None:
    message = refusal(json_fields, line)
    assert message.startswith("this is not one JSON object: ")
    assert "(character " in message


@pytest.mark.parametrize("line", [b"[]", b"1", b'"x"', b"null", b"true", b"NaN", b'[{"request_id": "w-1"}]'])
def test_json_that_is_no_object_is_refused(line: bytes) -> None:
    assert "write one request in { } on each line" in refusal(json_fields, line)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (b'{"amount": "1", "amount": "1"}', "amount"),
        (b'{"amount": "1", "a\\u006dount": "2"}', "amount"),
        (b'{"verification": {"identity": false, "identity": true}}', "identity"),
        (b'{"x": [{"y": {"key": 1, "key": 2}}]}', "key"),
        (b'{"\\u001b[31m": 1, "\\u001b[31m": 2}', "?[31m"),
    ],
)
def test_a_key_that_stands_twice_is_refused_at_any_depth(line: bytes, key: str) -> None:
    assert refusal(json_fields, line) == f'the key "{key}" stands twice in one object: write it once'


@pytest.mark.parametrize("number", ["1", "1.5", "-0", "1e999", "NaN", "Infinity", "-Infinity", "9" * 60_000])
def test_a_number_keeps_its_text_and_is_no_amount(number: str) -> None:
    line = as_json().replace(b'"1.5"', number.encode())
    assert json_fields(line)["amount"] == Number(number)
    assert refusal(from_json, line).startswith("amount is the number ")


@pytest.mark.parametrize("number", ["01", "+1", ".5", "1.", "0x1", "1_000", "nan", "\u0661"])
def test_what_only_looks_like_a_number_is_not_json(number: str) -> None:
    assert "not one JSON object" in refusal(json_fields, as_json().replace(b'"1.5"', number.encode()))


def nested(levels: int, left: str = '{"a":', right: str = "}") -> bytes:
    return (left * levels + "null" + right * levels).encode()


def test_eight_levels_are_read_and_nine_are_not() -> None:
    assert json_fields(nested(8))
    assert json_fields(b'{"a":' + nested(7, "[", "]") + b"}")
    assert json_fields(nested(8).replace(b"null", b'"[[["'))
    assert json_fields(nested(7).replace(b"null", b"{}").replace(b"{}", b'{"a":"{{{","b":1}'))
    innermost = [b"null", b"{}", b"[]", b'[{"a":1}]']
    lists = b'{"a":' + nested(8, "[", "]") + b',"b":"x"}'
    for line in (*(nested(9).replace(b"null", each) for each in innermost), nested(8).replace(b"null", b"[]"), lists):
        assert refusal(json_fields, line) == "this is nested deeper than 8 levels: a request has two"


@pytest.mark.parametrize("levels", [500, 990, 1000, 5000, 13000])
def test_deep_nesting_is_refused_like_any_other(levels: int) -> None:
    assert "deeper than 8 levels" in refusal(json_fields, nested(levels))
    assert refusal(json_fields, b"[" * levels)


def test_brackets_in_a_text_are_no_levels() -> None:
    assert from_json(as_json(note="[[[[[[[[[[{{{{{{{{{{")).note == "[[[[[[[[[[{{{{{{{{{{"


@pytest.mark.parametrize("escaped", ["\\ud800", "\\uDFFF", "\\ud800\\ud800", "x\\udc00\\ud800"])
@pytest.mark.parametrize("form", ['{"note": "%s"}', '{"%s": 1}', '{"a": [{"b": "%s"}]}'])
def test_half_of_a_surrogate_pair_is_refused_wherever_it_is(form: str, escaped: str) -> None:
    assert "half of a surrogate pair" in refusal(json_fields, (form % escaped).encode())


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert json_fields(b'{"note": "\\ud83d\\ude00"}') == {"note": "\U0001f600"}


def test_a_nul_that_is_escaped_is_refused_by_its_field() -> None:
    assert refusal(from_json, as_json(memo="a\x00b")).startswith("memo holds U+0000")


def test_ten_thousand_keys_of_which_one_stands_twice_are_no_work() -> None:
    line = json.dumps({f"k{i}": 1 for i in range(9_999)}).encode()[:-1] + b', "k9998": 1}'
    assert 'the key "k9998" stands twice' in refusal(json_fields, line)


# -- CSV -------------------------------------------------------------------------------------------------------------

ALL_COLUMNS = ",".join(COLUMNS).encode()


def test_the_columns_are_the_fields_and_those_inside_them_by_both_names() -> None:
    assert set(COLUMNS) == {
        "request_id", "customer", "asset", "chain", "amount", "destination", "memo", "tier", "country", "note",
        "verification_identity", "verification_two_factor", "verification_email_confirmed", "verification_at",
        "beneficiary_name", "beneficiary_provider", "beneficiary_self_hosted", "beneficiary_proof",
        "signature_key", "signature_value",
    }  # fmt: skip


def test_a_line_with_every_column_is_the_same_request_as_its_json() -> None:
    parts: dict[str, Any] = {
        "memo": 'say "hi", twice',
        "tier": "vip",
        "country": "DE",
        "verification": {"identity": True, "two_factor": False, "email_confirmed": True, "at": "2026-11-21T12:00:00Z"},
        "beneficiary": {"name": "张三", "provider": "X", "self_hosted": False, "proof": "p"},
        "note": "n",
        "signature": A_SIGNATURE,
    }
    told = {**GOOD, **parts}
    cells = []
    for field, member in COLUMNS.values():
        value = told[field][member] if member else told[field]
        cells.append(str(value).lower() if isinstance(value, bool) else str(value))
    request = from_csv(written(cells), ALL_COLUMNS)
    assert request == from_json(as_json(**parts))
    assert request.signed == signed_bytes(told)


def test_an_empty_cell_is_a_field_that_is_not_there() -> None:
    header = HEADER + b",memo,verification_identity,beneficiary_name,signature_key"
    assert CsvForm(header).fields(ROW + b",,,,") == GOOD
    assert refusal(from_csv, ROW.replace(b"c-7", b"")).startswith("customer is missing")


def test_columns_stand_in_any_order() -> None:
    names = list(GOOD)[::-1]
    assert from_csv(",".join(GOOD[name] for name in names).encode(), ",".join(names).encode()) == from_json(as_json())


@pytest.mark.parametrize("cell", [b"yes", b"TRUE", b"True", b"1", b"0", b" true", b'"t"'])
def test_a_flag_is_true_or_false_in_small_letters(cell: bytes) -> None:
    form = CsvForm(HEADER + b",verification_two_factor")
    assert "write true or false" in refusal(form.fields, ROW + b"," + cell)
    assert form.fields(ROW + b",true")["verification"] == {"two_factor": True}
    assert form.fields(ROW + b',"false"')["verification"] == {"two_factor": False}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\uff1d", "\uff0b", "\uff0d", "\uff20"], ids=ascii)
@pytest.mark.parametrize("column", [*GOOD, "memo", "note", "beneficiary_name", "signature_key"])
def test_a_cell_that_starts_like_a_formula_is_refused_in_every_column(column: str, start: str) -> None:
    cells = {**GOOD, column: f"{start}1+1"}
    header, row = ",".join(cells).encode(), written(list(cells.values()))
    message = refusal(lambda line: from_csv(line, header), row)
    assert message.startswith(f"{column} is ")
    assert "starts like a spreadsheet formula" in message


def test_a_signature_may_start_with_a_plus_as_base64_does() -> None:
    value = "+" * 85 + "A=="
    header = HEADER + b",signature_key,signature_value"
    request = from_csv(ROW + f",backend,{value}".encode(), header)
    assert request.signature is not None
    assert request.signature.value == value
    assert "88 characters" in refusal(lambda line: from_csv(line, header), ROW + b",backend,+1")


@pytest.mark.parametrize(
    "row",
    [b'"w-1', b'w"-1', b'"w"-1', b' "w-1"', b'"w-1" ', b'w-1"', b'"w-1""', b'"""', b'"w-1"x"y"'],
)
def test_a_quote_in_a_wrong_place_is_refused(row: bytes) -> None:
    message = refusal(from_csv, row + b"," + ROW.partition(b",")[2])
    assert message.startswith("the quotes are wrong: ")


def test_a_line_end_in_quotes_is_refused_in_both_halves() -> None:
    form = CsvForm(HEADER + b",note")
    first, second = (ROW + b',"two\nlines"').split(b"\n")
    assert "on one line" in refusal(form.fields, first)
    assert refusal(form.fields, second)


def test_a_cell_in_quotes_of_ten_megabytes_is_refused() -> None:
    assert refusal(from_csv, ROW.replace(b"c-7", b'"' + b"c" * 10_000_000 + b'"'))


def test_cells_in_quotes_hold_commas_and_quotes() -> None:
    form = CsvForm(HEADER + b",note")
    assert form.fields(ROW + b',"a, ""b"""')["note"] == 'a, "b"'


@pytest.mark.parametrize("row", [b"", b"w-1", ROW + b",", ROW + b",x", ROW.rpartition(b",")[0]])
def test_a_wrong_number_of_cells_is_told_with_both_numbers(row: bytes) -> None:
    assert refusal(from_csv, row) == f"this line has {row.count(b',') + 1} cells, and the header has 6"


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (HEADER + b",memmo", 'unknown column "memmo": did you mean memo?'),
        (HEADER.replace(b"amount", b"Amount"), 'unknown column "Amount": did you mean amount?'),
        (HEADER + b",verification.at", "did you mean verification_at?"),
        (HEADER + b",verification", 'unknown column "verification"'),
        (HEADER + b",", 'unknown column ""'),
        (HEADER + b",zzzzzz", "known are request_id, customer"),
        (HEADER + b",amount", "the column amount twice"),
        (b"request_id,customer,asset", "no column chain, amount, destination"),
        (b"\xef\xbb\xbf" + HEADER, "byte order mark"),
        (HEADER + b"\r", "CR LF"),
        (HEADER + b"\0", "NUL"),
        (HEADER.replace(b",", b";"), "unknown column"),
        (b'"request_id,customer', "the quotes are wrong"),
        (b"", 'unknown column ""'),
        (ROW, 'unknown column "w-1"'),
    ],
)
def test_a_bad_header_is_refused_before_any_line(header: bytes, why: str) -> None:
    assert why in refusal(CsvForm, header)


# -- whatever anybody sends ------------------------------------------------------------------------------------------


def written(cells: list[str]) -> bytes:
    """One line of CSV as Python's own writer has it."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue().encode("utf-8", "surrogatepass")


def again(request: Request) -> Request:
    """The request read once more, from what a signature would cover of it."""
    fields = {
        name: getattr(request, name) for name in ("request_id", "customer", "chain", "destination", "memo", "note")
    }
    fields |= {"asset": request.asset.symbol, "amount": str(request.amount), "tier": request.tier}
    return from_json(signed_bytes(fields).removeprefix(SIGNED))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def refused_or_read(read: Callable[[], Request]) -> None:
    found = read_or_refused(read)
    if isinstance(found, str):
        assert found.isprintable()
    elif (found.country, found.verification, found.beneficiary) == (None, None, None):
        assert again(found).content == found.content


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_or_read(line: bytes) -> None:
    refused_or_read(lambda: from_json(line))
    refused_or_read(lambda: from_csv(line))
    refused_or_read(lambda: from_csv(ROW, line))


@given(st.dictionaries(NAMES | TEXTS, JSON_VALUES, max_size=3), st.booleans())
def test_json_with_anything_in_it_is_refused_or_read(changes: Mapping[str, object], ascii_only: bool) -> None:
    line = json.dumps({**GOOD, **changes}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    refused_or_read(lambda: from_json(line))


@given(st.integers(0, 400), st.binary(max_size=4))
def test_a_good_line_with_bytes_put_in_is_refused_or_read(place: int, put: bytes) -> None:
    for read, line in ((from_json, as_json(memo="m")), (from_csv, ROW)):
        at = place % (len(line) + 1)
        refused_or_read(lambda read=read, line=line[:at] + put + line[at:]: read(line))  # type: ignore[misc]


@given(st.lists(TEXTS, min_size=len(GOOD), max_size=len(GOOD)))
def test_csv_cells_come_out_as_they_were_written(cells: list[str]) -> None:
    line = written(cells)
    try:
        fields = CsvForm(HEADER).fields(line)
    except BadInput:
        assume(False)
    assert fields == {name: cell for name, cell in zip(GOOD, cells, strict=True) if cell}


@given(st.dictionaries(TEXTS, JSON_VALUES, max_size=4))
def test_what_json_fields_takes_is_what_the_json_says(value: dict[str, object]) -> None:
    line = json.dumps(value).encode()
    try:
        fields = json_fields(line)
    except BadInput:
        assume(False)
    assert fields == json.loads(line, parse_int=Number, parse_float=Number, parse_constant=Number)
