"""Lists are imported whole or not at all, and are not relied on when somebody changed them in the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select, update

from cryptosupport.desk.screen_lists import IMPORTED, Imported, check_lists, import_list, load_lists
from cryptosupport.desk.show_lists import Freshness, ListState, list_ages, list_states
from cryptosupport.domain.audit import Entry
from cryptosupport.domain.errors import BadInput, BadList, Refused, SupportError, Tampered
from cryptosupport.domain.screening import Listed, ListKind, Lists, key_of
from cryptosupport.ledger import tables
from cryptosupport.ledger.auditing import entries as audit_entries
from cryptosupport.ledger.engine import reading, writing
from cryptosupport.ledger.ledger import SqlLedger
from tests.desk.deskkit import HOUR, START, Turned, ledger_in

DAY = 24 * HOUR
AS_OF = START - DAY


def addresses(*numbers: int) -> list[Listed]:
    """Addresses made of numbers."""
    texts = [f"0x{number:040X}" for number in numbers]
    return [Listed(key_of(text), text, entry=f"e{number}") for number, text in zip(numbers, texts, strict=True)]


def allowed(customer: str, *numbers: int, since: int = 0) -> list[Listed]:
    """The same on a customer's allow list."""
    return [Listed(each.key, each.address, customer=customer, since=since) for each in addresses(*numbers)]


class Desk:
    """A ledger, a clock, and imports of the list ofac in few words."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.clock = engine, Turned()
        self.ledger: SqlLedger = ledger_in(engine, self.clock)

    def take(
        self, entries: Sequence[Listed], name: str = "ofac", kind: str = "sanctions", as_of: int | None = AS_OF,
        **more: Any,
    ) -> Imported:  # fmt: skip
        return import_list(self.ledger, name, ListKind(kind), "file", as_of, entries, **more)

    def load(self) -> Lists:
        with self.ledger.look() as records:
            return load_lists(records)

    def listed(self, name: str = "ofac") -> list[str]:
        """The entries' own ids that are listed now."""
        with self.ledger.look() as records:
            return [each.entry for each in records.listed(name)]

    def log(self) -> list[Entry]:
        with reading(self.engine) as connection:
            return list(audit_entries(connection))

    def behind(self, statement: Any) -> None:
        """Do something in the database behind the program."""
        with writing(self.engine) as connection:
            connection.execute(statement)

    def states(self, rules: Freshness = Freshness()) -> dict[str, str]:  # noqa: B008 - frozen
        with self.ledger.look() as records:
            return {each.name: each.state.value for each in list_states(records, rules)}


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return Desk(engine)


# -- importing -------------------------------------------------------------------------------------------------------


def test_the_list_is_what_the_file_says_from_then_on(desk: Desk) -> None:
    done = desk.take(addresses(1, 2, 3), sha256="ab", who="alice (unproven)")
    assert (done.added, done.delisted, done.unchanged, done.head.entries) == (3, 0, 0, 3)
    assert done.head.imported_at == START
    (hit,) = desk.load().sanctions(f"0x{2:040x}")
    assert (hit.name, hit.entry.entry, hit.entry.since) == ("ofac", "e2", START)
    (act,) = desk.log()
    assert (act.act.kind, act.act.subject, act.act.who, act.at) == (IMPORTED, "ofac", "alice (unproven)", START)
    facts = act.act.facts
    assert (facts["kind"], facts["entries"], facts["added"], facts["sha256"]) == ("sanctions", "3", "3", "ab")
    assert (facts["digest"], facts["as_of"]) == (done.head.digest, "2026-09-20T14:13:20Z")


