"""Files of screening lists: every address of a good one, and nothing at all of one that is cut, broken or hostile."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.screening import ListKind
from cryptosupport.outside import xmlstream
from cryptosupport.outside.listfiles import ListFile, read_list
from tests.outside.sdnkit import COINS, EARLIER_NAMESPACE, Party, advanced, classic

AS_OF = 1_795_262_400_000
DAY_OF_ISSUE = 1_795_132_800_000
LAZARUS = "0x098B716B8Aaf21512996dC57EB0615e2383E2f96"
ON_BITCOIN = "12QtD5BFwRsdNsAZY76UVE1xyCGNTojH9h"
ON_TRON = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"

PARTIES = [
    Party(1, ["NOBODY WITH COINS"]),
    Party(27307, ["LAZARUS GROUP"], [("ETH", LAZARUS), ("USDT", LAZARUS), ("XBT", ON_BITCOIN)]),
    Party(30001, ["КАРАСАВИДИ & Сын", "Дмитрий <\u200c>"], [("TRX", ON_TRON), ("ETH", LAZARUS.lower())]),
]


def read(text: str | bytes, kind: ListKind = ListKind.SANCTIONS, form: str | None = None) -> ListFile:
    data = text if isinstance(text, bytes) else text.encode()
    return read_list(io.BytesIO(data), "list", kind, form)


def refused(text: str | bytes, kind: ListKind = ListKind.SANCTIONS, form: str | None = None) -> str:
    with pytest.raises(BadInput) as caught:
        read(text, kind, form)
    message = caught.value.message
    assert message.startswith("list: ")
    assert message.endswith("; nothing was imported")
    assert message.isprintable()
    return message.removeprefix("list: ").removesuffix("; nothing was imported")


def addresses(text: str | bytes, kind: ListKind = ListKind.SANCTIONS) -> list[str]:
    return [each.address for each in read(text, kind).entries]


# -- the list of OFAC ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("namespace", ["", EARLIER_NAMESPACE, "whatever comes next"])
def test_every_digital_currency_address_is_read_whatever_the_namespace(namespace: str) -> None:
    text = advanced(PARTIES, namespace=namespace)
    found = read(text)
    told = [(each.address, each.entry, each.tag) for each in found.entries]
    assert told == [
        (LAZARUS, "27307", "ETH"),
        (LAZARUS, "27307", "USDT"),
        (ON_BITCOIN, "27307", "XBT"),
        (ON_TRON, "30001", "TRX"),
        (LAZARUS.lower(), "30001", "ETH"),
    ]
    assert found.as_of == DAY_OF_ISSUE
    assert found.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_the_name_is_that_of_the_primary_alias_in_any_script() -> None:
    assert [each.label for each in read(advanced(PARTIES)).entries][2:4] == [
        "LAZARUS GROUP",
        "КАРАСАВИДИ & Сын Дмитрий <\u200c>",
    ]


def test_a_coin_that_nobody_has_heard_of_yet_is_read_too() -> None:
    coins = COINS | {"NEW COIN 2": 12345}
    (found,) = read(advanced([Party(5, ["X"], [("NEW COIN 2", "nc1-some.form_of:address")])], coins=coins)).entries
    assert (found.tag, found.key) == ("NEW COIN 2", "nc1-some.form_of:address")


def test_blanks_in_an_address_are_those_of_whoever_typed_it() -> None:
    (found,) = read(advanced([Party(5, ["X"], [("ETH", f" {LAZARUS[:20]} \n{LAZARUS[20:]} ")])])).entries
    assert found.address == LAZARUS


def test_the_classic_list_says_the_same() -> None:
    told = [(each.key, each.entry, each.tag) for each in read(classic(PARTIES)).entries]
    assert told == [(each.key, each.entry, each.tag) for each in read(advanced(PARTIES)).entries]
    assert read(classic(PARTIES)).as_of == DAY_OF_ISSUE
    assert read(classic([Party(1, ["DOE", "Jane"], [("ETH", LAZARUS)])])).entries[0].label == "DOE, Jane"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_are_read(encoding: str) -> None:
    data = advanced(PARTIES).replace('encoding="utf-8"', "").encode(encoding)
    assert len(read(data).entries) == 5


@pytest.mark.parametrize("form", [advanced, classic])
def test_a_list_that_is_cut_anywhere_is_refused(form: object) -> None:
    assert callable(form)
    data = form(PARTIES).encode()
    for end in range(1, len(data) - 1, 37):
        with pytest.raises(BadInput):
            read(data[:end], form="xml")
    assert "it ends before its end" in refused(data[: len(data) // 2])
    assert "the file was cut short" in refused(data[: len(data) // 2])


def test_a_list_with_more_behind_its_end_is_refused() -> None:
    assert "no XML: junk after document element" in refused(advanced(PARTIES) + "<a/>")


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE Sanctions [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)
HOSTILE = {
    "entities within entities": BOMB + advanced(PARTIES).partition("?>")[2].replace("LAZARUS", "&c;"),
    "a file of this machine": '<!DOCTYPE Sanctions [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    + advanced(PARTIES).partition("?>")[2].replace("LAZARUS", "&x;"),
    "a document type": '<!DOCTYPE Sanctions SYSTEM "http://127.0.0.1:9/x.dtd">' + advanced(PARTIES).partition("?>")[2],
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_entities_are_refused_before_any_expands(text: str) -> None:
    assert "it declares a document type" in refused(text)


def test_an_entity_that_nobody_declared_is_refused() -> None:
    assert "undefined entity" in refused(advanced(PARTIES).replace("LAZARUS", "&x;"))


WRONG = {
    "a page of the web": ("<html><body>Not found</body></html>", "it begins with <html>"),
    "another list": ("<CONSOLIDATED_LIST/>", "no list that is known"),
    "nothing in it": ("<Sanctions/>", "holds nothing of a list"),
    "no date": (advanced(PARTIES).replace("DateOfIssue", "Date"), "no DateOfIssue"),
    "a bad date": (advanced(PARTIES, date=(2026, 13, 1)), "its date 2026-13-1 is none"),
    "no coins": (advanced(PARTIES).replace("Digital Currency", "Digital"), 'knows no "Digital Currency Address"'),
    "no parties": (advanced(PARTIES).replace("DistinctParty", "Party"), "no DistinctParty"),
    "no address": (advanced(PARTIES).replace("VersionDetail", "Detail"), "27307 has a ETH address that cannot"),
    "coins behind parties": (
        advanced([Party(1, ["X"])]).replace("</DistinctParties>", "</DistinctParties><FeatureTypeValues><FeatureType"
        ' ID="7">Digital Currency Address - ZZZ</FeatureType></FeatureTypeValues>'),
        "stands behind the parties",
    ),
    "an endless address": (advanced([Party(1, ["X"], [("ETH", "0" * 257)])]), "an address of 257 characters"),
    "classic without a date": (classic(PARTIES, date="20 November"), "its date 20 November"),
    "classic without entries": (classic([]), "no sdnEntry"),
    "classic without numbers": (classic(PARTIES).replace("idNumber", "number"), "has a ETH address that cannot"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "why"), WRONG.values(), ids=list(WRONG))
def test_what_is_no_such_list_is_refused(text: str, why: str) -> None:
    assert why in refused(text)


def test_an_allow_list_is_no_list_of_ofac() -> None:
    assert "an allow list is CSV" in refused(advanced(PARTIES), ListKind.ALLOW)


class Endless(io.RawIOBase):
    """Bytes that never end; reading a great many of them fails the test."""

    def __init__(self, start: bytes, again: bytes) -> None:
        self._next, self._again, self._read = start, again * (65536 // len(again) + 1), 0

    def read(self, size: int = -1) -> bytes:
        piece, self._next = self._next, self._again
        self._read += len(piece)
        assert self._read < 20_000_000, "it reads on and on"
        return piece


ENDLESS = {
    "a tag": (b"<Sanctions a='", b"x"),
    "a comment": (b"<Sanctions><!--", b"x"),
    "depth": (b"<Sanctions>", b"<a>"),
    "a party": (b"<Sanctions><DistinctParty>", b"<a/>"),
    "a name": (b"<Sanctions><DistinctParty><NamePartValue>", b"x"),
    "a line": (b"0x", b"a"),
    "names of columns": (b"address", b",address"),
}


@pytest.mark.parametrize(("start", "again"), ENDLESS.values(), ids=list(ENDLESS))
def test_what_would_fill_the_memory_is_refused_in_time(start: bytes, again: bytes) -> None:
    with pytest.raises(BadInput):
        read_list(Endless(start, again), "list", ListKind.SANCTIONS)  # type: ignore[arg-type]


def test_ever_new_names_of_elements_are_refused() -> None:
    assert "more than 1000 names" in refused("<Sanctions>" + "".join(f"<a{n}/>" for n in range(2000)) + "</Sanctions>")


def test_the_memory_stays_flat_however_many_parties_there_are() -> None:
    start, _, end = advanced([Party(1, ["X"], [("ETH", LAZARUS)])]).partition("<DistinctParties>\n")
    party = end.partition("</DistinctParties>")[0].encode() * 50

    def pieces(times: int) -> Iterator[bytes]:
        yield f"{start}<DistinctParties>\n".encode()
        yield from (party for _ in range(times))
        yield b"</DistinctParties></Sanctions>"

    def peak(times: int) -> int:
        tracemalloc.start()
        seen = sum(1 for _ in xmlstream.elements(pieces(times), {"Sanctions": {"DistinctParty"}}))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seen == 50 * times
        return most

    assert peak(60) < peak(4) + 200_000


# -- text ------------------------------------------------------------------------------------------------------------

PLAIN = f"# as_of 2026-11-21T12:00:00Z\n# exploiters\n{LAZARUS}\n\n  {ON_BITCOIN}\t\r\n"
TABLE = f'# as_of 2026-11-21T12:00:00Z\nAddress, tag,label\n{LAZARUS},ETH,"Lazarus, Group"\n{ON_BITCOIN},,\n'
ALLOWED = f"customer,address,since\nc-7,{LAZARUS},2026-11-21T12:00:00Z\nc-8,{LAZARUS},\n"


def test_an_address_a_line_is_a_list() -> None:
    found = read(PLAIN)
    assert [each.address for each in found.entries] == [LAZARUS, ON_BITCOIN]
    assert (found.as_of, found.entries[0].since) == (AS_OF, 0)
    assert read(PLAIN.partition("\n")[2]).as_of is None
    assert addresses("\ufeff" + PLAIN) == [LAZARUS, ON_BITCOIN]


def test_a_header_line_makes_it_csv() -> None:
    found = read(TABLE)
    assert [(each.address, each.tag, each.label) for each in found.entries] == [
        (LAZARUS, "ETH", "Lazarus, Group"),
        (ON_BITCOIN, "", ""),
    ]
    assert addresses(f"address\n{LAZARUS}\n") == [LAZARUS]


def test_an_allow_list_tells_whose_it_is_and_since_when() -> None:
    found = read(ALLOWED, ListKind.ALLOW).entries
    assert [(each.customer, each.since) for each in found] == [("c-7", AS_OF), ("c-8", 0)]


def test_an_empty_file_lists_nothing() -> None:
    assert read("").entries == read("# nothing\n").entries == []


BROKEN = {
    "cut in an address": (PLAIN + LAZARUS[:20], 6, "the file was cut short"),
    "cut behind an address": (PLAIN + LAZARUS, 6, "the file was cut short"),
    "no address": (PLAIN + "Service Unavailable\n", 6, '"Service Unavailable" is no address'),
    "json": ('{"error": 1}\n', 1, "is no address"),
    "a column without a name": (f"{LAZARUS},ETH\n", 1, "need a header line"),
    "an unknown column": ("address,coin\n", 1, 'there is no column "coin"'),
    "a column twice": ("address,tag,tag\n", 1, "the column tag is there twice"),
    "a cell too few": (TABLE + f"{LAZARUS},\n", 5, "it has 2 of the 3 columns"),
    "a header in the middle": (PLAIN + "address,tag\n", 6, "is no address"),
    "two times": (PLAIN + PLAIN, 6, "once more of when"),
    "no time": ("# as_of yesterday\n", 1, "write a time in UTC"),
    "no since": (f"address,since\n{LAZARUS},yesterday\n", 2, "write a time in UTC"),
    "no UTF-8": (PLAIN.encode() + b"\xff\n", 6, "it is not UTF-8"),
    "a quote that does not end": (TABLE + f'"{LAZARUS},ETH,x\n', 5, "unexpected end of data"),
    "a control character": (TABLE + f"{LAZARUS},ETH,a\x1b[31mb\n", 5, "its label"),
    "nothing": (TABLE + f"{LAZARUS},ETH,a\x00b\n", 5, "its label"),
    "a long line": (PLAIN + "0x" + "a" * 5000 + "\n", 6, "it is longer than any"),
    "customers of no allow list": (ALLOWED, 1, "only a list of kind allow has customers"),
    "a private key": (f"{PLAIN}5{'J' * 50}\x07\n", 6, "this looks like a private key"),
}


@pytest.mark.parametrize(("text", "line", "why"), BROKEN.values(), ids=list(BROKEN))
def test_a_bad_line_is_told_and_nothing_is_taken(text: str | bytes, line: int, why: str) -> None:
    message = refused(text)
    assert message.startswith(f"line {line}: ")
    assert why in message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (PLAIN, "needs a header line such as customer,address"),
        (TABLE, "needs a header line such as customer,address"),
        ("", "needs a header line"),
        ("customer,address\n," + LAZARUS + "\n", "it names no customer"),
    ],
)
def test_an_allow_list_without_customers_is_refused(text: str, why: str) -> None:
    assert why in refused(text, ListKind.ALLOW)


def test_a_text_that_is_cut_anywhere_within_a_line_is_refused() -> None:
    for end in range(1, len(TABLE)):
        if TABLE[end - 1] != "\n":
            assert "line" in refused(TABLE[:end])


@pytest.mark.parametrize("start", [b"\x1f\x8b\x08", b"PK\x03\x04"])
def test_a_compressed_file_is_told_as_such(start: bytes) -> None:
    assert refused(start + b"\0" * 50) == "it is compressed: unpack it first"


def test_the_form_can_be_told() -> None:
    assert "no XML" in refused(PLAIN, form="xml")
    assert "is no address" in refused(advanced(PARTIES), form="text")


def test_a_file_that_cannot_be_read_is_told() -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(BadInput, match="it cannot be read: Input/output error"):
        read_list(Broken(), "list", ListKind.BLOCK)  # type: ignore[arg-type]


@settings(max_examples=200)
@given(st.binary(max_size=80), st.integers(0, 4000), st.sampled_from([advanced(PARTIES), classic(PARTIES), TABLE]))
def test_whatever_is_in_the_file_is_a_list_or_bad_input(put: bytes, at: int, good: str) -> None:
    data = good.encode()
    for text in (put, data[:at] + put + data[at:], data[:at]):
        with suppress(BadInput):
            assert all(each.key for each in read(text).entries)
