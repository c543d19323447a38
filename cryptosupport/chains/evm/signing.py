"""Signing EVM payments with a private key that is in this process. web3 is loaded when the first one is signed.

A key is 32 bytes in hex, with or without 0x, from 1 to below the order of secp256k1. Nothing that is raised here holds
any of it. The same plan and key make the same bytes (RFC 6979). eth-keys signs with coincurve
wherever it is installed, which is some ten times as fast as its own Python.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from cryptosupport.chains.evm.codec import keccak256, to_checksum
from cryptosupport.chains.evm.secp256k1 import N
from cryptosupport.chains.evm.transfers import Unsigned
from cryptosupport.domain.errors import BadSettings, Refused, SupportError

_KEY = re.compile(r"(?:0[xX])?([0-9a-fA-F]{64})", re.ASCII)


def address(secret: str) -> str:
    """The address that the key ``secret`` pays from, with its checksum. Raises `BadSettings`.

    >>> address("01".rjust(64, "0"))
    '0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf'
    """
    from coincurve import PrivateKey

    public = PrivateKey(_key(secret)).public_key.format(compressed=False)
    return to_checksum("0x" + keccak256(public[1:])[12:].hex())


def sign(text: str, secret: str) -> bytes:
    """The signed bytes of the plan ``text`` (`transfers.Unsigned.text`).

    Raises `Refused` for another text or one without a nonce, `BadSettings` for a bad key.
    """
    plan = Unsigned.of(text)
    if plan.nonce is None:
        raise Refused("the plan has no nonce yet")
    fields = {
        "type": 2,
        "chainId": plan.chain_id,
        "nonce": plan.nonce,
        "to": plan.to,
        "value": plan.value,
        "data": plan.data,
        "gas": plan.gas,
        "maxFeePerGas": plan.max_fee_per_gas,
        "maxPriorityFeePerGas": plan.max_priority_fee_per_gas,
    }
    key = _key(secret)
    try:
        return bytes(_account().sign_transaction(fields, key).raw_transaction)
    except Exception as error:  # what it says may hold the key: its kind has to do
        raise SupportError(f"the payment could not be signed ({type(error).__name__})") from None


def _account() -> Any:
    """web3's Account. Loading it raises the recursion limit (py_ecc does), under which deep JSON could end the process:
    it is put back.
    """
    limit = sys.getrecursionlimit()
    from web3 import Account

    sys.setrecursionlimit(limit)
    return Account


def _key(secret: str) -> bytes:
    match = _KEY.fullmatch(secret.strip())
    if match is None or not 0 < int(match[1], 16) < N:
        raise BadSettings("the wallet's key is no private key of secp256k1: 64 hex digits, with or without 0x")
    return bytes.fromhex(match[1])
