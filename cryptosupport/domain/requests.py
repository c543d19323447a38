"""A request as it came in: every field is checked, and then has its normal form.

**Fields.** request_id, customer, asset, chain, amount and destination have to be there; memo, tier, country,
verification, beneficiary, note and signature may be. All are text (the amount too, so that no program rounds it),
but identity, two_factor, email_confirmed and self_hosted, which are true or false. Null is the same as not being there.

**What a signature covers.** The bytes ``cryptosupport.request/1``, a line feed, and the request as JSON just as it is
sent, without `signature`: keys sorted, no spaces between, no null, UTF-8 (RFC 8785 has the same form). So

    cryptosupport.request/1
    {"amount":"1.50","asset":"BTC","chain":"bitcoin","customer":"c-7","destination":"bc1q...","request_id":"w-1"}

The key is Ed25519 (RFC 8032); `signature.value` holds the 64 bytes as base64.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from cryptosupport.domain.addresses import Address
from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.identifiers import about_secret, is_secret, shortened
from cryptosupport.domain.money import Asset, parse_base_units
from cryptosupport.domain.sweeps import is_sweep
from cryptosupport.domain.withdrawals import Beneficiary, Request, Signature, Verification, canonical

REQUIRED = ("request_id", "customer", "asset", "chain", "amount", "destination")
PARTS = {
    "verification": ("identity", "two_factor", "email_confirmed", "at"),
    "beneficiary": ("name", "provider", "self_hosted", "proof"),
    "signature": ("key", "value"),
}
"""The fields that hold others."""

FIELDS = (*REQUIRED, "memo", "tier", "country", *PARTS, "note")
FLAGS = frozenset(
    {"verification.identity", "verification.two_factor", "verification.email_confirmed", "beneficiary.self_hosted"}
)
"""The fields that are true or false."""

FORMULA = tuple("=+-@\t\uff1d\uff0b\uff0d\uff20")
"""A cell that starts so is a formula to some spreadsheet; the last four are the full-width forms."""

SIGNED = b"cryptosupport.request/1\n"
"""What a signed request starts with, so that no signature for something else fits."""

MOST_BASE_UNITS = 2**256 - 1


@dataclass(frozen=True, slots=True)
class Number:
    """A number that stood in JSON where text has to be; ``text`` is as it was written."""

    text: str


@dataclass(frozen=True, slots=True)
class Intake:
    """What requests are checked against.

    ``assets`` are the configured ones: by chain, then by symbol. ``read_address`` reads a text as an address of a
    chain: None for another form, `BadInput` for a wrong checksum or network. ``tiers`` is empty where the policy has
    none. ``signature_fault`` says what is wrong with a signature over bytes, None when it is good.
    """

    assets: Mapping[str, Mapping[str, Asset]]
    read_address: Callable[[str, str], Address | None]
    tiers: tuple[str, ...]
    signature_fault: Callable[[Signature, bytes], str | None]
    signature_required: bool


def read_request(fields: Mapping[str, object], intake: Intake) -> Request:
    """Read one request.

    Raises `BadInput` for the first thing that is wrong: its message names the field, what was given and what to write,
    its fact ``field`` is the name ("verification.at").
    """
    _refuse_unknown(fields, FIELDS)
    told = _told(fields)
    missing = [name for name in REQUIRED if name not in told]
    if missing:
        _refuse(missing[0], f"is missing: every request has {', '.join(REQUIRED)}")
    chain = _text(told, "chain")
    if chain not in intake.assets:
        _refuse("chain", f"{_shown(chain)} is not configured: {_known(chain, intake.assets)}")
    for name in ("request_id", "customer"):
        if is_sweep(_text(told, name)):
            _refuse(name, f"{_shown(_text(told, name))} is kept for the desk's own sweeps: use another one")
    asset = _asset(_text(told, "asset"), chain, intake.assets[chain])
    signature = _signature(told)
    signed = b"" if signature is None else signed_bytes(fields)
    request = Request(
        request_id=_text(told, "request_id"),
        customer=_text(told, "customer"),
        asset=asset,
        chain=chain,
        base_units=_base_units(_text(told, "amount"), asset),
        destination=_destination(_text(told, "destination"), chain, intake),
        memo=_optional(told, "memo"),
        tier=_tier(told, intake.tiers),
        country=_optional(told, "country"),
        verification=_verification(told),
        beneficiary=_beneficiary(told),
        note=_optional(told, "note"),
        signature=signature,
        signed=signed,
    )
    if signature is not None:
        fault = intake.signature_fault(signature, signed)
        if fault is not None:
            _refuse("signature", fault)
    elif intake.signature_required:
        _refuse("signature", "is missing, and the desk takes signed requests only: write its key and value")
    return request


def signed_bytes(fields: Mapping[str, object]) -> bytes:
    """What the signature of a request covers; ``fields`` as they are sent, with or without `signature`.

    >>> signed_bytes({"request_id": "w-1", "amount": "1.50", "memo": None})
    b'cryptosupport.request/1\\n{"amount":"1.50","request_id":"w-1"}'
    """
    return SIGNED + canonical({name: value for name, value in _told(fields).items() if name != "signature"})


def utc_milliseconds(text: str) -> int:
    """Read ISO 8601 in UTC with Z, to the second or finer, as milliseconds since 1970. Raises `ValueError`.

    >>> utc_milliseconds("2026-11-21T12:00:00Z"), utc_milliseconds("1970-01-01T00:00:01.5Z")
    (1795262400000, 1500)
    """
    match = _UTC.fullmatch(text)
    if match is None:
        raise ValueError("write a time in UTC such as 2026-11-21T12:00:00Z")
    seconds = int(datetime.fromisoformat(match[1]).replace(tzinfo=UTC).timestamp())
    return seconds * 1000 + int((match[2] or "").ljust(3, "0")[:3])


_UTC = re.compile(r"((?:19[7-9]|[2-9][0-9]{2})[0-9]-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z")


# -- what a text may hold --------------------------------------------------------------------------------------------

_NO_BLANKS = re.compile(r"[!-~]+")
_COUNTRY = re.compile(r"[A-Z]{2}")
_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{85}[AQgw]==")  # the last four bits of 86 characters are no part of 64 bytes
_AMOUNT = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_HASH = re.compile(r"(?:0x)?[0-9a-fA-F]{64}")
# What has no place in any text: control characters, line breaks, what turns the direction of writing, halves of
# surrogate pairs, private use. Joiners and wide blanks stay: Persian names, emoji and Chinese need them.
_FOREIGN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ue000-\uf8ff\U000f0000-\U0010ffff]"
)


def _no_blanks(text: str) -> str | None:
    if _NO_BLANKS.fullmatch(text) is None:
        foreign = next(character for character in text if not "!" <= character <= "~")
        return f"holds {_named(foreign)}: write printable ASCII characters without blanks"
    return _formula(text)


def _name(text: str) -> str | None:
    if text[0] == " " or text[-1] == " ":
        return f"is {_shown(text)}, with a blank at its start or end: write it without"
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        return f"is {_shown(text)}, which is not in Unicode's normal form NFC: write it in that form"
    return _formula(text) or _line(text)


def _line(text: str) -> str | None:
    if text.isprintable():
        return None
    foreign = next(character for character in text if not character.isprintable())
    return f"holds {_named(foreign)}: write printable characters only"


def _prose(text: str) -> str | None:
    foreign = None if text.isprintable() else _FOREIGN.search(text)
    return foreign and f"holds {_named(foreign[0])}: write one line, without control characters"


def _formula(text: str) -> str | None:
    return f"is {_shown(text)}, which starts like a spreadsheet formula" if text.startswith(FORMULA) else None


def _matches(pattern: re.Pattern[str], wanted: str) -> Callable[[str], str | None]:
    return lambda text: None if pattern.fullmatch(text) else f"is {_shown(text)}: write {wanted}"


def _anything(text: str) -> None:
    """No fault: what it has to be is tested elsewhere."""


_FORMS: dict[str, tuple[int, Callable[[str], str | None]]] = {
    "request_id": (128, _no_blanks),
    "customer": (128, _name),
    "asset": (128, _anything),
    "chain": (128, _anything),
    "amount": (256, _matches(_AMOUNT, 'digits and at most one point, such as "1.5" or "0.05"')),
    "destination": (256, _anything),
    "memo": (256, _line),
    "tier": (128, _name),
    "country": (128, _matches(_COUNTRY, 'two capital letters, such as "DE"')),
    "verification.at": (128, _anything),
    "beneficiary.name": (256, _prose),
    "beneficiary.provider": (256, _prose),
    "beneficiary.proof": (256, _prose),
    "note": (2000, _prose),
    "signature.key": (100, _name),
    "signature.value": (128, _matches(_SIGNATURE, "the 64 bytes of an Ed25519 signature as base64, 88 characters")),
}
"""By field: how many characters it may have, and what says what is wrong with it."""


# -- field by field --------------------------------------------------------------------------------------------------


def _told(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields without what is null or holds nothing but null."""
    told = {}
    for name, value in fields.items():
        if name in PARTS and isinstance(value, Mapping):
            value = {key: each for key, each in value.items() if each is not None} or None
        if value is not None:
            told[name] = value
    return told


