"""A verdict of `doctor`: what one examination found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cryptosupport.domain.errors import BadSettings, Unreachable


class Outcome(Enum):
    """How a verdict counts: a warning does not stop work, a failure does."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one examination found. ``exit_code`` is 0 unless it failed: 8 for settings, 6 for what cannot be reached."""

    name: str
    outcome: Outcome
    message: str
    advice: str = ""
    exit_code: int = 0


def ok(name: str, message: str) -> Verdict:
    """All is well."""
    return Verdict(name, Outcome.OK, message)


def warn(name: str, message: str, advice: str) -> Verdict:
    """It works, and should not stay so."""
    return Verdict(name, Outcome.WARN, message, advice)


def bad_settings(name: str, message: str, advice: str) -> Verdict:
    """Settings that stop work."""
    return Verdict(name, Outcome.FAIL, message, advice, BadSettings.exit_code)


def unreachable(name: str, message: str, advice: str) -> Verdict:
    """Something outside cannot be reached."""
    return Verdict(name, Outcome.FAIL, message, advice, Unreachable.exit_code)
