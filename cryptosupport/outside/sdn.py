"""The Specially Designated Nationals of OFAC as XML: `sdn_advanced.xml`, and the classic `sdn.xml`.

OFAC publishes both, with their schemas, at sanctionslistservice.ofac.treas.gov. What is known of them here, from
excerpts of the files and from programs that read them:
- The namespace was http://www.un.org/sanctions/1.0 and is a path of the list service now: only names count.
- `Sanctions/DateOfIssue` has Year, Month and Day. `ReferenceValueSets/FeatureTypeValues/FeatureType` give each kind of
  feature an ID: "Digital Currency Address - XBT" is 344, and new coins come with new IDs (DOGE was missed by a reader
  with a list of coins: 0xB10C/ofac-sanctioned-digital-currency-addresses, pull request 25). So all are found by name.
- `DistinctParties/DistinctParty` (FixedRef is OFAC's number of the party) has Profile/Identity/Alias/DocumentedName/
  DocumentedNamePart/NamePartValue, and Profile/Feature (FeatureTypeID)/FeatureVersion/VersionDetail, which is the
  address. An address stands once for each coin that it is used for, and may be that of several parties.
- `sdnList` (the classic one) has `publshInformation` (so spelt) with Publish_Date as month/day/year, and `sdnEntry`
  with uid, lastName, firstName and idList/id/idType and idNumber.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Protocol
from xml.etree.ElementTree import Element

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.screening import AsOf, Listed, key_of
from cryptosupport.outside.xmlstream import elements

_DIGITAL_CURRENCY = re.compile(r"\s*digital currency address\b[\s\u2010-\u2015-]*(.*?)\s*", re.IGNORECASE | re.DOTALL)
_US_DATE = re.compile(r"([0-9]{2})/([0-9]{2})/([0-9]{4})")
_LONGEST_ADDRESS, _LONGEST_LABEL = 256, 300


def read_sdn(pieces: Iterable[bytes]) -> Iterator[AsOf | Listed]:
    """The digital currency addresses of either file. Raises `BadInput` unless it is whole and names such addresses."""
    readers: dict[str, _Form] = {"Sanctions": _Advanced(), "sdnList": _Classic()}
    root = ""
    for root, element in elements(pieces, {name: reader.wanted for name, reader in readers.items()}):
        yield from readers[root].take(element)
    if not root:
        raise BadInput("it is XML of the right kind, and holds nothing of a list")
    readers[root].end()


class _Form(Protocol):
    """One of the two forms; ``wanted`` names the elements that count."""

    wanted: frozenset[str]

    def take(self, element: Element) -> Iterator[AsOf | Listed]:
        """What an element says."""

    def end(self) -> None:
        """Raise `BadInput` where what every list has did not come."""


class _Advanced:
    wanted = frozenset({"DateOfIssue", "FeatureType", "DistinctParty"})

    def __init__(self) -> None:
        self._coins: dict[str | None, str] = {}
        self._parties = 0
        self._as_of: int | None = None

    def take(self, element: Element) -> Iterator[AsOf | Listed]:
        """What an element says."""
        match element.tag:
            case "DateOfIssue":
                if self._as_of is None:
                    self._as_of = _midnight(*(element.findtext(part) for part in ("Year", "Month", "Day")))
                    yield AsOf(self._as_of)
            case "FeatureType":
                self._learn(element)
            case _:
                self._parties += 1
                yield from self._addresses(element)

    def end(self) -> None:
        """Raise `BadInput` where what every list has did not come."""
        if self._as_of is None:
            raise BadInput("it has no DateOfIssue: is this the list of OFAC?")
        if not self._coins:
            raise BadInput('it knows no "Digital Currency Address": it is another list, or the format has changed')
        if not self._parties:
            raise BadInput("it has no DistinctParty: it is another list, or the format has changed")

    def _learn(self, element: Element) -> None:
        named = _DIGITAL_CURRENCY.fullmatch(element.text or "")
        if named is None:
            return
        if self._parties:
            raise BadInput("a FeatureType stands behind the parties: the format has changed, and some would be missed")
        self._coins[element.get("ID")] = _label(named[1])

    def _addresses(self, party: Element) -> Iterator[Listed]:
        for feature in party.iter("Feature"):
            tag = self._coins.get(feature.get("FeatureTypeID"))
            if tag is None:
                continue
            id = party.get("FixedRef") or next((each.get("ID") or "" for each in party.iter("Profile")), "")
            found = [text for each in feature.iter("VersionDetail") if (text := "".join(each.itertext()).strip())]
            if not found:
                raise BadInput(f"party {shortened(id)} has a {tag} address that cannot be found: no VersionDetail")
            name = _primary_name(party)
            for text in found:
                yield _listed(text, id, name, tag)


class _Classic:
    wanted = frozenset({"Publish_Date", "sdnEntry"})

    def __init__(self) -> None:
        self._entries = 0
        self._as_of: int | None = None

    def take(self, element: Element) -> Iterator[AsOf | Listed]:
        """What an element says."""
        if element.tag == "Publish_Date":
            date = _US_DATE.fullmatch((element.text or "").strip())
            self._as_of = _midnight(*((date[3], date[1], date[2]) if date else (element.text, None, None)))
            yield AsOf(self._as_of)
            return
        self._entries += 1
        uid = _label(element.findtext("uid") or "")
        name = ", ".join(filter(None, (element.findtext("lastName"), element.findtext("firstName"))))
        for one in element.iter("id"):
            kind = _DIGITAL_CURRENCY.fullmatch(one.findtext("idType") or "")
            if kind is not None:
                number = one.findtext("idNumber") or ""
                if not number.strip():
                    raise BadInput(f"entry {uid} has a {_label(kind[1])} address that cannot be found: no idNumber")
                yield _listed(number, uid, _label(name), _label(kind[1]))

    def end(self) -> None:
        """Raise `BadInput` where what every list has did not come."""
        if self._as_of is None:
            raise BadInput("it has no Publish_Date: is this the list of OFAC?")
        if not self._entries:
            raise BadInput("it has no sdnEntry: it is another list, or the format has changed")


def _primary_name(party: Element) -> str:
    """The first name of the primary alias, in the order in which its parts stand; else the first name at all."""
    aliases = list(party.iter("Alias"))
    primary = [each for each in aliases if each.get("Primary") == "true"]
    for alias in primary or aliases:
        for name in alias.iter("DocumentedName"):
            return _label(" ".join(each.text or "" for each in name.iter("NamePartValue")))
    return ""


def _listed(text: str, entry: str, label: str, tag: str) -> Listed:
    address = "".join(text.split())  # whoever types them in puts blanks into them
    if len(address) > _LONGEST_ADDRESS:
        raise BadInput(f"party {shortened(entry)} has an address of {len(address)} characters")
    return Listed(key_of(address), address, _label(entry), label, tag)


def _label(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_LABEL]


def _midnight(*parts: str | None) -> int:
    try:
        year, month, day = (int(part or "") for part in parts)
        return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1000
    except ValueError as error:
        said = shortened("-".join(part or "?" for part in parts))
        raise BadInput(f"its date {said} is none: is this the list of OFAC?") from error