def _text(told: Mapping[str, object], name: str, of: str = "") -> str:
    text = _optional(told, name, of)
    if text is None:
        _refuse(of + name, f"is missing: every {of[:-1] or 'request'} has one")
    return text


def _optional(told: Mapping[str, object], name: str, of: str = "") -> str | None:
    """The text of the field ``name`` (in the part ``of``, which ends in a point), None where it is not there."""
    value = told.get(name)
    if value is None:
        return None
    path = of + name
    if not isinstance(value, str):
        _refuse(path, f"is {_shown(value)}: write it as text, in quotes")
    if not value:
        _refuse(path, "is empty" if path in REQUIRED else "is empty: leave it out, or write null")
    longest, fault = _FORMS[path]
    if len(value) > longest:
        _refuse(path, f"has {len(value)} characters, and at most {longest} are taken: {_shown(value)}")
    found = fault(value)
    if found is not None:
        _refuse(path, found)
    return value


def _flag(part: Mapping[str, object], name: str, of: str) -> bool:
    value = part.get(name, False)
    if not isinstance(value, bool):
        _refuse(of + name, f"is {_shown(value)}: write true or false, without quotes")
    return value


def _part(told: Mapping[str, object], name: str) -> Mapping[str, object] | None:
    value = told.get(name)
    if value is None:
        return None
    if not isinstance(value, Mapping):
        _refuse(name, f"is {_shown(value)}: write an object with {', '.join(PARTS[name])}")
    _refuse_unknown(value, PARTS[name], f"{name}.")
    return value


