"""A node that lies about the transaction to be signed: nothing is signed, nothing is sent, and it is told."""

from __future__ import annotations

import json
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.chains.bitcoin_paying.kit import watched
from tests.commands.bitcoindesk import Bitcoindesk, open_bitcoindesk, sealed
from tests.hostile import HostileNode, Reply

__all__ = ["open_bitcoindesk", "sealed"]  # fixtures

Open = Callable[..., Bitcoindesk]
Lie = Callable[[Any], Any]
FAR = 2**31 - 1


class Liar(HostileNode):
    """In front of the desk's own bitcoind: it hands everything on, and changes what some methods answer."""

    def __init__(self, desk: Bitcoindesk) -> None:
        super().__init__()
        self.desk = desk
        self.lies: dict[str, Lie] = {}

    def reply(self, verb: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """What the node says, or not quite."""
        node = self.desk.node
        request = urllib.request.Request(node.url + path, body, node._headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            told = json.loads(response.read())
        asked = json.loads(body)
        pairs = [(asked, told)] if isinstance(asked, dict) else zip(asked, told, strict=True)
        for question, answer in pairs:
            lie = self.lies.get(question["method"])
            if lie is not None and answer.get("result") is not None:
                answer["result"] = lie(answer["result"])
        return Reply(json.dumps(told).encode())


def patched(change: Callable[[bytearray, int, int], None]) -> Lie:
    """A PSBT whose transaction, from one place to another, is changed."""

    def lie(result: dict[str, Any]) -> dict[str, Any]:
        raw = bytearray(b64decode(result["psbt"]))
        assert raw[5:7] == b"\x01\x00"  # the first field is the transaction
        size, start = (raw[7], 8) if raw[7] < 0xFD else (int.from_bytes(raw[8:10], "little"), 10)
        change(raw, start, start + size)
        return {**result, "psbt": b64encode(raw).decode()}

    return lie


def put(data: bytes, at: int) -> Callable[[bytearray, int, int], None]:
    """Bytes at a place of the transaction, from its end where that is below 0."""

    def change(raw: bytearray, start: int, end: int) -> None:
        place = start + at if at >= 0 else end + at
        raw[place : place + len(data)] = data

    return change


def asks_for(sighash: int) -> Callable[[bytearray, int, int], None]:
    """The first input asks for another kind of signature."""

    def change(raw: bytearray, start: int, end: int) -> None:
        at = raw.index(b"\x00", end) + 1 if raw[end] else end + 1
        assert raw[end] == 0  # nothing but the transaction is said of all of it
        field = b"\x01\x03\x04" + sighash.to_bytes(4, "little")
        known = raw.find(b"\x01\x03\x04", at)
        if known >= 0:
            raw[known : known + len(field)] = field
        else:
            raw[at:at] = field

    return change


PROCESS = "walletprocesspsbt"
LIES: dict[str, tuple[dict[str, Lie], str]] = {
    "another version": ({PROCESS: patched(put((3).to_bytes(4, "little"), 0))}, "is of version 3"),
    "a locktime": ({PROCESS: patched(put((900).to_bytes(4, "little"), -4))}, "waits for 900"),
    "a sequence that is final": ({PROCESS: patched(put(b"\xff\xff\xff\xff", 42))}, "an input has another sequence"),
    "a sequence that waits": ({PROCESS: patched(put(b"\x10\x00\x00\x00", 42))}, "an input has another sequence"),
    "no outputs are signed": ({PROCESS: patched(asks_for(2))}, "a signature that does not cover all that is done"),
    "one output is signed": ({PROCESS: patched(asks_for(3))}, "a signature that does not cover all that is done"),
    "anybody may add inputs": ({PROCESS: patched(asks_for(0x81))}, "a signature that does not cover all that is done"),
    "change that nobody finds": (
        {
            "getrawchangeaddress": lambda _: watched("wpkh").address(True, FAR),
            "getaddressinfo": lambda told: {**told, "ismine": True, "hdkeypath": f"m/84h/1h/0h/1/{FAR}"},
        },
        f"change goes to address {FAR} of the wallet, where nobody would find it again",
    ),
}


@pytest.fixture
def lied_to(open_bitcoindesk: Open) -> Iterator[tuple[Bitcoindesk, Liar]]:
    """A desk behind a liar, with something to pay."""
    desk = open_bitcoindesk(coins=("1",))
    with Liar(desk) as liar:
        path = desk.folder / "configs" / "chains" / "bitcoin.toml"
        path.write_text(path.read_text().replace(desk.node.url, liar.url), encoding="utf-8")
        yield desk, liar


def test_nothing_is_signed_of_what_a_lying_node_has_made_of_it(lied_to: tuple[Bitcoindesk, Liar]) -> None:
    """One desk with one coin for all of them: what is refused keeps it, and a kill brings it back."""
    desk, liar = lied_to
    for number, (name, (lies, said)) in enumerate(LIES.items()):
        asked = f"w-{number}"
        desk.submit(**{asked: "0.1"})
        liar.lies = lies
        done = desk.run("withdraw", "run")
        assert (done.exit_code, said in done.stderr) == (3, True), (name, done.exit_code, done.stderr)
        assert desk.node.rpc("getrawmempool") == [], name
        liar.lies = {}
        assert desk.run("withdraw", "kill", asked, "--operator", "ops").exit_code == 0
        desk.node.mine(3)
        assert desk.pay() == {asked: "cancelled"}
    assert desk.node.rpc("getbalances", wallet="hot")["mine"]["trusted"] > 0.999
