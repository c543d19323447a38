"""Whether there is a program at a destination, asked of nodes only when the settings want to know."""

from __future__ import annotations

from collections.abc import Callable

from cryptosupport.domain.errors import SupportError
from cryptosupport.domain.policy.judging import NotKnown
from cryptosupport.domain.ports import Chain


class Contracts:
    """Answers by chain and address; ``open_chain`` opens a chain by name."""

    def __init__(self, open_chain: Callable[[str], Chain]) -> None:
        self._open_chain = open_chain
        self._chains: dict[str, Chain] = {}
        self._answers: dict[tuple[str, str], bool | NotKnown] = {}

    def ask(self, chain: str, address: str) -> None:
        """Ask a node, unless it was asked before; one that gave no answer is asked again."""
        if not isinstance(self._answers.get((chain, address)), bool):
            self._answers[chain, address] = self._ask(chain, address)

    def __call__(self, chain: str, address: str) -> bool | NotKnown:
        """What it said."""
        return self._answers.get((chain, address), NotKnown("it was not asked"))

    def _ask(self, chain: str, address: str) -> bool | NotKnown:
        try:
            if chain not in self._chains:
                self._chains[chain] = self._open_chain(chain)
            read = self._chains[chain].parse_address(address)
            return False if read is None else bool(self._chains[chain].describe_address(read).contract)
        except SupportError as error:  # whatever it is: what cannot be told holds the request
            return NotKnown(error.message)