def _asset(symbol: str, chain: str, assets: Mapping[str, Asset]) -> Asset:
    asset = assets.get(symbol)
    if asset is None or asset.decimals is None:
        _refuse("asset", f"{_shown(symbol)} is not an asset of {chain}: {_known(symbol, assets)}")
    return asset


def _base_units(text: str, asset: Asset) -> int:
    assert asset.decimals is not None  # _asset has seen to it
    try:
        base_units = parse_base_units(text, asset.decimals)
    except BadInput as error:
        raise BadInput(f"amount: {error.message}", field="amount") from error
    if base_units == 0:
        _refuse("amount", f"is {text}: there is nothing to pay")
    if base_units > MOST_BASE_UNITS:
        _refuse("amount", f"is {_shown(text)}, which is more than 2**256 - 1 base units: no chain can pay that")
    return base_units


def _destination(text: str, chain: str, intake: Intake) -> str:
    """The address in its normal form."""
    fault = _no_blanks(text)
    if fault is None:
        try:
            address = intake.read_address(chain, text)
            fault = f"{_shown(text)} has not the form of an address of {chain}"
        except BadInput as error:
            address, fault = None, f"{_shown(text)} is no address of {chain}: {error.message}"
        if address is not None:
            return address.text
        others = [other for other in intake.assets if other != chain and _reads(intake, other, text)]
        if others:
            fault = f"{_shown(text)} is an address of {' and '.join(others)}, and the request says {chain}"
    if is_secret(text):
        fault = f"cannot be used: {about_secret('an address')}"
    elif _HASH.fullmatch(text):  # not repeated: it may be a key
        fault = "is a transaction id or a private key: write an address"
    _refuse("destination", fault)


