"""Lists of OFAC made up for tests, with the elements, attributes and order of the real files (see `outside.sdn`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

NAMESPACE = "https://sanctionslistservice.ofac.treas.gov/api/PublicationPreview/exports/ADVANCED_XML"
EARLIER_NAMESPACE = "http://www.un.org/sanctions/1.0"
COINS = {"XBT": 344, "ETH": 345, "USDT": 887, "TRX": 992}


@dataclass(frozen=True)
class Party:
    """Somebody on the list: ``addresses`` are (coin, address), ``names`` the parts of the primary one."""

    id: int
    names: Sequence[str]
    addresses: Sequence[tuple[str, str]] = ()
    aliases: Sequence[str] = field(default=("ALSO KNOWN",))


def advanced(
    parties: Iterable[Party], date: tuple[int, int, int] = (2026, 11, 20), coins: dict[str, int] = COINS,
    namespace: str = NAMESPACE,
) -> str:  # fmt: skip
    """A `sdn_advanced.xml`."""
    year, month, day = date
    types = "".join(
        f'<FeatureType ID="{id}" FeatureTypeGroupID="1">Digital Currency Address - {coin}</FeatureType>\n'
        for coin, id in coins.items()
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<Sanctions Version="1" xmlns="{namespace}">\n'
        f'<DateOfIssue CalendarTypeID="1"><Year>{year}</Year><Month>{month}</Month><Day>{day}</Day></DateOfIssue>\n'
        '<ReferenceValueSets>\n<AliasTypeValues><AliasType ID="1403">Name</AliasType></AliasTypeValues>\n'
        f'<FeatureTypeValues>\n<FeatureType ID="8" FeatureTypeGroupID="1">Birthdate</FeatureType>\n{types}'
        "</FeatureTypeValues>\n</ReferenceValueSets>\n"
        '<Locations><Location ID="1"><LocationCountry CountryID="11" /></Location></Locations>\n'
        f"<DistinctParties>\n{''.join(_party(each, coins) for each in parties)}</DistinctParties>\n"
        '<SanctionsEntries><SanctionsEntry ID="1" ProfileID="1" ListID="1550"><EntryEvent ID="1"><Date>'
        "<Year>2019</Year></Date></EntryEvent></SanctionsEntry></SanctionsEntries>\n</Sanctions>\n"
    )


def _party(party: Party, coins: dict[str, int]) -> str:
    features = "".join(
        f'<Feature ID="{n}" FeatureTypeID="{coins[coin]}"><FeatureVersion ID="{n}" ReliabilityID="1560"><Comment />'
        f'<VersionDetail DetailTypeID="1432">{escape(address)}</VersionDetail></FeatureVersion>'
        f'<IdentityReference IdentityID="{party.id}1" IdentityFeatureLinkTypeID="1" /></Feature>\n'
        for n, (coin, address) in enumerate(party.addresses)
    )
    aliases = "".join(_alias(party.id, [name], primary=False) for name in party.aliases)
    return (
        f'<DistinctParty FixedRef="{party.id}"><Comment />\n<Profile ID="{party.id}" PartySubTypeID="3">\n'
        f'<Identity ID="{party.id}1" FixedRef="{party.id}" Primary="true" False="false">{aliases}'
        f"{_alias(party.id, party.names, primary=True)}</Identity>\n"
        '<Feature ID="900" FeatureTypeID="8"><FeatureVersion ID="901" ReliabilityID="1560"><DatePeriod><Start><From>'
        "<Year>1970</Year></From></Start></DatePeriod></FeatureVersion></Feature>\n"
        f"{features}</Profile></DistinctParty>\n"
    )


def _alias(id: int, names: Sequence[str], primary: bool) -> str:
    parts = "".join(
        f'<DocumentedNamePart><NamePartValue NamePartGroupID="{n}" ScriptID="215">{escape(name)}</NamePartValue>'
        "</DocumentedNamePart>"
        for n, name in enumerate(names)
    )
    return (
        f'<Alias FixedRef="{id}" AliasTypeID="1403" Primary="{str(primary).lower()}" LowQuality="false">'
        f'<DocumentedName ID="{id}2" FixedRef="{id}" DocNameStatusID="1">{parts}</DocumentedName></Alias>\n'
    )


def classic(parties: Iterable[Party], date: str = "11/20/2026") -> str:
    """A `sdn.xml`."""
    entries = "".join(
        f"<sdnEntry><uid>{each.id}</uid>{''.join(f'<firstName>{escape(name)}</firstName>' for name in each.names[1:])}"
        f"<lastName>{escape(each.names[0])}</lastName><sdnType>Entity</sdnType><idList><id><uid>1</uid>"
        "<idType>Passport</idType><idNumber>A1234567</idNumber></id>"
        + "".join(
            f"<id><uid>2</uid><idType>Digital Currency Address - {coin}</idType><idNumber>{address}</idNumber></id>"
            for coin, address in each.addresses
        )
        + "</idList></sdnEntry>\n"
        for each in parties
    )
    return (
        '<?xml version="1.0" standalone="yes"?>\n<sdnList xmlns="https://tempuri.org/sdnList.xsd">\n'
        f"<publshInformation><Publish_Date>{date}</Publish_Date><Record_Count>1</Record_Count></publshInformation>\n"
        f"{entries}</sdnList>\n"
    )
