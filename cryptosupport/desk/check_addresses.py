"""What is known about an address before money goes there: form, checksum, network, contract, owner, look-alikes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cryptosupport.domain.addresses import Address, looks_alike
from cryptosupport.domain.errors import BadInput, NodesFailed
from cryptosupport.domain.identifiers import about_secret, cleaned, is_cut, is_secret, shortened
from cryptosupport.domain.screening import Hit, Lists

if TYPE_CHECKING:
    from cryptosupport.domain.ports import Chain
    from cryptosupport.settings import WalletSettings

SCHEMA = "cryptosupport.address/1"
EARLIER = "earlier"
GIVEN = "given"
"""Whom a look-alike resembles when that is no wallet: an address from earlier look-ups, or one given with it."""

_TXID = re.compile(r"(?:0x)?[0-9a-f]{64}", re.IGNORECASE | re.ASCII)
# Forms of addresses whose chain may not be configured or asked for, so that the network can be named.
_FORMS = (
    ("an EVM", re.compile(r"0[xX][0-9a-fA-F]{40}")),
    (
        "a Bitcoin",
        re.compile(r"(?:bc|tb|bcrt)1[0-9a-z]{11,87}|[13][1-9A-HJ-NP-Za-km-z]{25,34}", re.IGNORECASE | re.ASCII),
    ),
    ("a TRON", re.compile(r"T[1-9A-HJ-NP-Za-km-z]{33}")),
    ("a Solana", re.compile(r"[1-9A-HJ-NP-Za-km-z]{43,44}")),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a text is no address that can be paid to.

    ``code`` is `bad_checksum`, `bad_form`, `wrong_network`, `txid`, `cut`, `private_key`, `foreign_character` or
    `unknown_form`.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class OwnWallet:
    """The wallet of the desk that an address belongs to."""

    wallet: str
    role: str


@dataclass(frozen=True, slots=True)
class LookAlike:
    """Another address with the same ends, and whose it is: a wallet's name, `earlier` or `given`."""

    address: str
    of: str


@dataclass(frozen=True, slots=True)
class AddressCheck:
    """What is known about one given text.

    ``address`` is None where no chain takes it, and then ``problem`` says why. ``chains`` are those that do.
    ``contract`` says per chain whether code stands there: None where a chain has no contracts. A chain that was not
    reached is in ``unreachable`` instead, with what went wrong. ``listed`` are the lists of sanctions and of the
    desk that stop it, None where no list was looked at.
    """

    input: str
    address: Address | None = None
    chains: tuple[str, ...] = ()
    contract: Mapping[str, bool | None] = field(default_factory=dict)
    unreachable: Mapping[str, str] = field(default_factory=dict)
    own: OwnWallet | None = None
    look_alikes: tuple[LookAlike, ...] = ()
    problem: Problem | None = None
    listed: tuple[Hit, ...] | None = None

    @property
    def valid(self) -> bool:
        """Whether at least one chain takes it."""
        return self.address is not None

    @property
    def checksum(self) -> bool | None:
        """True where a checksum holds, False where it fails, None where there is none to test."""
        if self.address is not None:
            return True if self.address.checksummed else None
        return False if self.problem is not None and self.problem.code == "bad_checksum" else None


def check_addresses(
    texts: Sequence[str],
    chains: Sequence[Chain],
    wallets: Mapping[str, WalletSettings],
    known: Iterable[str] = (),
    *,
    offline: bool = False,
    lists: Lists | None = None,
    derived: Callable[[str, str], WalletSettings | None] = lambda chain, address: None,
) -> list[AddressCheck]:
    """Say what is known about each of ``texts``, in their order.

    ``wallets`` are the desk's own, by name; ``known`` the normal forms of addresses from earlier look-ups; ``lists``
    those that destinations are screened against. ``derived`` says of an address of a chain which wallet of many
    addresses it is of. With ``offline`` no node is asked. A node that cannot be reached leaves ``contract`` open and
    spoils nothing else.
    """
    checks = [_read(text, chains) for text in texts]
    own = {_normal(wallet.address, chains): wallet for wallet in wallets.values() if wallet.address is not None}
    others = dict.fromkeys(known, EARLIER)
    others |= {check.address.text: GIVEN for check in checks if check.address is not None}
    others |= {text: wallet.name for text, wallet in own.items()}
    checks = [_compare(check, own, others, derived) for check in checks]
    checks = checks if lists is None else [_screened(check, lists) for check in checks]
    return checks if offline else _ask(checks, chains)


def exit_code(checks: Iterable[AddressCheck]) -> int:
    """0 when all are valid, else 2."""
    return 0 if all(check.valid for check in checks) else 2


def as_record(check: AddressCheck) -> dict[str, Any]:
    """The check as JSON shows it (schema `cryptosupport.address/1`)."""
    address, own, problem = check.address, check.own, check.problem
    return {
        "schema": SCHEMA,
        "input": check.input,
        "address": address and address.text,
        "valid": check.valid,
        "kind": address and address.kind,
        "checksum": check.checksum,
        "chains": list(check.chains),
        "contract": {chain: check.contract.get(chain) for chain in check.chains},
        "burn": address is not None and address.burn,
        "own": own and {"wallet": own.wallet, "role": own.role},
        "look_alikes": [{"address": other.address, "of": other.of} for other in check.look_alikes],
        "screening": None if check.listed is None else [_hit(each) for each in check.listed],
        "error": problem and {"code": problem.code, "message": problem.message},
    }


