"""Providers: somebody outside who is asked about payments, as a program or over HTTP (`[screening]` of desk.toml).

The question is one JSON object of the schema `cryptosupport.screening/1`, on standard input or as the body of a POST;
the answer, on standard output or as the body, is

    {"verdict": "allow" | "hold" | "deny", "reason": "..."}

where other keys do not count and the reason may be left out. Whatever else happens, that is no answer: the payment is
held, never allowed. What is said is checked, shortened and made printable; it steers nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.requestlines import json_fields
from cryptosupport.domain.verdicts import ProviderVerdict
from cryptosupport.outside.asking import Address, Asked, Asking, Program
from cryptosupport.transport.hooks import HookNode

if TYPE_CHECKING:
    from cryptosupport.domain.ports import Clock
    from cryptosupport.settings import Hook

SCHEMA = "cryptosupport.screening/1"
LONGEST_REASON = 200

_OUTCOMES = {"allow": Outcome.ALLOW, "hold": Outcome.HOLD, "deny": Outcome.DENY}


class Provider:
    """Who is asked; fits the port `Provider`. ``secret`` is what the header of ``hook`` refers to.

    Answers are kept as long as this lives: the same question is asked once, unless nobody answered it. For one thread.
    Raises `BadSettings` for a URL or a secret that cannot be used.
    """

    def __init__(self, hook: Hook, secret: str | None, clock: Clock) -> None:
        self._asked: Asked = (
            Address(lambda: HookNode(hook, secret, clock)) if hook.command is None else Program(hook.command, clock)
        )
        self._asking = Asking(self._asked, hook.timeout_ms / 1000, clock)
        self._known: dict[bytes, ProviderVerdict] = {}

    @property
    def name(self) -> str:
        """What it is called in reasons: the name of the program, or host and port."""
        return self._asked.name

    def __repr__(self) -> str:
        return f"<Provider {self.name}>"

    def close(self) -> None:
        """Close the connections."""
        self._asked.close()

    def ask(self, questions: Sequence[Mapping[str, object]]) -> list[ProviderVerdict]:
        """What is said of each, in their order, `AT_ONCE` at a time.

        Each is answered or given up for itself, at the latest `GRACE` after its timeout. It never raises for what a
        provider does or does not do.
        """
        written = [_written(question) for question in questions]
        keys = [hashlib.sha256(text).digest() for text in written]
        unasked = {key: text for key, text in zip(keys, written, strict=True) if key not in self._known}
        answers = self._asking.all(unasked, self._read, self._no_answer)
        self._known |= {key: verdict for key, verdict in answers.items() if not verdict.unknown}
        return [self._known.get(key) or answers[key] for key in keys]

    def _read(self, answer: bytes) -> ProviderVerdict:
        try:
            said = json_fields(b" ".join(answer.splitlines()))  # it may stand on many lines
        except BadInput:
            return self._no_answer("answers, and not with one JSON object")
        verdict, reason = said.get("verdict"), said.get("reason", "")
        outcome = _OUTCOMES.get(verdict) if isinstance(verdict, str) else None
        if outcome is None:
            return self._no_answer('answers without a "verdict" that is allow, hold or deny')
        if not isinstance(reason, str):
            return self._no_answer('answers with a "reason" that is no text')
        return ProviderVerdict(outcome, self._asked.legible(reason, LONGEST_REASON).strip())

    def _no_answer(self, why: str) -> ProviderVerdict:
        return ProviderVerdict.no_answer(self._asked.legible(f"{self.name}: {why}", LONGEST_REASON))


def _written(question: Mapping[str, object]) -> bytes:
    """The question as it is asked, on one line. Of who receives it only the travel rule has to know."""
    told = {key: value for key, value in question.items() if key != "beneficiary" or _is_travel_rule(question)}
    return json.dumps({"schema": SCHEMA, **told}, sort_keys=True).encode() + b"\n"


def _is_travel_rule(question: Mapping[str, object]) -> bool:
    return question.get("purpose") == "travel_rule"
