"""Is the keyring fit for what it holds, and does it hold what the settings refer to?"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence

from cryptosupport.desk.keep_keys import Keys
from cryptosupport.desk.verdicts import Verdict, bad_settings, ok, warn
from cryptosupport.domain.errors import BadSettings
from cryptosupport.settings.references import BY_DEFAULT, KeyReference, Kind

OURS = "set $CRYPTOSUPPORT_KEYRING_PASSPHRASE_FILE to use the one of this program"


def check_keys(keys: Keys) -> Iterator[Verdict]:
    """A verdict on the keyring, and on each name."""
    backends, in_clear, fault = keys.keyring.examine()
    weak = [name for name in in_clear if name not in keys.allowed]
    try:
        known = keys.known()
    except BadSettings as error:
        yield bad_settings("keyring", error.message, f"correct that; or {OURS}")
        return
    needed = any(each.places != (BY_DEFAULT,) for each in keys.references)
    yield check_keyring(backends, weak, fault, needed=needed, guards=False)
    for reference, is_set in known:
        yield _set(reference, weak) if is_set else _missing(reference)
    yield from check_operators([each.name for each, is_set in known if is_set and each.kind is Kind.OPERATOR])


def check_keyring(backends: Sequence[str], weak: Collection[str], fault: str, *, needed: bool, guards: bool) -> Verdict:
    """A verdict on the keyring itself.

    ``weak`` are the backends that keep secrets in clear and are not allowed to; ``needed`` says whether a setting
    refers to a secret, ``guards`` whether wallets or operators sign with one.
    """
    if fault:
        return bad_settings("keyring", fault, f"name one that works, or none; or {OURS}")
    if not backends:
        said = "this machine has no keyring" + ("" if needed else "; no setting needs one")
        return warn("keyring", said, f"{OURS}, or env:NAME in the settings")
    if weak:
        advice = f"{OURS}, or name it under [keys] allow_backends in desk.toml"
        said = f"{', '.join(weak)} keeps secrets in clear"
        if guards:
            return bad_settings("keyring", f"{said}, and has keys that wallets or operators sign with", advice)
        return warn("keyring", said, advice)
    return ok("keyring", ", ".join(backends))


def check_operators(held: Collection[str]) -> Iterator[Verdict]:
    """A warning where the keyring has the keys of several people: whoever uses it can then approve twice."""
    if len(held) > 1:
        said = f"this keyring holds the keys of {len(held)} operators: {', '.join(sorted(held))}"
        advice = "one person, one key: leave each on the machine of its owner, and delete it here"
        yield warn("operators", said, advice)


def _set(reference: KeyReference, weak: Collection[str]) -> Verdict:
    if weak and reference.kind.guarded:
        said = f"is a {reference.kind.value} key, and {', '.join(weak)} keeps it in clear: count it as known to others"
        return bad_settings(f"key {reference.name}", said, f"make a new one in a keyring that seals it: {OURS}")
    return ok(f"key {reference.name}", f"is set ({reference.kind.value})")


def _missing(reference: KeyReference) -> Verdict:
    title, how = f"key {reference.name}", f"cryptosupport keys set {shlex.quote(reference.name)}"
    if reference.kind is Kind.OPERATOR:
        return ok(title, "is not set here, but for its owner to hold")
    if reference.places == (BY_DEFAULT,):
        return warn(title, "is not set: personal data cannot be sealed without it", f"run `{how} --random`")
    return bad_settings(title, f"is not set, and {', '.join(reference.places)} refers to it", f"run `{how}`")