def _hit(hit: Hit) -> dict[str, str]:
    return {"list": hit.name, "entry": hit.entry.entry, "label": hit.entry.label, "tag": hit.entry.tag}


# -- one text --------------------------------------------------------------------------------------------------------


def _read(given: str, chains: Sequence[Chain]) -> AddressCheck:
    text = cleaned(given)
    if is_secret(text):  # not even repeated: what is printed ends up in logs
        return AddressCheck("…", problem=Problem("private_key", about_secret("an address")))
    if _TXID.fullmatch(text):
        return AddressCheck("…", problem=_TXID_OR_KEY)
    address: Address | None = None
    fits = []
    refusals = []
    for chain in chains:
        try:
            read = chain.parse_address(text)
        except BadInput as error:
            refusals.append(error)
            continue
        if read is not None:
            address = address or read
            fits.append(chain.name)
    if address is not None:
        return AddressCheck(shortened(given), address, tuple(fits))
    return AddressCheck(shortened(given), problem=_explain(text, refusals, [chain.name for chain in chains]))


# Both have 64 hex digits. It is not repeated, and nobody is sent to `tx status` with it: that would ask nodes about it.
_TXID_OR_KEY = Problem(
    "txid",
    "this is a transaction id (or a block's hash) or a private key, not an address. If it is a key, never paste it "
    "anywhere: whoever has seen it can take the coins",
)


def _explain(text: str, refusals: Sequence[BadInput], chains: Sequence[str]) -> Problem:
    """Say why no chain takes ``text``."""
    if not text:
        return Problem("unknown_form", "nothing was given: paste an address")
    if is_cut(text):
        return Problem("cut", "this address is cut short, its middle is missing: ask for the whole address")
    foreign = next((character for character in text if character.isalpha() and not character.isascii()), None)
    if foreign is not None:
        name = unicodedata.name(foreign, f"U+{ord(foreign):04X}")
        return Problem("foreign_character", f"the character {foreign!r} ({name}) stands in no address: type it afresh")
    if refusals:
        # A checksum that fails is the plainest news; another network is only news once the rest is right.
        order = ("bad_checksum", "bad_form", "wrong_network")
        codes = [str(error.facts.get("reason", "bad_form")) for error in refusals]
        code = min(codes, key=lambda each: order.index(each) if each in order else len(order))
        return Problem(code, refusals[codes.index(code)].message)
    for form, pattern in _FORMS:
        if pattern.fullmatch(text):
            return Problem(
                "wrong_network", f"this looks like {form} address, and no such chain is among {_list(chains)}"
            )
    return Problem("unknown_form", f"this has not the form of an address on {_list(chains)}")


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "the chains"


def _normal(text: str, chains: Sequence[Chain]) -> str:
    """The normal form of a wallet's address, or the text itself where no chain here reads it."""
    for chain in chains:
        try:
            address = chain.parse_address(text)
        except BadInput:
            continue  # a wrong address in the settings is for `doctor` to tell
        if address is not None:
            return address.text
    return text


def _compare(
    check: AddressCheck,
    own: Mapping[str, WalletSettings],
    others: Mapping[str, str],
    derived: Callable[[str, str], WalletSettings | None],
) -> AddressCheck:
    address = check.address
    if address is None:
        return check
    known = (own.get(address.text), *(derived(chain, address.text) for chain in check.chains))
    wallet = next((each for each in known if each is not None), None)
    return replace(
        check,
        own=None if wallet is None else OwnWallet(wallet.name, wallet.role),
        look_alikes=tuple(LookAlike(other, of) for other, of in others.items() if looks_alike(address, other)),
    )


def _screened(check: AddressCheck, lists: Lists) -> AddressCheck:
    if check.address is None:
        return check
    text = check.address.text
    return replace(check, listed=(*lists.sanctions(text), *lists.blocked(text)))


# -- asking the chains -----------------------------------------------------------------------------------------------


def _ask(checks: list[AddressCheck], chains: Sequence[Chain]) -> list[AddressCheck]:
    """Add what the chains say of the addresses, each asked in a thread of its own: most of the time goes by waiting."""
    from concurrent.futures import (
        ThreadPoolExecutor,  # here: `--help` need not wait for it
    )

    asked = [chain for chain in chains if any(chain.name in check.chains for check in checks)]
    if not asked:
        return checks
    with ThreadPoolExecutor(len(asked)) as threads:
        answers = list(threads.map(lambda chain: _contracts(chain, checks), asked))
    merged = []
    for i, check in enumerate(checks):
        said = {chain.name: answer[i] for chain, answer in zip(asked, answers, strict=True) if answer[i] is not None}
        contract = {name: answer for name, answer in said.items() if not isinstance(answer, str)}
        unreachable = {name: answer for name, answer in said.items() if isinstance(answer, str)}
        merged.append(replace(check, contract=contract, unreachable=unreachable))
    return merged


def _contracts(chain: Chain, checks: Sequence[AddressCheck]) -> list[bool | str | None]:
    """Per check: whether its address is a contract on ``chain``, or what went wrong; a chain that failed rests then."""
    answers: list[bool | str | None] = []
    failure: str | None = None
    for check in checks:
        answer: bool | str | None = None
        if check.address is not None and chain.name in check.chains:
            if failure is None:
                try:
                    answer = chain.describe_address(check.address).contract
                except NodesFailed as error:
                    failure = error.message
            answer = answer if failure is None else failure
        answers.append(answer)
    return answers
