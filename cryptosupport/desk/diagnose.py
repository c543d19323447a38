"""`doctor`: is this installation fit for work? One verdict a line, each with what to do about it.

Every file is read and every node asked whatever the others say, so that one run shows all that is wrong.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from cryptosupport.desk.check_keys import check_keyring, check_operators
from cryptosupport.desk.diagnose_paying import Payments, examine_payments
from cryptosupport.desk.diagnose_withdrawals import Withdrawing, examine
from cryptosupport.desk.verdicts import Verdict, bad_settings, ok, unreachable, warn
from cryptosupport.domain.errors import BadInput, BadSettings, NodesFailed, Refused, Unreachable
from cryptosupport.domain.ports import Chain, Clock, Memory, NodeHealth
from cryptosupport.domain.transactions import Sighting
from cryptosupport.settings import (
    PRESETS,
    ChainSettings,
    WalletSettings,
    amount_faults,
    chain_names,
    is_reference,
    load_chain,
    load_desk,
    load_wallets,
    others_write,
)
from cryptosupport.settings.references import operator_keys

SCHEMA = "cryptosupport.doctor/1"
SKEW = 120
"""Seconds that this machine's clock may differ from the newest block."""

_OLDEST_PYTHON = (3, 11)
_FAST = 60.0  # only chains with a block at least this often tell the time; Bitcoin's block times may be two hours off


@dataclass(frozen=True, slots=True)
class Installation:
    """What is examined.

    ``secret`` says what a reference such as "keyring:NAME" stands for and raises `BadSettings` when it is not set.
    ``keyrings`` are the keyring backends in use, as "module.Class"; ``keyring_fault`` says why they cannot be told;
    ``in_clear`` are those whose secrets others can read.
    ``memory`` says in ``complaints`` what goes wrong with it. ``withdrawing`` is what withdrawals rest on.
    ``ask_signer`` asks the signer of a wallet that is a process of its own, and says that all is well; None where there
    is nobody to ask. It raises `BadSettings`, `Refused`, `Unreachable`. ``payments`` is what paying rests on.
    """

    folder: Path
    python: tuple[int, int, int]
    clock: Clock
    secret: Callable[[str], str]
    keyrings: tuple[str, ...]
    in_clear: tuple[str, ...]
    memory: Memory
    complaints: Sequence[str]
    open_chain: Callable[[str], Chain]
    keyring_fault: str = ""
    withdrawing: Withdrawing | None = None
    ask_signer: Callable[[str], str | None] = lambda name: None
    payments: Payments | None = None


def diagnose(installation: Installation, only: str | None = None) -> Iterator[Verdict]:
    """Examine everything, or of the chains and wallets those of the chain ``only``; verdicts come as they are known.

    Raises `BadSettings` when there is no chain ``only``.
    """
    settings, broken = _chain_settings(installation.folder, only)
    wallets, wallet_fault = _wallets(installation.folder)
    examined = [wallet for wallet in wallets.values() if only in (None, wallet.chain)]
    chains, unopened = _open(settings, installation.open_chain)
    yield _python(installation.python)
    yield from _folder(installation.folder, wallets)
    yield from broken
    if wallet_fault is not None:
        yield wallet_fault
    yield _memory(installation)
    yield from _secrets(installation, [*settings.values(), *examined])
    for name, chain in chains.items():
        yield from _sources(settings[name])
        yield from _identity(settings[name], chain)
    yield from unopened
    if only is None and installation.withdrawing is not None:
        yield from examine(installation.withdrawing)
    for wallet in examined:
        yield from _wallet(wallet, wallets, chains, installation)
    if installation.payments is not None:
        paid_on = settings | _switched_off(installation.folder, examined, settings)
        yield from examine_payments(examined, paid_on, installation.payments)
    health = _ask(list(chains.values()))
    alive = {one.chain for one in health if one.ok}
    yield from (_node(one, one.chain in alive) for one in health)
    yield from _clock(health, settings, installation.clock.now())


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """0, or the worst of 8 and 6."""
    return max((verdict.exit_code for verdict in verdicts), default=0)


