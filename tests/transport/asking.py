"""What the tests of the transport ask, and the clock they do it by."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import msgspec

from cryptosupport.transport import Call, RpcFault

CALLS = [Call("echo", [number]) for number in range(10)]
ALL = [["echo", [number]] for number in range(10)]
"""What an echoing node answers to `CALLS`."""


class PatientClock:
    """A clock on which sleeping takes no time; it keeps how long it was asked to sleep."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.ends_at = math.inf

    def now(self) -> int:
        return int(time.time())

    def monotonic(self) -> float:
        return time.monotonic() + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def echoed(answers: list[msgspec.Raw | RpcFault]) -> list[Any]:
    """The results, decoded; a fault is its code."""
    return [answer.code if isinstance(answer, RpcFault) else json.loads(bytes(answer)) for answer in answers]