@pytest.mark.parametrize(
    ("name", "kind", "accepts"),
    [
        ("other", "sanctions", {}),
        ("own", "block", {}),
        ("book", "allow", {}),
        ("places", "memo", {}),
        ("ofac", "sanctions", {"shrink": True}),
        ("ofac", "sanctions", {"older": True}),
    ],
)
def test_who_is_not_trusted_renews_a_list_of_sanctions_and_does_nothing_else(
    desk: Desk, name: str, kind: str, accepts: dict[str, bool]
) -> None:
    entries = allowed("c1", 1) if kind == "allow" else addresses(1, 2)
    desk.take(addresses(1, 2))
    if name not in ("ofac", "other"):
        desk.take(entries, name, kind)
    with pytest.raises(Refused, match="takes --operator NAME, of ops or compliance, who signs"):
        desk.take(entries, name, kind, trusted=False, **accepts)
    assert desk.take(addresses(1, 2, 3), trusted=False).added == 1
    desk.take(entries, name, kind, **accepts)


def test_what_is_no_longer_in_the_file_is_delisted_and_what_comes_back_is_listed_anew(desk: Desk) -> None:
    desk.take(addresses(1, 2, 3))
    desk.clock.at += DAY
    done = desk.take(addresses(2, 3, 4))
    assert (done.added, done.delisted, done.unchanged) == (1, 1, 2)
    assert [[each.entry for each in some] for some in done.examples] == [["e4"], ["e1"]]
    assert desk.listed() == ["e2", "e3", "e4"]
    assert not desk.load().sanctions(f"0x{1:040x}")
    desk.clock.at += DAY
    desk.take(addresses(1, 2, 3, 4))
    since = {each: desk.load().sanctions(f"0x{each:040x}")[0].entry.since for each in (1, 2, 4)}
    assert since == {1: START + 2 * DAY, 2: START, 4: START + DAY}


def test_the_same_file_once_more_renews_the_list_and_nothing_else(desk: Desk) -> None:
    before = desk.take(addresses(1, 2))
    desk.clock.at += DAY
    done = desk.take(addresses(2, 1))
    assert (done.added, done.delisted, done.unchanged) == (0, 0, 2)
    assert (done.head.digest, done.head.imported_at) == (before.head.digest, START + DAY)
    assert [each.act.kind for each in desk.log()] == [IMPORTED, IMPORTED]


def test_an_address_of_two_parties_and_for_two_coins_is_listed_once(desk: Desk) -> None:
    text = addresses(1)[0].address
    entries = [Listed(key_of(text), text, f"e{n}", f"N{n}", coin) for n, coin in ((1, "ETH"), (1, "USDT"), (2, "ETH"))]
    done = desk.take(entries)
    assert done.head.entries == 1
    (hit,) = desk.load().sanctions(text)
    assert (hit.entry.entry, hit.entry.label, hit.entry.tag) == ("e1; e2", "N1; N2", "ETH; USDT")


def test_what_the_list_says_of_an_address_follows_the_file(desk: Desk) -> None:
    (one,) = addresses(1)
    desk.take([one])
    renamed = Listed(one.key, one.address, "e9", "New Name")
    assert desk.take([renamed]).unchanged == 1
    assert desk.load().sanctions(one.key)[0].entry.label == "New Name"


def test_lists_of_all_kinds_stand_beside_each_other(desk: Desk) -> None:
    desk.take(addresses(1))
    desk.take(addresses(1, 2), name="own", kind="block")
    desk.take(addresses(3), name="tags", kind="memo", as_of=None)
    desk.take(allowed("c-7", 2), name="book", kind="allow", as_of=None)
    lists = desk.load()
    key = [f"0x{number:040x}" for number in range(4)]
    assert [bool(lists.sanctions(each)) for each in key[1:]] == [True, False, False]
    assert [bool(lists.blocked(each)) for each in key[1:]] == [True, True, False]
    assert [bool(lists.needs_memo(each)) for each in key[1:]] == [False, False, True]
    assert list(lists.allowed("c-7") or ()) == [key[2]]
    assert [each.name for each in lists.heads] == ["book", "ofac", "own", "tags"]


# -- refusing --------------------------------------------------------------------------------------------------------

