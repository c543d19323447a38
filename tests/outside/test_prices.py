"""Price files: exact prices from sound files, and a complaint about everything else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.money import Quantity
from cryptosupport.domain.prices import Quote
from cryptosupport.outside.prices import read_quotes
from cryptosupport.settings import PRESETS
from cryptosupport.settings.reading import MOST_BYTES

AS_OF = "as_of = 2026-11-21T12:00:00Z\n"
NOON = 1_795_262_400_000
PRICES = AS_OF + '[price_usd]\nBTC = "50000.25"\nUSDT = "0.9998"\n'


def written(path: Path, text: str | bytes = PRICES) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def complaint(path: Path) -> str:
    """The only thing that is wrong with a file that counts for nothing."""
    quotes, complaints = read_quotes([path])
    assert quotes == {}
    (said,) = complaints
    assert said.startswith(f"{path}: ")
    return said.removeprefix(f"{path}: ")


def test_prices_are_exact_and_name_their_source_and_time(tmp_path: Path) -> None:
    assert read_quotes([written(tmp_path / "prices.toml")]) == (
        {
            "BTC": [Quote("prices.toml", Quantity(5_000_025, 2), NOON)],
            "USDT": [Quote("prices.toml", Quantity(9998, 4), NOON)],
        },
        [],
    )


def test_the_example_in_the_desk_file_is_a_price_file(tmp_path: Path) -> None:
    lines = (PRESETS / "desk.toml").read_text(encoding="utf-8").splitlines()
    example = [line.removeprefix("#   ") for line in lines if line.startswith("#   ")]
    quotes, complaints = read_quotes([written(tmp_path / "prices.toml", "\n".join(example))])
    assert (sorted(quotes), complaints) == (["BTC", "ETH"], [])


def test_every_file_is_a_source_in_the_order_of_the_settings(tmp_path: Path) -> None:
    files = [written(tmp_path / "a.toml"), written(tmp_path / "b.toml", AS_OF + '[price_usd]\nBTC = "49999"')]
    quotes, complaints = read_quotes(files)
    assert [(quote.source, str(quote.usd)) for quote in quotes["BTC"]] == [("a.toml", "50000.25"), ("b.toml", "49999")]
    assert (len(quotes["USDT"]), complaints) == (1, [])


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    files = [tmp_path / folder / "prices.toml" for folder in ("one", "two")]
    for path in files:
        path.parent.mkdir()
        written(path)
    quotes, _ = read_quotes(files)
    assert [quote.source for quote in quotes["BTC"]] == [str(path) for path in files]


@pytest.mark.parametrize("kind", ["same", "link", "hard link"])
def test_one_file_named_twice_is_one_source(tmp_path: Path, kind: str) -> None:
    first = written(tmp_path / "prices.toml")
    second = tmp_path / "other.toml"
    if kind == "link":
        second.symlink_to(first)
    elif kind == "hard link":
        os.link(first, second)
    else:
        second = tmp_path / "." / "prices.toml"
    quotes, complaints = read_quotes([first, second])
    assert len(quotes["BTC"]) == 1
    assert complaints == [f"{second}: it is the same file as {first}, and counts once"]


@pytest.mark.parametrize(
    ("as_of", "milliseconds"),
    [
        ("2026-11-21T12:00:00.123Z", NOON + 123),
        ("2026-11-21 14:00:00+02:00", NOON),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_the_time_of_prices_is_told_with_its_offset(tmp_path: Path, as_of: str, milliseconds: int) -> None:
    quotes, _ = read_quotes([written(tmp_path / "p.toml", f'as_of = {as_of}\n[price_usd]\nBTC = "1"')])
    assert quotes["BTC"][0].as_of == milliseconds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[price_usd]\nBTC = "1"', "as_of: write the time with its offset"),
        ('as_of = 2026-11-21T12:00:00\n[price_usd]\nBTC = "1"', "as_of: write the time with its offset"),
        ('as_of = 2026-11-21\n[price_usd]\nBTC = "1"', "as_of: write the time with its offset"),
        ('as_of = "2026-11-21T12:00:00Z"\n[price_usd]\nBTC = "1"', "and without quotes, like 2026-11-21T12:00:00Z"),
        ('as_of = 1795262400\n[price_usd]\nBTC = "1"', "as_of: write the time with its offset"),
        ('as_of = 1969-12-31T23:59:59Z\n[price_usd]\nBTC = "1"', "is no time of a price"),
        ('as_of = 9999-12-31T23:59:59-23:00\n[price_usd]\nBTC = "1"', "is no time of a price"),
        (AS_OF, "price_usd: write a table [price_usd]"),
        (AS_OF + 'price_usd = "1"', "price_usd: write a table [price_usd]"),
        (AS_OF + '[prices_usd]\nBTC = "1"', "unknown key 'prices_usd': it holds as_of and [price_usd]"),
        (AS_OF + 'note = "x"\n[price_usd]\nBTC = "1"', "unknown key 'note'"),
        (PRICES + 'BTC = "1"', "it is not valid TOML"),
        ("as_of =", "it is not valid TOML"),
        (b"\xff\xfe", "it is not valid TOML"),
        (b"\x00", "it is not valid TOML"),
        (PRICES.replace("\n", "\r"), "it is not valid TOML"),
        ("x = " + "[" * 10_000, "it is not valid TOML"),
        ("x = " + "9" * 5000, "it is not valid TOML"),
        ("", "as_of: write the time"),
        ("#" * (MOST_BYTES + 1), "it has more than 1048576 bytes"),
    ],
    ids=range(20),
)
def test_a_file_that_is_not_sound_counts_for_nothing(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert said in complaint(written(tmp_path / "p.toml", text))


def test_a_file_of_the_greatest_size_is_read(tmp_path: Path) -> None:
    text = PRICES + "#" * (MOST_BYTES - len(PRICES))
    assert len(read_quotes([written(tmp_path / "p.toml", text)])[0]) == 2


def test_what_is_no_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    assert complaint(tmp_path / "none.toml") == "it cannot be read: No such file or directory"
    assert "symbolic links" in complaint(tmp_path / "loop")
    assert complaint(tmp_path) == "it cannot be read: Is a directory"
    assert complaint(tmp_path / "pipe") == "it cannot be read: it is no regular file"
    assert complaint(Path("/dev/zero")) == "it cannot be read: it is no regular file"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("50000.5", 'a price has to be in quotes, like "50000.25"'),
        ("50000", "a price has to be in quotes"),
        ("true", "a price has to be in quotes"),
        ("nan", "a price has to be in quotes"),
        ('["1"]', "a price has to be in quotes"),
        ('"-1"', "'-1' is not an amount"),
        ('"1e5"', "'1e5' is not an amount"),
        ('"50,000"', "'50,000' is not an amount"),
        ('"$1"', "'$1' is not an amount"),
        ('""', "'' is not an amount"),
        ('"NaN"', "'NaN' is not an amount"),
        ('"٣"', "is not an amount"),
        ('"0"', "a price of 0 is none"),
        ('"0.000"', "a price of 0 is none"),
        (f'"{"1" * 5000}"', "is too long for a price"),
    ],
    ids=range(15),
)
def test_a_bad_price_is_left_out_and_the_others_count(tmp_path: Path, value: str, said: str) -> None:
    path = written(tmp_path / "p.toml", PRICES + f"DOGE = {value}\n")
    quotes, (told,) = read_quotes([path])
    assert sorted(quotes) == ["BTC", "USDT"]
    assert told.startswith(f"{path}: price_usd.DOGE: ")
    assert said in told


def test_a_broken_file_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    quotes, complaints = read_quotes([tmp_path / "none.toml", written(tmp_path / "p.toml")])
    assert (len(quotes), len(complaints)) == (2, 1)


@given(st.binary(max_size=200))
def test_whatever_a_file_holds_it_is_read_or_told(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = written(tmp_path_factory.getbasetemp() / "any.toml", content)
    quotes, complaints = read_quotes([path])
    assert quotes == {}
    assert complaints
