"""The part of `doctor` that looks at what stands beside the policy: people and lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cryptosupport.desk.people import SIGNERS, TRUSTED, People
from cryptosupport.desk.show_lists import FAULTS, ListAge, ListState
from cryptosupport.desk.verdicts import Verdict, bad_settings, ok, warn
from cryptosupport.domain.errors import BadSettings, Refused, SupportError
from cryptosupport.domain.operators import Role
from cryptosupport.domain.screening import ListKind


@dataclass(frozen=True, slots=True)
class Guarded:
    """What is examined; each is read when its turn comes.

    ``people`` raises `BadSettings` for an operators.toml that nobody signed, and `Tampered`. ``hear`` is told whatever
    goes wrong: what may be an attack is written down.
    """

    people: Callable[[], People]
    policy: Callable[[], object]
    lists: Callable[[], Sequence[ListAge]]
    hear: Callable[[SupportError], None] = lambda error: None


def examine_guards(guarded: Guarded) -> Iterator[Verdict]:
    """A verdict on each part, whatever the others say."""
    for name, part in (("operators", _people), ("screening", _lists)):
        try:
            yield from part(guarded)
        except (BadSettings, Refused) as error:
            guarded.hear(error)
            yield bad_settings(name, error.message, "see the message, and `cryptosupport audit verify`")


def _people(guarded: Guarded) -> Iterator[Verdict]:
    operators = guarded.people().operators
    if not operators:
        said = "there are none: nobody can approve or release, and policy.toml counts as it stands"
        yield warn("operators", said, "name two people with `cryptosupport operator add`")
        return
    guarded.policy()
    missing = [
        str(role)
        for role, least in ((Role.APPROVER, 1), (Role.COMPLIANCE, 1), (Role.POLICY, 2))
        if sum(role in person.roles for person in operators.people.values()) < least
    ]
    if missing:
        said = f"too few have the role {' and '.join(missing)}: what takes it cannot be done"
        yield warn("operators", said, "give the roles with `cryptosupport operator add`")
    elif sum(bool(person.roles & TRUSTED) for person in operators.people.values()) == SIGNERS:
        said = f"only {SIGNERS} can sign changes: neither may lose a key, and neither can be replaced"
        yield warn("operators", said, "add a third with `cryptosupport operator add`")
    else:
        yield ok("operators", f"{len(operators.people)} people")


def _lists(guarded: Guarded) -> Iterator[Verdict]:
    ages = guarded.lists()
    if not any(age.head is not None and age.head.kind is ListKind.SANCTIONS for age in ages):
        said = "no sanctions list is there: destinations are not screened"
        yield warn("screening", said, "import one: `cryptosupport screen import FILE --list NAME`, daily from cron")
    for age in ages:
        said, advice = f"the list {age.name}: {age.reason or 'fresh'}", "import it again, daily from cron"
        if age.found is not None:
            guarded.hear(age.found)
        if age.state in FAULTS:
            yield bad_settings("screening", said, advice)
        elif age.state is ListState.OLD:
            yield warn("screening", said, advice)
        else:
            yield ok("screening", said)