Take = Callable[[Desk], object]
REFUSALS: dict[str, tuple[type[SupportError], str, Take]] = {
    "an older file": (Refused, "take back what came", lambda desk: desk.take(addresses(1, 2, 3), as_of=AS_OF - 1000)),
    "a file without its time": (Refused, "does not tell of when", lambda desk: desk.take(addresses(1, 2), as_of=None)),
    "a file of a time to come": (BadList, "is to come", lambda desk: desk.take(addresses(1), as_of=START + 2 * DAY)),
    "another kind": (BadList, "a list of kind sanctions, not memo", lambda desk: desk.take(addresses(1), kind="memo")),
    "nothing": (BadList, "no address in it", lambda desk: desk.take([])),
    "nothing, accepted": (BadList, "no address in it", lambda desk: desk.take([], shrink=True)),
    "less than half": (Refused, "has 1 entries, and ofac had 4", lambda desk: desk.take(addresses(1))),
    "nothing under a new name": (BadList, "no address", lambda desk: desk.take([], "new", "block", shrink=True)),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "why", "take"), REFUSALS.values(), ids=list(REFUSALS))
def test_a_refused_file_changes_nothing_and_tells_the_audit_log_which_it_was(
    desk: Desk, kind: type[SupportError], why: str, take: Take
) -> None:
    desk.take(addresses(1, 2, 3, 4))
    with pytest.raises(kind, match=why) as caught:
        take(desk)
    assert type(caught.value) is kind
    assert desk.listed() == ["e1", "e2", "e3", "e4"]
    assert len(desk.log()) == 1
    assert caught.value.audited
    assert caught.value.facts.keys() == {"list", "kind", "source", "sha256"}
    assert desk.load().heads[0].imported_at == START


def test_half_is_enough_and_less_has_to_be_accepted(desk: Desk) -> None:
    desk.take(addresses(*range(10)))
    assert desk.take(addresses(*range(5))).delisted == 5
    assert desk.take(addresses(1), shrink=True).delisted == 4