def as_record(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON shows it (schema `cryptosupport.doctor/1`)."""
    return {
        "schema": SCHEMA,
        "verdict": verdict.outcome.value,
        "name": verdict.name,
        "message": verdict.message,
        "advice": verdict.advice or None,
    }


# -- this machine ----------------------------------------------------------------------------------------------------


def _python(version: tuple[int, int, int]) -> Verdict:
    said = "Python " + ".".join(map(str, version))
    if version[:2] < _OLDEST_PYTHON:
        return warn("python", said, "use Python {}.{} or later".format(*_OLDEST_PYTHON))
    return ok("python", said)


def _folder(folder: Path, wallets: Mapping[str, WalletSettings]) -> Iterator[Verdict]:
    further, fault = _feeds(folder)
    watched = dict.fromkeys((folder, *sorted(folder.rglob("*.toml")), *further))
    if folder == PRESETS:
        said = f"the presets in the package ({folder}): public nodes, no wallets"
        yield warn("settings", said, "run `cryptosupport init`, then put your own nodes into chains/*.toml")
    elif open_to_others := [path for path in watched if others_write(path)]:
        said = f"others than the owner can write {', '.join(map(str, open_to_others))}"
        elsewhere = (path for path in open_to_others if not path.is_relative_to(folder))
        command = shlex.join(["chmod", "-R", "go-w", *map(str, (folder, *elsewhere))])
        yield warn("settings", said, f"run `{command}`: commands that move money refuse such settings")
    else:
        yield ok("settings", f"{folder}, with {len(wallets)} wallet{'' if len(wallets) == 1 else 's'}")
    if fault is not None:
        yield fault


def _feeds(folder: Path) -> tuple[Sequence[Path], Verdict | None]:
    """The files of prices and balances, which may be elsewhere; or what is wrong with desk.toml, which names them."""
    try:
        desk = load_desk(folder)
    except BadSettings as error:
        return (), bad_settings("desk.toml", error.message, "correct the file")
    balances = desk.intake.balances_file(folder)
    return (*desk.prices.paths(folder), *([] if balances is None else [balances])), None


def _memory(installation: Installation) -> Verdict:
    """Keep a sighting and read it back: only that shows that the file works."""
    now = installation.clock.now()
    installation.memory.remember([Sighting("doctor", "doctor", now, now, "unknown")])
    kept = installation.memory.recall("doctor", ["doctor"])
    if kept and not installation.complaints:
        return ok("memory", "what look-ups see is kept")
    said = next(iter(installation.complaints), "what was kept does not come back")
    advice = "make the folder writable, or name another with --data; until then replaced and dropped are not told"
    return warn("memory", said, advice)


def _secrets(installation: Installation, settings: Sequence[ChainSettings | WalletSettings]) -> Iterator[Verdict]:
    wanted = sorted({text for each in settings for text in _references(msgspec.to_builtins(each))})
    signs = any(isinstance(each, WalletSettings) and (each.signer or "").startswith("keyring:") for each in settings)
    yield from _keyring(installation, any(text.startswith("keyring:") for text in wanted), signs)
    for reference in wanted:
        scheme, _, name = reference.partition(":")
        try:
            installation.secret(reference)
        except BadSettings as error:
            how = f"run `cryptosupport keys set {name}`" if scheme == "keyring" else f"export {name}=..."
            yield bad_settings(f"secret {reference}", error.message, f"{how}, as the user who runs cryptosupport")
        else:
            yield ok(f"secret {reference}", "is set")


def _references(value: object) -> Iterator[str]:
    """Every "keyring:NAME" and "env:NAME" below a settings value."""
    if isinstance(value, str) and is_reference(value):
        yield value
    elif isinstance(value, dict):
        for child in value.values():
            yield from _references(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _references(child)


def _keyring(installation: Installation, needed: bool, signs: bool) -> Iterator[Verdict]:
    """Is the keyring fit for what it holds: keys of wallets where one ``signs`` with it, an operator's own key?"""
    try:
        allowed = load_desk(installation.folder).keys.allow_backends
    except BadSettings:
        allowed = ()
    try:
        own = [name for name in operator_keys(installation.folder) if _is_set(installation, f"keyring:{name}")]
    except BadSettings as error:
        own = []
        yield bad_settings("operators.toml", error.message, "correct the file")
    weak = [name for name in installation.in_clear if name not in allowed]
    guards = signs or bool(own)
    yield check_keyring(installation.keyrings, weak, installation.keyring_fault, needed=needed, guards=guards)
    yield from check_operators(own)


def _is_set(installation: Installation, reference: str) -> bool:
    try:
        return bool(installation.secret(reference))
    except BadSettings:
        return False


# -- chains ----------------------------------------------------------------------------------------------------------


def _chain_settings(folder: Path, only: str | None) -> tuple[dict[str, ChainSettings], list[Verdict]]:
    """The chains to examine, and a verdict on each file that cannot be used."""
    if only is not None:
        return {only: load_chain(folder, only)}, []
    found, broken = {}, []
    try:
        names = chain_names(folder)
    except BadSettings as error:
        return {}, [bad_settings("chains", error.message, "make the folder readable for this user")]
    for name in names:
        try:
            settings = load_chain(folder, name)
        except BadSettings as error:
            broken.append(bad_settings(f"chain {name}", error.message, "correct the file, or delete it"))
            continue
        if settings.enabled:
            found[name] = settings
    if not found and not broken:
        said = f"no chain is enabled in {folder / 'chains'}"
        broken.append(bad_settings("chains", said, "run `cryptosupport init`, which writes the presets"))
    return found, broken


def _open(
    settings: Mapping[str, ChainSettings], open_chain: Callable[[str], Chain]
) -> tuple[dict[str, Chain], list[Verdict]]:
    chains, unopened = {}, []
    for name, each in settings.items():
        try:
            _ = each.coin
            chains[name] = open_chain(name)
        except BadSettings as error:
            unopened.append(bad_settings(f"chain {name}", error.message, f"correct chains/{name}.toml"))
    return chains, unopened


def _sources(settings: ChainSettings) -> Iterator[Verdict]:
    """Is there more than one source of truth?"""
    name, operators = f"chain {settings.name}", settings.operators
    if not operators:
        yield bad_settings(name, "has no endpoints", f"add a node to chains/{settings.name}.toml, or enabled = false")
    elif len(operators) < settings.quorum:
        said = (
            f"quorum = {settings.quorum}, and its endpoints have {len(operators)} operator(s): {', '.join(operators)}"
        )
        yield warn(name, said, "add an endpoint of another operator: money is not released before that many agree")
    elif len(operators) == 1:
        said = f"one operator runs all its endpoints: {operators[0]}"
        yield warn(name, said, "add an endpoint of another operator: nobody contradicts a single one")
    else:
        yield ok(name, f"endpoints of {len(operators)} operators, {settings.quorum} have to agree")


def _identity(settings: ChainSettings, chain: Chain) -> Iterator[Verdict]:
    """Is it certain which chain this is, and which contracts are its tokens?"""
    name, file = f"chain {settings.name}", f"chains/{settings.name}.toml"
    if settings.family == "evm" and settings.chain_id is None:
        yield warn(name, "has no chain_id", f"add chain_id = N to {file}: else a node of any EVM chain is believed")
    for symbol, asset in settings.assets.items():
        if asset.contract is not None:
            for fault in _address_faults(asset.contract, asset.contract, chain):
                yield bad_settings(name, f"assets.{symbol}: contract: {fault}", f"correct {file}")


def _ask(chains: Sequence[Chain]) -> list[NodeHealth]:
    """The health of every node, all chains at once: most of the time goes by waiting."""
    from concurrent.futures import ThreadPoolExecutor  # here: `--help` need not wait for it

    if not chains:
        return []
    with ThreadPoolExecutor(len(chains)) as threads:
        answers = list(threads.map(_health, chains))
    return [health for answer in answers for health in answer]


def _health(chain: Chain) -> list[NodeHealth]:
    try:
        return chain.health()
    except NodesFailed as error:
        return [NodeHealth(chain.name, failure.node, False, failure.message) for failure in error.failures]


def _node(health: NodeHealth, others: bool) -> Verdict:
    name, message = f"node {health.chain} {health.node}", health.message.removeprefix(f"{health.node}: ")
    if health.ok:
        return ok(name, message)
    outlook = "look-ups go on with its other nodes" if others else f"no other node of {health.chain} answers"
    advice = f"start it, or correct or replace it in chains/{health.chain}.toml; {outlook}"
    return unreachable(name, message, advice)


def _clock(health: Iterable[NodeHealth], chains: Mapping[str, ChainSettings], now: int) -> Iterator[Verdict]:
    """Compare with the newest block of chains that make blocks often."""
    times = [
        (one.time, one.chain)
        for one in health
        if one.ok and one.time is not None and chains[one.chain].block_seconds <= _FAST
    ]
    if not times:
        return
    newest, chain = max(times)
    behind = newest - now
    if behind > SKEW:
        said = f"this machine's clock is {behind} s behind the newest block of {chain}"
        yield warn("clock", said, "set the clock: run an NTP client")
    elif -behind > SKEW + 2 * chains[chain].block_seconds:
        said = f"the newest block of any chain ({chain}) is {-behind} s old"
        yield warn("clock", said, "the nodes make no blocks, or this machine's clock is ahead: run an NTP client")
    else:
        yield ok("clock", f"agrees with the newest block of {chain}")


# -- wallets ---------------------------------------------------------------------------------------------------------


def _wallets(folder: Path) -> tuple[dict[str, WalletSettings], Verdict | None]:
    try:
        return load_wallets(folder, whole=False), None
    except BadSettings as error:
        return {}, bad_settings("wallets.toml", error.message, "correct the file")


def _switched_off(
    folder: Path, wallets: Sequence[WalletSettings], enabled: Mapping[str, ChainSettings]
) -> dict[str, ChainSettings]:
    """The chains of wallets that are not enabled: that stops look-ups, and no payment."""
    found = {}
    for name in {wallet.chain for wallet in wallets} - enabled.keys():
        try:
            found[name] = load_chain(folder, name)
        except BadSettings:  # told with the wallet
            continue
    return found


def _wallet(
    wallet: WalletSettings,
    wallets: Mapping[str, WalletSettings],
    chains: Mapping[str, Chain],
    installation: Installation,
) -> Iterator[Verdict]:
    """Every fault of one wallet's settings, or one line that it has none."""
    title, advice = f"wallet {wallet.name}", f"correct [{wallet.name}] in wallets.toml"
    faults = list(_wallet_faults(wallet, wallets, chains, installation))
    if faults:
        yield from (bad_settings(title, fault, advice) for fault in faults)
    elif wallet.chain not in chains:
        said = f"could not be compared with {wallet.chain}, which is not enabled or not in order"
        yield warn(title, said, f"see chains/{wallet.chain}.toml")
    elif wallet.role == "hot" and wallet.signer is None:
        yield warn(title, "is hot and has no signer", 'say where its key is: signer = "keyring:NAME"')
    elif wallet.role == "hot":
        yield _signer(wallet, installation)
    else:
        yield ok(title, f"{wallet.role} on {wallet.chain}")


def _signer(wallet: WalletSettings, installation: Installation) -> Verdict:
    """Would the signer of a hot wallet sign for it?"""
    title, see = f"wallet {wallet.name}", f"start its signer, or correct [{wallet.name}] in wallets.toml"
    try:
        said = installation.ask_signer(wallet.name)
    except Unreachable as error:
        return unreachable(title, f"its signer: {error.message}", see)
    except (BadSettings, Refused) as error:
        return bad_settings(title, f"its signer: {error.message}", see)
    return ok(title, f"{wallet.role} on {wallet.chain}{f'; {said}' if said else ''}")


def _wallet_faults(
    wallet: WalletSettings,
    wallets: Mapping[str, WalletSettings],
    chains: Mapping[str, Chain],
    installation: Installation,
) -> Iterator[str]:
    try:
        settings = load_chain(installation.folder, wallet.chain)
    except BadSettings as error:
        yield error.message
        return
    if wallet.address is None and wallet.descriptor is None:
        yield "has neither an address nor a descriptor"
    elif wallet.address is not None and wallet.chain in chains:
        try:
            address = installation.secret(wallet.address)
        except BadSettings:
            address = None  # told among the secrets
        if address is not None:
            faults = _address_faults(address, wallet.address, chains[wallet.chain])
            yield from (f"address: {fault}" for fault in faults)
    yield from amount_faults(wallet, wallets, settings)


def _address_faults(text: str, shown: str, chain: Chain) -> Iterator[str]:
    """What is wrong with an address; ``shown`` is how the settings call it, which may be a reference."""
    try:
        address = chain.parse_address(text)
    except BadInput as error:
        yield error.message
        return
    if address is None:
        yield f"{shown} is no address of {chain.name}"
    elif address.burn:
        yield f"nobody can spend from {shown}"
