"""Unsigned payments: their fields, and the canonical JSON that a plan holds. Pure.

    {"chain_id":"1","data":"0x","gas":"21000","max_fee_per_gas":"30000000000","max_priority_fee_per_gas":"1000000000",
     "nonce":"7","to":"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed","value":"1"}

on one line; the nonce is null as long as it has no place. Sources: EIP-1559 (fields), EIP-20 (transfer), EIP-2681
(nonces).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields, replace
from typing import Self

from cryptosupport.chains.evm.codec import to_checksum
from cryptosupport.chains.evm.wire import NONCES, UINT63, UINT256
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.money import GasFees
from cryptosupport.domain.payouts import Plan
from cryptosupport.domain.withdrawals import canonical

_LONGEST = 4096
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,77}", re.ASCII)
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Unsigned:
    """An EIP-1559 transaction without an access list, before it is signed.

    ``to`` is an address with the checksum of EIP-55, ``value`` and the fees are wei. Raises `ValueError` for what no
    chain would take.
    """

    chain_id: int
    nonce: int | None
    to: str
    value: int
    data: bytes
    gas: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int

    def __post_init__(self) -> None:
        limits = {"chain_id": UINT63, "value": UINT256, "gas": UINT63, "max_fee_per_gas": UINT256}
        for name, limit in limits.items():
            if not 0 <= getattr(self, name) < limit:
                raise ValueError(f"{name} is out of range")
        if self.chain_id == 0 or (self.nonce is not None and not 0 <= self.nonce < NONCES):
            raise ValueError("chain_id or nonce is out of range")
        if not 0 <= self.max_priority_fee_per_gas <= self.max_fee_per_gas:
            raise ValueError("max_priority_fee_per_gas is above max_fee_per_gas, or below zero")
        if _ADDRESS.fullmatch(self.to) is None or to_checksum(self.to) != self.to:
            raise ValueError("to is no address, or its checksum (EIP-55) fails")

    @property
    def fees(self) -> GasFees:
        """What it offers per unit of gas."""
        return GasFees(self.max_fee_per_gas, self.max_priority_fee_per_gas)

    @property
    def plan(self) -> Plan:
        """The plan that it is; its highest fee in wei, without what an OP Stack chain takes for its L1."""
        return Plan(self.text, self.gas * self.max_fee_per_gas)

    @property
    def text(self) -> str:
        """Its canonical JSON.

        >>> Unsigned(1, None, "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", 1, b"", 21000, 2, 1).text[:40]
        '{"chain_id":"1","data":"0x","gas":"21000'
        """
        shown = {each.name: _shown(getattr(self, each.name)) for each in fields(self)}
        return canonical(shown).decode()

    @classmethod
    def of(cls, text: str) -> Self:
        """Read the canonical JSON of one. Raises `Refused` for anything else, another spelling too."""
        try:
            read = json.loads(text) if len(text) <= _LONGEST else None
            if not isinstance(read, dict) or set(read) != {each.name for each in fields(cls)}:
                raise ValueError("it has other fields")
            found = cls(
                nonce=None if read["nonce"] is None else _number(read["nonce"]),
                to=str(read["to"]),
                data=_bytes(read["data"]),
                **{name: _number(read[name]) for name in read.keys() - {"nonce", "to", "data"}},
            )
            if found.text != text:
                raise ValueError("it is not in canonical form")
        except (ValueError, RecursionError) as error:
            raise Refused(f"this is no plan of an EVM payment: {error}") from error
        return found

    def at(self, nonce: int) -> Self:
        """The same with a nonce. Raises `Refused` where it has another one already."""
        if self.nonce not in (None, nonce):
            raise Refused(f"the plan has nonce {self.nonce} already, and is not to have {nonce}")
        return replace(self, nonce=nonce)

    def offering(self, fees: GasFees) -> Self:
        """The same for other fees."""
        tip = fees.max_priority_fee_per_gas
        return replace(self, max_fee_per_gas=fees.max_fee_per_gas, max_priority_fee_per_gas=tip)


def transfer_call(destination: str, base_units: int) -> bytes:
    """Call data of transfer(address,uint256) of EIP-20.

    >>> transfer_call("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", 5).hex()[:32]
    'a9059cbb000000000000000000000000'
    """
    return bytes.fromhex(f"a9059cbb{destination[2:].lower():>064}{base_units:064x}")


def _shown(value: int | str | bytes | None) -> str | None:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return None if value is None else str(value)


def _number(text: object) -> int:
    if not isinstance(text, str) or _DECIMAL.fullmatch(text) is None:
        raise ValueError("a number is not in plain digits")
    return int(text)


def _bytes(text: object) -> bytes:
    if not isinstance(text, str) or _HEX.fullmatch(text) is None:
        raise ValueError("its data is not in hex")
    return bytes.fromhex(text[2:])