def test_an_older_file_can_be_accepted_and_is_the_measure_from_then_on(desk: Desk) -> None:
    desk.take(addresses(1))
    desk.take(addresses(1), as_of=AS_OF - DAY, older=True)
    desk.take(addresses(1), as_of=AS_OF - DAY // 2)
    desk.take(addresses(1), as_of=None, older=True)
    assert desk.take(addresses(1), as_of=None).head.as_of is None


def test_a_list_of_the_desk_can_be_emptied_on_purpose(desk: Desk) -> None:
    desk.take(addresses(1), name="own", kind="block")
    with pytest.raises(BadInput):
        desk.take([], name="own", kind="block")
    assert desk.take([], name="own", kind="block", shrink=True).delisted == 1
    assert not desk.load().blocked(f"0x{1:040x}")


@pytest.mark.parametrize("name", ["", "OFAC", "a b", "../x", "-x", "x" * 65, "名"])
def test_a_name_is_one_that_can_be_typed(desk: Desk, name: str) -> None:
    with pytest.raises(BadInput, match="names no list"):
        desk.take(addresses(1), name=name)
    assert desk.log() == []


# -- allow lists -----------------------------------------------------------------------------------------------------


def test_each_new_list_is_held_against_the_allow_lists_and_each_allow_list_against_all(desk: Desk) -> None:
    desk.take(allowed("c-7", 1, 2) + allowed("c-8", 2), name="book", kind="allow", as_of=None)
    assert desk.take(addresses(9)).stopped == ()
    stopped = desk.take(addresses(2, 9)).stopped
    assert [(each.customer, each.key, hit.name) for each, hit in stopped] == [
        ("c-7", f"0x{2:040x}", "ofac"),
        ("c-8", f"0x{2:040x}", "ofac"),
    ]
    assert [hit.name for _, hit in desk.take(addresses(1), name="own", kind="block").stopped] == ["own"]
    assert desk.take(addresses(1), name="tags", kind="memo").stopped == ()
    again = desk.take(allowed("c-9", 1, 2), name="more", kind="allow")
    assert [(each.customer, hit.name) for each, hit in again.stopped] == [("c-9", "ofac"), ("c-9", "own")]
    assert [each.act.facts["stopped"] for each in desk.log()] == ["0", "0", "2", "1", "0", "2"]


def test_who_has_no_allow_list_any_more_is_told(desk: Desk) -> None:
    desk.take(allowed("c-7", 1) + allowed("c-8", 2) + allowed("c-9", 3), name="book", kind="allow")
    desk.take(allowed("c-9", 3), name="more", kind="allow")
    done = desk.take(allowed("c-7", 4), name="book", kind="allow", shrink=True)
    assert done.freed == ("c-8",)
    assert desk.load().allowed("c-8") is None
    assert desk.load().allowed("c-9") is not None


def test_how_long_an_address_is_allowed_is_what_the_file_tells_or_when_it_came(desk: Desk) -> None:
    def since() -> list[int]:
        return [each.since for each in (desk.load().allowed("c-7") or {}).values()]

    desk.take(allowed("c-7", 1, since=AS_OF) + allowed("c-7", 2), name="book", kind="allow")
    assert since() == [AS_OF, START]
    desk.clock.at += DAY
    desk.take(allowed("c-7", 1) + allowed("c-7", 2, since=START + HOUR), name="book", kind="allow")
    assert since() == [AS_OF, START + HOUR]


# -- changed behind the program --------------------------------------------------------------------------------------

_ENTRY, _HEAD = tables.screen_entry, tables.screen_list
_ONE = _ENTRY.c.key == f"0x{1:040x}"
_NEW = {"list": "ofac", "key": "0xff", "customer": "", "address": "", "entry": "", "label": "", "tag": "", "since": 0}
TAMPERING = {
    "a row removed": (delete(_ENTRY).where(_ONE), "it has 2 entries, and 3 were imported"),
    "a row delisted": (update(_ENTRY).where(_ONE).values(delisted_at=START), "it has 2 entries, and 3 were imported"),
    "a row added": (insert(_ENTRY).values(_NEW), "it has 4 entries, and 3 were imported"),
    "another address": (update(_ENTRY).where(_ONE).values(key="0xff"), "its entries are not those"),
    "another customer": (update(_ENTRY).where(_ONE).values(customer="c-7"), "its entries are not those"),
    "another time": (update(_ENTRY).where(_ONE).values(since=1), "its entries are not those"),
    "all rows removed": (delete(_ENTRY), "it has 0 entries"),
    "the list removed": (delete(_HEAD), "it is gone"),
    "the list renamed": (update(_HEAD).values(name="other"), "it is gone"),
    "another kind": (update(_HEAD).values(kind="memo"), "its kind are not those"),
    "made younger": (update(_HEAD).values(imported_at=START + DAY), "its imported_at are not those"),
    "another moment": (update(_HEAD).values(as_of=START), "its as_of are not those"),
    "another digest": (update(_HEAD).values(digest="", entries=2), "its entries, digest are not those"),
}  # fmt: skip


@pytest.mark.parametrize(("statement", "why"), TAMPERING.values(), ids=list(TAMPERING))
def test_a_list_that_was_changed_in_the_database_is_not_relied_on(desk: Desk, statement: Any, why: str) -> None:
    desk.take(addresses(1, 2, 3))
    desk.behind(statement)
    with pytest.raises(Tampered, match=why):
        desk.load()
    assert desk.states()["ofac"] == ListState.DAMAGED


def test_removing_a_row_and_making_the_digest_fit_does_not_help(desk: Desk) -> None:
    desk.take(addresses(1, 2, 3))
    smaller = Desk(desk.engine).take(addresses(2, 3), name="other").head
    desk.behind(delete(_ENTRY).where(_ONE))
    desk.behind(update(_HEAD).where(_HEAD.c.name == "ofac").values(digest=smaller.digest, entries=2))
    with pytest.raises(Tampered, match="its entries, digest are not those of the import"):
        desk.load()


def test_a_list_that_nobody_imported_is_not_relied_on(desk: Desk) -> None:
    head = {"name": "mine", "kind": "memo", "source": "", "as_of": None, "imported_at": 0, "entries": 0, "digest": ""}
    desk.behind(insert(_HEAD).values(head))
    with pytest.raises(Tampered, match=r"the list mine was changed .*: it was never imported"):
        desk.load()


@pytest.mark.parametrize("statement", [each for each, _ in TAMPERING.values()], ids=list(TAMPERING))
def test_importing_the_file_again_makes_it_right_and_says_what_had_been_changed(desk: Desk, statement: Any) -> None:
    desk.take(addresses(1, 2, 3))
    desk.behind(statement)
    desk.clock.at += DAY
    done = desk.take(addresses(1, 2, 3))
    assert done.repaired is not None
    assert desk.log()[-1].act.facts["repaired"] == done.repaired
    desk.behind(delete(_HEAD).where(_HEAD.c.name == "other"))
    assert desk.listed() == ["e1", "e2", "e3"]
    lists = desk.load()
    assert {lists.sanctions(f"0x{number:040x}")[0].entry.since for number in (1, 2, 3)} == {START + DAY}


def test_rows_that_were_removed_do_not_make_a_file_that_was_cut_acceptable(desk: Desk) -> None:
    desk.take(addresses(*range(1, 11)))
    desk.behind(delete(_ENTRY).where(_ENTRY.c.entry != "e1"))
    with pytest.raises(Refused, match="has 2 entries, and ofac had 10"):
        desk.take(addresses(1, 2))


def test_a_list_that_is_gone_is_still_known_for_what_it_was(desk: Desk) -> None:
    desk.take(addresses(1, 2))
    desk.behind(delete(_HEAD))
    with pytest.raises(BadInput, match="is a list of kind sanctions, not block"):
        desk.take(addresses(1, 2), kind="block")
    with pytest.raises(Refused, match="older"):
        desk.take(addresses(1, 2), as_of=AS_OF - DAY)


# -- age -------------------------------------------------------------------------------------------------------------


def test_the_age_counts_from_the_import_and_only_lists_that_have_to_be_fresh_get_old(desk: Desk) -> None:
    desk.take(addresses(1), as_of=AS_OF - 30 * DAY)
    desk.take(addresses(2), name="own", kind="block")
    desk.take(addresses(3), name="fed", kind="block")
    rules = Freshness(lists=("fed", "eu"))
    expected = {"ofac": "good", "own": "good", "fed": "good", "eu": "missing"}
    assert desk.states(rules) == expected
    desk.clock.at = START + DAY
    assert desk.states(rules) == expected
    desk.clock.at += 1
    assert desk.states(rules) == expected | {"ofac": "old", "fed": "old"}
    desk.clock.at = START + 3 * DAY + 1
    assert desk.states(rules) == expected | {"ofac": "too_old", "fed": "too_old"}
    desk.take(addresses(1), as_of=AS_OF - 30 * DAY)
    assert desk.states(rules)["ofac"] == "good"
    (age,) = [each for each in list_ages(desk.load().heads, desk.clock.at, rules) if each.name == "fed"]
    assert (age.age, age.reason) == (3 * DAY + 1, "imported 3d 1h ago, and 72h is the most")


# -- at once, and many -----------------------------------------------------------------------------------------------


def test_of_two_imports_at_once_one_comes_after_the_other(engine: Engine) -> None:
    desks = [Desk(engine) for _ in range(4)]
    files = [addresses(*range(start, start + 300)) for start in (0, 100, 200, 250)]
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda pair: pair[0].take(pair[1]), zip(desks, files, strict=True)))
    last = desks[0].log()[-1].act.facts
    (winner,) = [each for each in done if each.head.digest == last["digest"]]
    assert sorted(desks[0].listed()) == sorted(each.entry for each in files[done.index(winner)])
    assert desks[0].load().heads[0].digest == winner.head.digest


def test_a_long_list_is_taken_and_delisted_in_one_go(desk: Desk) -> None:
    desk.take(addresses(*range(5000)))
    done = desk.take(addresses(*range(3000, 9000)))
    assert (done.added, done.delisted, done.unchanged) == (4000, 3000, 2000)
    assert len(desk.listed()) == 6000
    with desk.ledger.look() as records:
        assert [each.fault for each in check_lists(records)] == [None]
    with reading(desk.engine) as connection:
        assert len(connection.execute(select(_ENTRY.c.key).where(_ENTRY.c.delisted_at == START)).all()) == 3000
