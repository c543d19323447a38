"""desk.toml [bump]: how long a payment waits for a block before something is done."""

from __future__ import annotations

from cryptosupport.settings.reading import Section
from cryptosupport.settings.values import milliseconds


class BumpSettings(Section, frozen=True):
    """desk.toml [bump].

    What no block has taken is given to the nodes again after ``resend``, and gets a higher fee after ``after``. What is
    not signed, and holds up others, is given up after ``give_up``.
    """

    resend: str = "15s"
    after: str = "3m"
    give_up: str = "30m"

    def __post_init__(self) -> None:
        for name in ("resend", "after", "give_up"):
            if not 0 < milliseconds(getattr(self, name)) <= milliseconds("7d"):
                raise ValueError(f"{name}: use more than zero and at most 7d")
