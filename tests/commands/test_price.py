"""`price status` as it is typed."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Configs, Program

NOBODY = "http://127.0.0.1:1"
ASSETS = {"ETH": {"decimals": 18}, "USDT": {"decimals": 6, "contract": "0xdAC17F958D2ee523a2206206994597C13D831ec7"}}
KEYS = ["schema", "symbol", "usable", "usd", "as_of", "sources", "min_sources", "reason", "quotes"]


def price_file(path: Path, age: timedelta = timedelta(), **prices: str) -> None:
    """A price file as a feed writes it, that much old."""
    as_of = datetime.now(UTC) - age
    lines = [f"as_of = {as_of:%Y-%m-%dT%H:%M:%SZ}", "[price_usd]", *(f"{key} = {text}" for key, text in prices.items())]
    path.write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def folder(configs: Configs) -> Path:
    """A settings folder with a chain of two assets and two price files, which are not there yet."""
    desk = '[prices]\nfiles = ["a.toml", "b.toml"]\nmin_sources = 2\n'
    return configs({"dev": NOBODY, "off": NOBODY}, dev={"assets": ASSETS}, off={"enabled": False}, desk=desk)


def test_every_asset_of_the_chains_has_its_price_or_the_reason_why_not(run: Program, folder: Path) -> None:
    price_file(folder / "a.toml", ETH='"2500"', DOGE='"0.1"')
    price_file(folder / "b.toml", ETH='"2501.5"')
    done = run("price", "status", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    doge, eth, usdt = done.json
    assert list(eth) == KEYS
    assert (eth["symbol"], eth["usable"], eth["usd"], eth["sources"], eth["min_sources"]) == (
        "ETH",
        True,
        "2500.75",
        2,
        2,
    )
    assert [(quote["source"], quote["usd"]) for quote in eth["quotes"]] == [("a.toml", "2500"), ("b.toml", "2501.5")]
    assert (doge["symbol"], doge["usable"], doge["reason"]) == ("DOGE", False, "1 of at least 2 prices")
    assert (usdt["symbol"], usdt["usable"], usdt["quotes"]) == ("USDT", False, [])


def test_an_old_price_is_read_and_not_usable(run: Program, folder: Path) -> None:
    price_file(folder / "a.toml", ETH='"2500"')
    price_file(folder / "b.toml", timedelta(hours=1), ETH='"2501"')
    done = run("price", "status", "--json")
    assert done.exit_code == 0
    eth = done.json[0]
    assert (eth["usable"], eth["usd"], eth["as_of"]) == (False, None, None)
    assert eth["reason"] == "1 of at least 2 prices, 1 too old or not usable"


def test_a_missing_file_exits_8_and_the_other_is_told(run: Program, folder: Path) -> None:
    price_file(folder / "a.toml", ETH='"2500"')
    done = run("price", "status", "--json")
    assert done.exit_code == 8
    assert f"{folder / 'b.toml'}: it cannot be read: No such file or directory" in done.stderr
    assert [len(each["quotes"]) for each in done.json] == [1, 0]


def test_a_price_without_quotes_exits_8_and_the_others_count(run: Program, folder: Path) -> None:
    price_file(folder / "a.toml", ETH='"2500"', USDT="1.0")
    price_file(folder / "b.toml", ETH='"2500"')
    done = run("price", "status", "--json")
    assert done.exit_code == 8
    assert "a.toml: price_usd.USDT: a price has to be in quotes" in done.stderr
    assert done.json[0]["usable"]


def test_a_person_reads_who_says_what(run: Program, folder: Path) -> None:
    price_file(folder / "a.toml", ETH='"2500"')
    price_file(folder / "b.toml", ETH='"2800"')
    done = run("price", "status")
    assert done.exit_code == 0
    head, _, eth, usdt = done.stdout.splitlines()
    assert head.split() == ["symbol", "usd", "as_of", "sources", "state", "quotes"]
    assert "2 of 2" in eth
    assert "not usable: the sources disagree: a.toml says 2500, the median is 2650" in eth
    assert "a.toml 2500 (" in eth
    assert "0 of 2" in usdt


def test_programs_get_csv_and_jsonl(run: Program, folder: Path) -> None:
    for name in ("a.toml", "b.toml"):
        price_file(folder / name, ETH='"2500"')
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(run("price", "status", "-o", "csv").stdout)))
    assert [(row["symbol"], row["usable"], row["usd"]) for row in rows] == [
        ("ETH", "true", "2500"),
        ("USDT", "false", ""),
    ]
    assert [line["symbol"] for line in run("price", "status", "-o", "jsonl").jsonl] == ["ETH", "USDT"]


def test_without_price_files_nothing_is_usable_and_that_is_told(run: Program, configs: Configs) -> None:
    configs({"dev": NOBODY})
    done = run("price", "status", "--json")
    assert done.exit_code == 0
    assert "desk.toml" in done.stderr
    assert "names no price files" in done.stderr
    assert [each["usable"] for each in done.json] == [False]
