"""The afternoon at the desk: people come into force, sign a policy, approve, hold, screen, freeze and lift.

The private keys of all three lie in one keyring here, as nowhere else: a desk has one person at each machine.
"""

from __future__ import annotations

from collections.abc import Iterator

from cryptosupport.outside.desk_scenes import POLICY, Step
from cryptosupport.outside.scenes import BITCOIN, CUSTOMERS

_DRAFT = POLICY.replace("30000 USD", "100000 USD").replace("approvals = 1", "approvals = 2")
_SANCTIONED = CUSTOMERS[2]
_LIST = f"# as_of 2026-11-21T00:00:00Z\naddress,tag,entry,label\n{_SANCTIONED},XBT,12345,Example Exploit Group\n"


def people_steps() -> Iterator[Step]:
    """Everything that people do, each step resting on those before it."""
    yield from _coming_into_force()
    yield from _two_approve()
    yield from _screened_and_held()
    yield from _frozen()


def _coming_into_force() -> Iterator[Step]:
    waits = {"state": "proposed", "signed_by.0": "alice"}
    yield Step("Alice names herself", _add("alice", "ops", "policy"), 9, waits)
    bob = _add("bob", "approver", "policy")
    yield Step("And Bob; nobody is in force before a second one has signed", bob, 9, waits)
    yield Step("And Carol, of compliance", _add("carol", "approver", "compliance"), 9, waits)
    both = {"state": "active", "signed_by.1": "bob"}
    yield Step("Bob signs: the first two by each other", ("operator", "sign", *_by("bob")), 0, both)
    submit = _submit("w-12", "0.25")
    unsigned = {"error.code": "edited"}
    yield Step("From now on a policy that nobody signed stops the desk", submit, 8, unsigned)
    files = {"draft.toml": _DRAFT}
    propose = ("policy", "propose", "draft.toml", *_by("alice"))
    yield Step("A policy is proposed, with all that differs", propose, 9, waits | {"loosens": []}, files)
    yield Step("The second signature puts it in force", ("policy", "sign", *_by("bob")), 0, both)


def _two_approve() -> Iterator[Step]:
    asks = {"state": "awaiting_approval", "decision.approvals": 2}
    yield Step("Alice brings a request that two people have to approve", _submit("w-12", "0.25"), 9, asks)
    refused = {"error.code": "refused"}
    yield Step("She has no say in it", _say("approve", "w-12", "alice"), 3, refused)
    once = {"state": "awaiting_approval", "missing": 1, "review.approvals.given.0": "bob"}
    yield Step("Bob approves, having seen the whole address", _say("approve", "w-12", "bob"), 9, once)
    yield Step("Carol approves", _say("approve", "w-12", "carol"), 0, {"state": "approved", "missing": 0})


def _screened_and_held() -> Iterator[Step]:
    imported = {"entries": 1}
    command = ("screen", "import", "sanctions.csv", "--list", "sanctions", *_by("carol"))
    yield Step("A sanctions list is imported", command, 0, imported, {"sanctions.csv": _LIST})
    held = {"state": "held", "decision.outcome": "hold"}
    yield Step("Who is on it is paid nothing", _submit("w-13", "0.01", _SANCTIONED), 9, held)
    cancel = ("withdraw", "cancel", "w-13", *_by("alice"))
    yield Step("What is blocked is not cancelled either", cancel, 3, {"error.code": "refused"})
    note = ("withdraw", "hold", "w-13", "--owner", "carol", "--reported", "case 77", *_by("carol"))
    yield Step("Compliance looks after it, and reports it", note, 0, {"owner": "carol", "blocked": True})
    hold = ("withdraw", "hold", "w-12", "--reason", "the customer called", *_by("bob"))
    yield Step("Anything can be held before it is paid", hold, 0, {"state": "held"}, told_by=_show("w-12"))
    listed = {"0.request_id": "w-13", "1.request_id": "w-12"}
    yield Step("All that is held, the longest first", ("withdraw", "holds"), 0, listed)
    release = _say("release", "w-12", "carol", "--reason", "it was theirs")
    again = {"state": "awaiting_approval"}
    title = "Released, it is decided anew: approvals given before are void"
    yield Step(title, release, 9, again, told_by=_show("w-12"), told_code=0)


def _frozen() -> Iterator[Step]:
    freeze = ("freeze", "add", f"chain={BITCOIN}", "--reason", "strange blocks", *_by("bob"))
    yield Step("One person freezes", freeze, 0, {"scope": f"chain={BITCOIN}", "proven": True})
    waits = {"state": "waiting", "decision.outcome": "wait"}
    yield Step("What comes in waits", _submit("w-14", "0.01", CUSTOMERS[1]), 9, waits)
    yield Step("Nothing is approved meanwhile", _say("approve", "w-12", "bob"), 3, {"error.code": "frozen"})
    lift = ("freeze", "lift", f"chain={BITCOIN}")
    yield Step("Lifting takes two: Bob", (*lift, *_by("bob")), 9, {"lift_asked_by.0": "bob", "lifted_at": None})
    done = {"0": None}
    frozen = ("freeze", "list")
    yield Step("And Carol", (*lift, *_by("carol")), 0, done, told_by=frozen)
    yield Step("The next pass lets it through", ("withdraw", "run"), 0, {"state": "approved"}, told_by=_show("w-14"))
    yield Step("All of it is in a log that shows any change", ("audit", "verify"), 0, {"sound": True, "count": 0})


def _by(name: str) -> tuple[str, str]:
    return "--operator", name


def _add(name: str, *roles: str) -> tuple[str, ...]:
    given = (part for role in roles for part in ("--role", role))
    return "operator", "add", name, *given, "--public-key", "keyring", *_by("alice")


def _submit(request_id: str, amount: str, destination: str = CUSTOMERS[0]) -> tuple[str, ...]:
    asked = ("--request-id", request_id, "--customer", "c-20", "--asset", "BTC", "--chain", BITCOIN)
    return "withdraw", "submit", *asked, "--amount", amount, "--destination", destination, *_by("alice")


def _say(action: str, request_id: str, name: str, *further: str) -> tuple[str, ...]:
    return "withdraw", action, request_id, *further, *_by(name)


def _show(request_id: str) -> tuple[str, ...]:
    return "withdraw", "show", request_id