def _reads(intake: Intake, chain: str, text: str) -> bool:
    try:
        return intake.read_address(chain, text) is not None
    except BadInput:
        return False


def _tier(told: Mapping[str, object], tiers: tuple[str, ...]) -> str | None:
    tier = _optional(told, "tier")
    if tier is not None and tiers and tier not in tiers:
        _refuse("tier", f"{_shown(tier)} is not in the policy: {_known(tier, tiers)}")
    return tier


def _verification(told: Mapping[str, object]) -> Verification | None:
    part, of = _part(told, "verification"), "verification."
    if part is None:
        return None
    at = _optional(part, "at", of)
    try:
        seconds = None if at is None else utc_milliseconds(at) // 1000
    except ValueError:
        _refuse("verification.at", f"is {_shown(at)}: write a time in UTC such as 2026-11-21T12:00:00Z")
    identity, two_factor = _flag(part, "identity", of), _flag(part, "two_factor", of)
    return Verification(identity, two_factor, _flag(part, "email_confirmed", of), seconds)


def _beneficiary(told: Mapping[str, object]) -> Beneficiary | None:
    part, of = _part(told, "beneficiary"), "beneficiary."
    if part is None:
        return None
    provider, self_hosted = _optional(part, "provider", of), _flag(part, "self_hosted", of)
    if provider is not None and self_hosted:
        _refuse("beneficiary", f"has the provider {_shown(provider)} and is self_hosted: write one of the two")
    return Beneficiary(_optional(part, "name", of), provider, self_hosted, _optional(part, "proof", of))


def _signature(told: Mapping[str, object]) -> Signature | None:
    part, of = _part(told, "signature"), "signature."
    return None if part is None else Signature(_text(part, "key", of), _text(part, "value", of))


# -- saying what is wrong --------------------------------------------------------------------------------------------


def _refuse(path: str, fault: str) -> NoReturn:
    raise BadInput(f"{path} {fault}", field=path)


def _refuse_unknown(fields: Mapping[str, object], known: Sequence[str], of: str = "") -> None:
    for name in fields:
        if name not in known:
            near = difflib.get_close_matches(name[:64].casefold(), known, 1)
            hint = f"did you mean {of}{near[0]}?" if near else f"known are {', '.join(known)}"
            raise BadInput(f"unknown field {_shown(of + name)}: {hint}", field=shortened(of + name))


def _known(given: str, names: Iterable[str]) -> str:
    """The first of ``names`` by how near they are to what was given."""
    folded = given.casefold()
    ordered = sorted(names, key=lambda name: -difflib.SequenceMatcher(None, folded, name.casefold()).ratio())
    more = f" and {len(ordered) - _MOST_NAMES} more" if len(ordered) > _MOST_NAMES else ""
    return f"known are {', '.join(ordered[:_MOST_NAMES])}{more}" if ordered else "none is known"


_MOST_NAMES = 12


def _shown(value: object) -> str:
    """A value that somebody else wrote, short and printable."""
    match value:
        case str():
            return f'"{shortened(value)}"'
        case bool():
            return str(value).lower()
        case Number():
            return f"the number {shortened(value.text)}"
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
    return f"of a type that is not taken ({type(value).__name__})"


def _named(character: str) -> str:
    """A character that may not be printable, by its code and its name in Unicode."""
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X}{f' ({name})' if name else ''}"
