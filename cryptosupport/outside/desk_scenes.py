"""A morning at the desk: requests of every kind, submitted and decided one after another, and what comes of each.

The settings stand beside those of the private nodes, which nobody asks here: deciding needs none. Each step rests on
what the ones before it left in the ledger.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cryptosupport.domain.requests import signed_bytes
from cryptosupport.domain.wording import iso_time
from cryptosupport.outside.scenes import BITCOIN, CUSTOMERS, EVM, STRANGER

POLICY = """\
tiers = ["basic", "vip"]
[[rules]]
name = "customer-day"
match = { tier = "basic" }
per = "customer"
window = "24h"
max_value = "20000 USD"
[[rules]]
name = "customer-day-vip"
match = { tier = "vip" }
per = "customer"
window = "24h"
max_value = "200000 USD"
[[rules]]
name = "desk-hour"
per = "global"
window = "1h"
max_value = "30000 USD"
[[rules]]
name = "second-pair-of-eyes"
above_value = "10000 USD"
approvals = 1
[[rules]]
name = "new-destination"
match = { asset = "ETH" }
cooling = "24h"
[[rules]]
name = "who-is-it"
match = { tier = "vip" }
require = ["identity", "two_factor"]
max_age = "1h"
"""

_PRICES = """\
as_of = {now}
[price_usd]
BTC = "50000"
ETH = "2500"
USDX = "1"
"""

_DESK = """\
[prices]
files = ["prices.toml"]
[intake]
keys = {{ backend = "{key}" }}
[batch]
count = 5
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One command at the desk, and what has to be told of it, by dotted key of what `--json` prints.

    ``files`` are written before it, below the folder that it runs in. ``told_by`` is the command whose JSON is looked
    at, where the same one once more would tell something else; it exits with ``told_code``, None for ``exit_code``.
    ``stdin`` is what it reads.
    """

    title: str
    arguments: tuple[str, ...]
    exit_code: int
    expected: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    told_by: tuple[str, ...] = ()
    told_code: int | None = None
    stdin: str = ""
    chain: str = "desk"
    txid: None = None


def desk_steps(now: int) -> Iterator[Step]:
    """Settings first, then every outcome, then the way out of a queue; ``now`` in seconds since 1970."""
    key = Ed25519PrivateKey.generate()
    settings = {
        "configs/desk.toml": _DESK.format(key=key.public_key().public_bytes_raw().hex()),
        "configs/prices.toml": _PRICES.format(now=iso_time(now)),
        "configs/policy.toml": POLICY,
    }
    remark = {"0.level": "warning", "0.rule": "second-pair-of-eyes", "1": None}
    yield Step("The rules of a desk, and what is to be said about them", ("policy", "check"), 0, remark, settings)
    yield from _one_by_one()
    yield from _from_files(now, key)
    yield from _in_the_queue()


def _one_by_one() -> Iterator[Step]:
    """Requests by options: 5,000 and 15,000 USD of the desk's hour are taken by them."""
    small = _submit("w-1", "c-7", "BTC", "0.1")
    yield Step("A request within all limits", small, 0, {"state": "approved", "decision.value_usd": "5000"})
    again = {"state": "approved", "repeated": True}
    yield Step("The same request once more, as after a lost answer", small, 0, again)
    another = _submit("w-1", "c-7", "BTC", "0.2")
    yield Step("Another request under the same id", another, 2, {"error.code": "bad_input"})
    large = _submit("w-2", "c-7", "BTC", "0.31")
    yield Step("More than a customer's day has left", large, 3, {"state": "rejected", "decision.outcome": "deny"})
    eyes = {"state": "awaiting_approval", "decision.approvals": 1}
    yield Step("So much that a second person has to look", _submit("w-3", "c-8", "BTC", "0.3"), 9, eyes)
    cools = {"state": "waiting", "decision.outcome": "wait"}
    yield Step("An address that this customer has never used", _submit("w-4", "c-8", "ETH", "1"), 9, cools)


