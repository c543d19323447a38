"""The part of `doctor` that looks at paying: what stops a payment, or takes away what protects it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptosupport.desk.verdicts import Verdict, bad_settings, ok, warn
from cryptosupport.settings import ChainSettings, WalletSettings

_APART = "keep copies of the ledger in another place: the store has to know more than what is restored"


@dataclass(frozen=True, slots=True)
class Payments:
    """What is examined.

    ``can_pay`` says whether a chain, by its name, can be paid on; ``store`` is the memory of this machine's signer.
    ``ledgers`` finds the ledgers, and copies of one, that stand in its folder or in that of the ledger: the first says
    which ledger is the one in use, None for a server.
    """

    can_pay: Callable[[str], bool]
    store: Path
    ledgers: Callable[[], tuple[Path | None, Sequence[Path]]]


def examine_payments(
    wallets: Sequence[WalletSettings], chains: Mapping[str, ChainSettings], payments: Payments
) -> Iterator[Verdict]:
    """A verdict on each chain and wallet that is paid from, and on the signer's store; none where nothing pays."""
    pay = [it for it in wallets if it.role == "hot" and it.signer and it.chain in chains and payments.can_pay(it.chain)]
    for name in dict.fromkeys(wallet.chain for wallet in pay):
        yield from _chain(chains[name])
    for wallet in pay:
        yield from _caps(wallet, chains[wallet.chain])
    if any(_signs_here(wallet) for wallet in pay):
        yield _store(payments)


def _signs_here(wallet: WalletSettings) -> bool:
    """Whether the checks and the memory of its signer are this machine's: a signer on a socket has its own."""
    return not (wallet.signer or "").startswith("socket:")


def _chain(settings: ChainSettings) -> Iterator[Verdict]:
    """Can a payment begin, and can it ever be final?"""
    name, file, operators = f"paying on {settings.name}", f"chains/{settings.name}.toml", settings.operators
    fine = True
    if (fault := settings.pay_fault) is not None:
        fine = False
        yield bad_settings(name, fault, f"name both in {file}")
    if len(operators) < settings.quorum:
        fine = False
        said = f"quorum = {settings.quorum}, and its endpoints have {len(operators)} operator(s): no payment ever ends"
        yield bad_settings(name, said, f"add endpoints of other operators to {file}")
    elif settings.quorum == 1 and len(operators) > 1:
        fine = False
        said = f"quorum = 1, and its endpoints have {len(operators)} operators: one of them alone can end a payment"
        yield warn(name, said, f"quorum = 2 in {file}")
    if fine:
        yield ok(name, f"fees have caps, and {settings.quorum} of {len(operators)} operators end a payment")


def _caps(wallet: WalletSettings, settings: ChainSettings) -> Iterator[Verdict]:
    """How much leaves by itself? Caps that are no amounts are told with the wallet."""
    open_to_all = [symbol for symbol in settings.by_symbol if symbol not in wallet.caps]
    if not _signs_here(wallet) or not open_to_all:
        return
    said = f"its signer lets any amount of {', '.join(open_to_all)} leave by itself"
    first = f"[{wallet.name}.caps.{open_to_all[0]}]"
    yield warn(f"signer of {wallet.name}", said, f"add {first} with per_transaction and per_hour to wallets.toml")


def _store(payments: Payments) -> Verdict:
    """Would a backup that is restored take the signer's memory back with it?"""
    name, folder = "signer store", payments.store.parent
    in_use, found = payments.ledgers()
    beside = [path for path in found if path != in_use]
    if in_use is not None and in_use.parent == folder:
        said = f"the ledger {in_use} is in the folder of the signer's store, {folder}"
        return warn(name, said, "move the ledger ([ledger] url in desk.toml): who restores that folder restores both")
    if beside:
        some = ", ".join(map(str, beside[:3])) + (", ..." if len(beside) > 3 else "")
        return warn(name, f"copies of the ledger are kept beside the signer's store, {payments.store}: {some}", _APART)
    return ok(name, f"{payments.store}; leave it out of whatever is restored with the ledger")
