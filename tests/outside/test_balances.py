"""What customers have: told by the file, and by nothing else where the file is missing, broken or old."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptosupport.domain.money import NOTHING, Quantity
from cryptosupport.domain.policy.judging import NotKnown
from cryptosupport.outside.balances import Balances

AS_OF = 1_795_262_400_000
MINUTE = 60_000
GOOD = "# as_of 2026-11-21T12:00:00Z\ncustomer,asset,amount\nc-7,BTC,0.5\nc-7,USDT,100\nc-8,BTC,-0.1\n"


def feed(folder: Path, text: str | bytes = GOOD, max_age: int = 15 * MINUTE) -> Balances:
    path = folder / "balances.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Balances(path, max_age)


def why(balances: Balances, now: int = AS_OF) -> str:
    found = balances.of("c-7", "BTC", now)
    assert isinstance(found, NotKnown), found
    return found.reason


def test_a_balance_is_that_of_the_customer_and_the_asset(tmp_path: Path) -> None:
    balances = feed(tmp_path)
    assert balances.as_of == AS_OF
    assert balances.of("c-7", "BTC", AS_OF) == Quantity.parse("0.5")
    assert balances.of("c-7", "USDT", AS_OF) == Quantity.parse("100")


def test_who_is_not_listed_has_nothing(tmp_path: Path) -> None:
    balances = feed(tmp_path)
    assert balances.of("c-9", "BTC", AS_OF) == NOTHING
    assert balances.of("c-8", "USDT", AS_OF) == NOTHING
    assert balances.of("c-7", "DOGE", AS_OF) == NOTHING


def test_a_debt_is_less_than_nothing(tmp_path: Path) -> None:
    debt = feed(tmp_path).of("c-8", "BTC", AS_OF)
    assert isinstance(debt, Quantity)
    assert debt < NOTHING


def test_without_a_file_there_is_nothing_to_check() -> None:
    balances = Balances(None, MINUTE)
    assert balances.of("c-7", "BTC", AS_OF) is None
    assert balances.as_of is None


def test_a_file_counts_for_its_time_and_no_longer(tmp_path: Path) -> None:
    balances = feed(tmp_path)
    assert balances.of("c-7", "BTC", AS_OF + 15 * MINUTE) == Quantity.parse("0.5")
    assert why(balances, AS_OF + 15 * MINUTE + 1).endswith("balances.csv is 15m 1s old, and counts for 15m")


def test_a_file_of_a_later_moment_does_not_count(tmp_path: Path) -> None:
    """What a customer spends before the moment of the file would not be taken off the balance."""
    balances = feed(tmp_path)
    assert balances.of("c-7", "BTC", AS_OF - 5000) == Quantity.parse("0.5")
    assert why(balances, AS_OF - 5001).endswith("says that it is of a time 6s from now")


def test_without_its_first_line_the_file_is_as_old_as_its_last_writing(tmp_path: Path) -> None:
    balances = feed(tmp_path, GOOD.partition("\n")[2])
    os.utime(tmp_path / "balances.csv", ns=(0, (AS_OF + 123) * 10**6))
    assert balances.as_of == AS_OF + 123
    assert balances.of("c-7", "BTC", AS_OF + 123) == Quantity.parse("0.5")


def test_it_is_read_once_and_only_when_it_is_asked(tmp_path: Path) -> None:
    balances = Balances(tmp_path / "balances.csv", MINUTE)
    feed(tmp_path)
    assert balances.of("c-7", "BTC", AS_OF) == Quantity.parse("0.5")
    feed(tmp_path, GOOD.replace("0.5", "9"))
    assert balances.of("c-7", "BTC", AS_OF) == Quantity.parse("0.5")


@pytest.mark.parametrize("how", ["written over", "renamed"])
def test_a_new_file_counts_once_it_is_read(tmp_path: Path, how: str) -> None:
    balances = feed(tmp_path)
    balances.read()
    if how == "renamed":
        (tmp_path / "next.csv").write_text(GOOD.replace("0.5", "9.9"), encoding="utf-8")
        (tmp_path / "next.csv").rename(tmp_path / "balances.csv")
    else:
        feed(tmp_path, GOOD.replace("0.5", "9.9"))
    balances.read()
    assert balances.of("c-7", "BTC", AS_OF) == Quantity.parse("9.9")


def test_what_became_of_the_file_is_told_once_it_is_read(tmp_path: Path) -> None:
    balances = feed(tmp_path)
    balances.read()
    for text, said in (("", "is broken"), (None, "cannot be read: No such file")):
        (tmp_path / "balances.csv").unlink()
        if text is not None:
            feed(tmp_path, text)
        for _ in range(2):
            balances.read()
            assert said in why(balances)
            assert balances.as_of is None
    feed(tmp_path)
    balances.read()
    assert balances.as_of == AS_OF


def test_a_file_that_is_as_it_was_is_not_read_again(tmp_path: Path) -> None:
    balances = feed(tmp_path)
    balances.read()
    kept = balances._feed
    balances.read()
    assert balances._feed is kept


def test_without_a_file_there_is_nothing_to_read() -> None:
    balances = Balances(None, MINUTE)
    balances.read()
    assert balances.of("c-7", "BTC", AS_OF) is None


def test_the_csv_of_other_programs_is_read(tmp_path: Path) -> None:
    text = GOOD.replace("\n", "\r\n") + '"c, ""9""","BTC","7"\r\n'
    assert feed(tmp_path, text).of('c, "9"', "BTC", AS_OF) == Quantity.parse("7")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    balances = Balances(tmp_path / "none.csv", MINUTE)
    assert why(balances).endswith("none.csv cannot be read: No such file or directory")
    assert balances.as_of is None
    assert "cannot be read" in why(Balances(tmp_path, MINUTE))