def _from_files(now: int, key: Ed25519PrivateKey) -> Iterator[Step]:
    """Requests by files: 5,600 USD more."""
    shown = {"identity": True, "two_factor": True, "at": iso_time(now - 60)}
    vip = _request("w-5", "c-9", "BTC", "0.1") | {"tier": "vip"}
    files = {"vip.jsonl": _lines(vip, vip | {"request_id": "w-6", "verification": shown})}
    states = {"0.state": "rejected", "1.state": "approved"}
    yield Step("Evidence that is asked for: not shown, and shown", _input("vip.jsonl"), 3, states, files)
    bad, good = _request("w-7", "c-10", "USDX", "1e3"), _request("w-8", "c-10", "USDX", "500")
    files = {"requests.jsonl": _lines(bad, good)}
    expected: dict[str, Any] = {"0.line": 1, "0.error.code": "bad_input", "1.state": "approved"}
    yield Step("A bad line among good ones", _input("requests.jsonl"), 2, expected, files)
    signed = _signed(_request("w-9", "c-10", "USDX", "100"), key)
    forged = _signed(_request("w-10", "c-10", "USDX", "100"), key) | {"amount": "9100"}
    files = {"signed.jsonl": _lines(signed, forged)}
    states = {"0.state": "approved", "1.error.code": "bad_input"}
    title = "A request that the backend signed, and one that was changed since"
    yield Step(title, _input("signed.jsonl"), 2, states, files)


def _in_the_queue() -> Iterator[Step]:
    """25,600 of 30,000 USD are taken: who does not fit waits, and nobody overtakes."""
    waits = {"state": "waiting", "decision.outcome": "wait"}
    yield Step("No room is left in the desk's hour", _submit("w-11", "c-11", "USDX", "9500"), 9, waits)
    asked = {name: text for name, text in _request("", "c-12", "USDX", "3000").items() if name != "request_id"}
    what_if = ("policy", "explain", *_options(asked))
    behind = {"outcome": "wait", "state": "waiting", "rules.2.numbers.0.used": "35100"}
    yield Step("What if: 3,000 USD would fit, and have to queue behind it all the same", what_if, 0, behind)
    room = {"0.used": "25600", "0.waiting": "9500", "0.left": "0"}
    yield Step("How much room is left", ("policy", "usage", "--rule", "desk-hour"), 0, room)
    yield Step("The one that nobody approved is cancelled", ("withdraw", "cancel", "w-3"), 0, {"state": "cancelled"})
    through, told_by = {"state": "approved"}, ("withdraw", "show", "w-11")
    yield Step("A pass of cron lets the waiting one through", ("withdraw", "run"), 0, through, told_by=told_by)
    decisions = {"decisions.0.outcome": "wait", "decisions.1.outcome": "allow", "booked.waits": False}
    yield Step("All that was decided about it, and why", ("withdraw", "explain", "w-11"), 0, decisions)


def _request(request_id: str, customer: str, asset: str, amount: str) -> dict[str, Any]:
    chain, destination = (BITCOIN, CUSTOMERS[0]) if asset == "BTC" else (EVM, STRANGER)
    facts = {"customer": customer, "asset": asset, "chain": chain, "amount": amount, "destination": destination}
    return {"request_id": request_id} | facts


def _submit(request_id: str, customer: str, asset: str, amount: str) -> tuple[str, ...]:
    return "withdraw", "submit", *_options(_request(request_id, customer, asset, amount))


def _options(request: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(part for name, text in request.items() for part in (f"--{name.replace('_', '-')}", text))


def _input(file: str) -> tuple[str, ...]:
    return "withdraw", "submit", "--input", file


def _signed(request: dict[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    value = base64.b64encode(key.sign(signed_bytes(request))).decode()
    return request | {"signature": {"key": "backend", "value": value}}


def _lines(*requests: Mapping[str, Any]) -> str:
    return "".join(f"{json.dumps(request)}\n" for request in requests)
