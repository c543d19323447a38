"""What `withdraw submit` is given: nothing that is wrong is recorded, and it never keeps the good lines out."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.commands.withdrawkit import ON_BITCOIN, ON_ETHEREUM, asked, desk, in_this_process, jsonl, options
from tests.conftest import Program, Run

ROOMY = """
tiers = ["basic", "vip"]
[[rules]]
name = "mine"
per = "customer"
window = "24h"
max_amount = "1000000"
"""
WIF = "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"
HEX_KEY = "e9873d79c6d87dc0fb6a5778633389f4453213303da61f20bd67fc233aa33262"
PHRASE = "legal winner thank year wave sausage worth useful legal winner thank yellow"


@pytest.fixture(autouse=True)
def configs(tmp_path: Path) -> Path:
    """The settings folder, with a policy that allows nearly everything."""
    return desk(tmp_path / "configs", ROOMY)


@pytest.fixture
def run(tmp_path: Path) -> Program:
    """The program, with the settings and the data of this test."""
    return in_this_process(tmp_path)


def recorded(run: Program) -> list[str]:
    """The request ids in the ledger, in order of arrival."""
    return [record["request_id"] for record in run("withdraw", "list", "-o", "jsonl").jsonl]


def submitted(run: Program, tmp_path: Path, data: bytes, *arguments: str) -> Run:
    """What comes of a file with these bytes."""
    (tmp_path / "requests").write_bytes(data)
    return run("withdraw", "submit", "--input", str(tmp_path / "requests"), "-o", "jsonl", *arguments)


# -- bad lines -------------------------------------------------------------------------------------------------------


def raw(**changes: Any) -> bytes:
    return json.dumps(asked("bad") | changes, ensure_ascii=False).encode("utf-8", "surrogatepass")


def written(name: str, value: str) -> bytes:
    """A line with ``value`` in it as it is, in the place of the field ``name``."""
    rest = {key: text for key, text in asked("bad").items() if key != name}
    return f'{json.dumps(rest)[:-1]}, "{name}": {value}}}'.encode()


BAD_LINES = {
    "negative": (raw(amount="-1"), "amount"),
    "zero": (raw(amount="0"), "there is nothing to pay"),
    "zero with decimals": (raw(amount="0.00000000"), "there is nothing to pay"),
    "NaN": (written("amount", "NaN"), "the number NaN"),
    "NaN as text": (raw(amount="NaN"), 'amount is "NaN"'),
    "Infinity": (written("amount", "Infinity"), "the number Infinity"),
    "exponent": (raw(amount="1e3"), 'amount is "1e3"'),
    "a JSON number": (written("amount", "1.5"), "write it as text, in quotes"),
    "plus": (raw(amount="+1"), 'amount is "+1"'),
    "grouping": (raw(amount="1,000"), 'amount is "1,000"'),
    "grouping with blanks": (raw(amount="1 000"), 'amount is "1 000"'),
    "underscore": (raw(amount="1_000"), 'amount is "1_000"'),
    "hexadecimal": (raw(amount="0x10"), 'amount is "0x10"'),
    "Arabic digits": (raw(amount="\u0661"), "amount"),
    "full-width digits": (raw(amount="\uff11"), "amount"),
    "too many decimals": (raw(amount="0.000000001"), "9 decimals, and the asset has 8"),
    "2**256": (raw(amount=str(2**256), asset="ETH", chain="ethereum", destination=ON_ETHEREUM), "2**256 - 1"),
    "2**256 base units of ETH": (
        raw(amount=f"{2**256 // 10**18}.{2**256 % 10**18:018}", asset="ETH", chain="ethereum", destination=ON_ETHEREUM),
        "2**256 - 1 base units",
    ),
    "a NUL byte": (raw().replace(b"c-7", b"c\x00-7"), "NUL"),
    "an escaped NUL": (raw().replace(b"c-7", b"c\\u0000-7"), "U+0000"),
    "no UTF-8": (raw().replace(b"c-7", b"c\xff-7"), "not UTF-8"),
    "half a surrogate pair": (raw().replace(b"c-7", b"c\\ud800"), "surrogate"),
    "CR LF": (raw() + b"\r", "CR LF"),
    "a byte order mark": (b"\xef\xbb\xbf" + raw(), "byte order mark"),
    "a key twice": (raw()[:-1] + b', "amount": "2"}', 'the key "amount" stands twice'),
    "a key twice inside": (raw()[:-1] + b', "verification": {"identity": true, "identity": false}}', "stands twice"),
    "deep nesting": (written("note", "[" * 100_0 + "]" * 100_0), "nested deeper than 8"),
    "very deep nesting": (b"[" * 60_000, "nested deeper"),
    "no JSON": (b"hello", "not one JSON object"),
    "half an object": (raw()[:-5], "not one JSON object"),
    "two objects": (raw() + b" " + raw(), "not one JSON object"),
    "a list": (b"[" + raw() + b"]", "JSON, but not an object"),
    "a wrong checksum": (raw(destination=ON_BITCOIN[:-1] + "5"), "checksum"),
    "a wrong EIP-55 checksum": (
        raw(asset="ETH", chain="ethereum", destination=ON_ETHEREUM.replace("aA", "Aa")),
        "checksum",
    ),
    "an address of another chain": (
        raw(destination=ON_ETHEREUM),
        "is an address of ethereum, and the request",
    ),
    "an address of another network": (
        raw(destination="tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"),
        "is no address of",
    ),
    "an unknown chain": (raw(chain="bitcion"), "known are bitcoin"),
    "a chain in capitals": (raw(chain="Bitcoin"), '"Bitcoin" is not configured'),
    "an asset of another chain": (raw(asset="ETH"), "not an asset of bitcoin"),
    "an unknown field": (raw(adress="x"), "unknown field"),
    "an unknown tier": (raw(tier="VIP"), 'tier "VIP" is not in the policy'),
    "a formula": (raw(customer="=cmd|' /C calc'!A0"), "spreadsheet formula"),
    "a full-width formula": (raw(customer="\uff1d1"), "spreadsheet formula"),
    "a direction mark": (raw(note="a\u202eb"), "U+202E"),
    "an escape": (raw(note="a\x1b[31m"), "U+001B"),
    "no id": (raw(request_id=None), "request_id is missing"),
    "an empty id": (raw(request_id=""), "request_id is empty"),
    "a long id": (raw(request_id="x" * 129), "129 characters"),
    "a key that nobody knows": (raw(signature={"key": "who", "value": "A" * 86 + "=="}), "[intake] keys names none"),
    "10 MB": (raw(note="x" * 10_000_000), "bytes long, and a request has at most 65536"),
    "10 MB of blanks and a bracket": (b" " * 10_000_000 + b"{", "bytes long"),
}


def test_every_bad_line_is_told_with_its_number_and_its_reason_and_no_good_one_is_kept_out(
    run: Program, tmp_path: Path
) -> None:
    lines, good = [], [asked(f"good-{n}", "0.1") for n in range(len(BAD_LINES) + 1)]
    for request, (bad, _) in zip(good, BAD_LINES.values(), strict=False):
        lines += [json.dumps(request).encode(), bad]
    data = b"\n".join([*lines, b"", json.dumps(good[-1]).encode()])  # a blank line counts, and no more
    done = submitted(run, tmp_path, data)
    assert done.exit_code == 2
    assert "no sanctions list is there" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    rows = done.jsonl
    assert len(rows) == 2 * len(BAD_LINES) + 1
    for number, (name, (_, reason)) in enumerate(BAD_LINES.items()):
        row = rows[2 * number + 1]
        assert [*row] == ["line", "input", "error"], name
        assert row["line"] == 2 * number + 2, name
        assert reason in row["error"]["message"], (name, row["error"]["message"])
        assert row["error"]["code"] == "bad_input"
        assert row["input"].isprintable()
        assert len(row["input"]) < 200
    assert [row["state"] for row in rows[::2]] == ["approved"] * len(good)
    assert recorded(run) == [request["request_id"] for request in good]


def csv_lines(*rows: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


HEADER = ["request_id", "customer", "asset", "chain", "amount", "destination", "memo", "verification_identity", "note"]


def cells(**changes: str) -> list[str]:
    facts = asked("bad") | {"memo": "", "verification_identity": "", "note": ""} | changes
    return [facts[name] for name in HEADER]


BAD_ROWS = {
    "negative": (csv_lines(cells(amount="-1")), "amount"),
    "grouping": (csv_lines(cells(amount="1,000")), 'amount is "1,000"'),
    "formula in a memo": (csv_lines(cells(memo="=HYPERLINK(1)")), "spreadsheet formula"),
    "formula in a note": (csv_lines(cells(note="@SUM(A1)")), "spreadsheet formula"),
    "tab": (csv_lines(cells(note="\t=1")), "spreadsheet formula"),
    "a cell too few": (csv_lines(cells()[:-1]), "8 cells, and the header has 9"),
    "a cell too many": (csv_lines([*cells(), ""]), "10 cells"),
    "a comma unquoted": (",".join(cells(note="a,b")) + "\n", "10 cells"),
    "an open quote": (",".join(cells(note='"a')) + "\n", "quotes"),
    "a flag that is none": (csv_lines(cells(verification_identity="yes")), "write true or false"),
    "CR LF": (csv_lines(cells())[:-1] + "\r\n", "CR LF"),
    "empty": (csv_lines(cells(customer="")), "customer is missing"),
}


def test_csv_is_read_as_strictly_line_by_line(run: Program, tmp_path: Path) -> None:
    text = csv_lines(HEADER)
    for number, (bad, _) in enumerate(BAD_ROWS.values()):
        text += (
            csv_lines(cells(request_id=f"good-{number}", note='say "hi", please', verification_identity="true")) + bad
        )
    done = submitted(run, tmp_path, text.encode(), "--format", "csv")
    assert done.exit_code == 2
    for number, (name, (_, reason)) in enumerate(BAD_ROWS.items()):
        taken, refused = done.jsonl[2 * number : 2 * number + 2]
        assert taken["state"] == "approved"
        assert refused["line"] == 2 * number + 3, name
        assert reason in refused["error"]["message"], (name, refused["error"]["message"])
    assert recorded(run) == [f"good-{number}" for number in range(len(BAD_ROWS))]
    reveal = ("--reveal", "--reason", "test", "--operator", "alice", "--json")
    assert run("withdraw", "explain", "good-0", *reveal).json["note"] == 'say "hi", please'


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("", "line 1: the input is empty"),
        ("request_id,customer", "line 1: the header has no column asset, chain, amount, destination"),
        (",".join([*HEADER, "memo"]), "line 1: the header has the column memo twice"),
        (",".join([*HEADER, "destnation"]), "did you mean destination?"),
        (",".join(HEADER) + "\r", "line 1: this line ends in CR LF"),
        ("\ufeff" + ",".join(HEADER), "line 1: this line starts with a byte order mark"),
        (jsonl(asked())[:-1], "line 1 is JSON"),
    ],
)
def test_a_header_that_cannot_be_used_takes_nothing(run: Program, tmp_path: Path, header: str, said: str) -> None:
    data = f"{header}\n{csv_lines(cells())}" if header else ""
    done = submitted(run, tmp_path, data.encode(), "--format", "csv")
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in json.loads(done.stderr)["error"]["message"]
    assert recorded(run) == []


# -- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"amount": "1e3"}, 'amount is "1e3"'),
        ({"amount": "-1"}, "amount"),
        ({"amount": ""}, "amount is empty"),
        ({"asset": "XYZ"}, "asset"),
        ({"chain": "ethereum"}, "asset"),
        ({"destination": ON_BITCOIN[:-1]}, "destination"),
        ({"country": "Germany"}, "country"),
        ({"request_id": "a b"}, "request_id"),
        ({"memo": "a\x1bb"}, "memo holds U+001B"),
        ({"customer": "\udcff"}, "customer"),
        ({"note": ""}, "note is empty"),
    ],
)
def test_a_bad_option_is_exit_2_names_the_field_and_records_nothing(
    run: Program, changes: dict[str, str], said: str
) -> None:
    plain = run("withdraw", "submit", *options(asked(**changes)))
    assert (plain.exit_code, plain.stdout) == (2, "")
    assert said in plain.stderr
    error = json.loads(run("withdraw", "submit", *options(asked(**changes)), "--json").stderr)["error"]
    assert (error["code"], error["exit_code"]) == ("bad_input", 2)
    assert said.split()[0] in (error["field"], *error["message"].split())
    assert recorded(run) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--input"),
        (("--amount", "1", "--input", "-"), "leave out --amount"),
        (("--request-id", "a", "--customer", "c", "--input", "-"), "--request-id, --customer"),
        (("--format", "csv"), "--request-id"),
        (("--format", "csv", "--request-id", "a"), "--format is that of --input"),
        (("--input", "/nowhere/at/all"), "/nowhere/at/all"),
        (("--input", "-", "--format", "xml"), "xml"),
        (("-",), "unexpected extra argument"),
        (("--request-id", "a"), "customer is missing"),
    ],
)
def test_a_request_comes_in_one_way(run: Program, arguments: tuple[str, ...], said: str) -> None:
    done = run("withdraw", "submit", *arguments, "--json", stdin=jsonl(asked()))
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in json.loads(done.stderr)["error"]["message"]
    assert recorded(run) == [], "stdin is not read unless it is asked for"


def test_csv_that_is_not_called_so_is_answered_with_the_option_to_add(run: Program, tmp_path: Path) -> None:
    data = b'request_id,customer\n"w-1",c-7\nhello\n{"a": 1, \n'
    reasons = [record["error"]["message"] for record in submitted(run, tmp_path, data).jsonl]
    assert ["add --format csv" in reason for reason in reasons] == [True, True, False, False]


# -- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [WIF, PHRASE, PHRASE.replace(" ", ", "), PHRASE.replace(" ", '", "'), HEX_KEY])
def test_a_key_or_a_phrase_in_a_request_is_shown_nowhere(run: Program, secret: str) -> None:
    pieces = [secret[start : start + 12] for start in range(0, len(secret) - 12, 12)]
    for request in (asked(destination=secret), {"memo": secret} | asked(amount="x")):
        for form in ("jsonl", "csv", "table", "json"):
            done = run("withdraw", "submit", "--input", "-", "-o", form, stdin=jsonl(request))
            assert done.exit_code == 2
            assert not [piece for piece in pieces if piece in done.stdout + done.stderr]
        done = run("withdraw", "submit", *options(request))
        assert done.exit_code == 2
        assert not [piece for piece in pieces if piece in done.stdout + done.stderr]


# -- long and slow inputs --------------------------------------------------------------------------------------------


def test_what_is_known_is_told_while_more_lines_are_to_come(command: list[str]) -> None:
    with subprocess.Popen(
        [*command, "withdraw", "submit", "--input", "-", "-o", "jsonl"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(3):
            process.stdin.write(jsonl(asked(f"w-{number}")).encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["state"] == "approved"
        process.stdin.write(jsonl(asked("last")).encode().rstrip(b"\n"))
        process.stdin.close()
        assert len(process.stdout.readlines()) == 1
    assert process.returncode == 0


def test_a_hundred_thousand_lines_stream_in_flat_memory(command: list[str], run: Program, tmp_path: Path) -> None:
    """Peak memory over that of a short run; every second line has an id that was there before."""
    peaks = {}
    for name, lines in (("short", 1000), ("long", 100_000)):
        with (tmp_path / name).open("w", encoding="utf-8") as file:
            for number in range(lines):
                file.write(jsonl(asked(f"{name}-{number // 2}", "0.0001", customer=f"c-{number % 997}")))
        arguments = [*command, "withdraw", "submit", "--input", str(tmp_path / name), "-o", "jsonl"]
        plain = {
            key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")
        }  # it has a memory too
        with (
            (tmp_path / f"{name}.out").open("wb") as out,
            subprocess.Popen(arguments, stdout=out, env=plain) as process,
        ):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 2, "the second of each two names another customer"
        peaks[name] = usage.ru_maxrss
    with (tmp_path / "long.out").open("rb") as told:
        assert sum(b'"approved"' in line for line in told) == 50_000
    assert peaks["long"] - peaks["short"] < 100 * 1024, peaks
