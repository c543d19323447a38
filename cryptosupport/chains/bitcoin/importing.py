"""Have a node of our own watch a descriptor, in a wallet without keys that is called as in wallets.toml."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from cryptosupport.chains.bitcoin.descriptors import Watched
from cryptosupport.chains.bitcoin.wallets import wallet_path
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.transport import Call, JsonRpcNode, RpcFault, decode

_LOADED, _NOT_THERE = -35, -18
"""RPC_WALLET_ALREADY_LOADED and RPC_WALLET_NOT_FOUND in Bitcoin Core's rpc/protocol.h."""

_FIRST = 1000
"""So many addresses of each branch are watched ahead."""


class _Done(msgspec.Struct):
    success: bool = False
    error: dict[str, Any] = {}


class _Listed(msgspec.Struct):
    desc: str
    active: bool = False


class _Descriptors(msgspec.Struct):
    descriptors: tuple[_Listed, ...] = ()


class _Info(msgspec.Struct):
    private_keys_enabled: bool
    scanning: msgspec.Raw = msgspec.Raw(b"false")


def watch(node: JsonRpcNode, name: str, watched: Watched, since: int) -> str:
    """Make ``node`` watch a wallet's coins from ``since`` (seconds since 1970) on; what was done, in words.

    To do it again does no harm. Raises `NodeFailed`, also where a wallet of that name holds keys or other descriptors.
    """
    made = _open(node, name)
    info = _told(node, "getwalletinfo", (), _Info, name)
    if info.private_keys_enabled:
        raise NodeFailed(
            node.name, "bad_wallet", f"has a wallet {name} that holds keys: rename it, keys stay out"
        )
    active = {each.desc for each in _told(node, "listdescriptors", (), _Descriptors, name).descriptors if each.active}
    if active == set(watched.singles):
        scanning = bytes(info.scanning) != b"false"
        return "is still searching the chain for its coins" if scanning else "watches it already"
    if active:
        raise NodeFailed(node.name, "bad_wallet", f"has a wallet {name} with other descriptors: rename one of them")
    facts = {"active": True, "range": [0, _FIRST - 1], "timestamp": since}
    asked = [{"desc": each, "internal": place == 1, **facts} for place, each in enumerate(watched.singles)]
    for done in _told(node, "importdescriptors", (asked,), tuple[_Done, ...], name):
        if not done.success:
            said = str(done.error.get("message", "no reason is given"))
            raise NodeFailed(node.name, "bad_wallet", f"does not take the descriptor: {node.legible(said, 200)}")
    return f"watches it now, in a {'new ' if made else ''}wallet without keys"


def _open(node: JsonRpcNode, name: str) -> bool:
    """Load the wallet, or make it where there is none; whether it was made."""
    answer = _ask(node, "loadwallet", (name, True))
    if not isinstance(answer, RpcFault) or answer.code == _LOADED:
        return False
    if answer.code != _NOT_THERE:
        raise NodeFailed(node.name, "bad_wallet", f"cannot load the wallet {name}: {node.legible(answer.message, 200)}")
    made = _ask(node, "createwallet", (name, True, True, "", False, True, True))
    if isinstance(made, RpcFault):
        raise NodeFailed(node.name, "bad_wallet", f"cannot make the wallet {name}: {node.legible(made.message, 200)}")
    return True


def _told(node: JsonRpcNode, method: str, params: Sequence[Any], kind: Any, wallet: str) -> Any:
    answer = _ask(node, method, params, wallet)
    if isinstance(answer, RpcFault):
        raise NodeFailed(node.name, "bad_answer", f"{method}: {node.legible(answer.message, 200)}")
    return decode(answer, kind, node.name)


def _ask(node: JsonRpcNode, method: str, params: Sequence[Any], wallet: str | None = None) -> msgspec.Raw | RpcFault:
    (answer,) = node.batch([Call(method, tuple(params))], "" if wallet is None else wallet_path(wallet))
    return answer