def test_what_is_no_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        assert why(Balances(path, MINUTE)) == f"{path} cannot be read: it is no regular file"


BROKEN = {
    "empty": b"",
    "a line end": b"\n",
    "no header": b"c-7,BTC,0.5\n",
    "a byte order mark": b"\xef\xbb\xbf" + GOOD.partition("\n")[2].encode(),
    "only a time": GOOD.partition("\n")[0] + "\n",
    "a time in another line": "customer,asset,amount\n" + GOOD,
    "two times": GOOD.partition("\n")[0] + "\n" + GOOD,
    "other columns": GOOD.replace("amount", "balance"),
    "no time": GOOD.replace("2026-11-21T12:00:00Z", "yesterday"),
    "a cell too few": GOOD + "c-9,BTC\n",
    "a cell too many": GOOD + "c-9,BTC,1,000\n",
    "a blank line": GOOD + "\n",
    "twice": GOOD + "c-7,BTC,0.5\n",
    "an exponent": GOOD + "c-9,BTC,1e3\n",
    "a plus": GOOD + "c-9,BTC,+1\n",
    "a blank": GOOD + "c-9,BTC, 1\n",
    "no digits": GOOD + "c-9,BTC,\n",
    "NaN": GOOD + "c-9,BTC,NaN\n",
    "other digits": GOOD + "c-9,BTC,\u0661\n",
    "a number without end": GOOD + f"c-9,BTC,{'9' * 100_000}\n",
    "no UTF-8": GOOD.encode() + b"\xff,BTC,1\n",
    "a quote": GOOD + '"c-9"x,BTC,1\n',
    "a quote that does not end": GOOD + '"c-9,BTC,1\n',
    "a cell without end": GOOD + f'"{"x" * 200_000}",BTC,1\n',
    "cut in an amount": GOOD + "c-9,BTC,1",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=list(BROKEN))
def test_a_broken_file_tells_of_nobody(tmp_path: Path, text: str | bytes) -> None:
    balances = feed(tmp_path, text)
    assert "balances.csv is broken: " in why(balances)
    assert why(balances).isprintable()
    assert balances.as_of is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.integers(0, len(GOOD)))
def test_whatever_is_in_the_file_is_a_balance_or_not_known(tmp_path: Path, put: bytes, at: int) -> None:
    data = GOOD.encode()
    for text in (put, data[:at] + put + data[at:], data[:at]):
        assert isinstance(feed(tmp_path, text).of("c-7", "BTC", AS_OF), Quantity | NotKnown)
