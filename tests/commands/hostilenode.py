"""A hostile proxy in front of a real anvil, and a desk that pays through one or two of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cryptosupport.chains.evm.signing import sign
from cryptosupport.chains.evm.transfers import Unsigned
from cryptosupport.outside.keyrings import set_password
from cryptosupport.outside.nodes import Anvil, Node, NodeError
from tests.commands.payingdesk import ANN, ETHER, HOT, KEY, Paydesk, write_settings
from tests.commands.withdrawkit import in_this_process
from tests.hostile import BAD_ANSWERS, Behaviour, HostileNode, Reply, RpcError, too_many_requests

SEND = "eth_sendRawTransaction"
RECEIPT, TX, COUNT = "eth_getTransactionReceipt", "eth_getTransactionByHash", "eth_getTransactionCount"
BY_NONCE = "eth_getTransactionBySenderAndNonce"
NEVER = {"reverted", "cancelled", "held", "rejected", "expired"}
"""What no withdrawal may be called as long as one of its payments may count."""

Fault = Behaviour | Reply
"""What goes over the wire instead of an honest answer; a `Reply` keeps the request from the node."""
Lie = Callable[[list[Any], Callable[[], Any]], Any]
"""What one call is answered, from its parameters and the honest answer, which is asked for when it is wanted."""


class Proxy(HostileNode):
    """Between the desk and ``behind``: honest, but for the `lies` and `faults`, each by the method that it is about.

    A fault is about every request with a call of its method; "" is about every request.
    """

    def __init__(self, behind: Node) -> None:
        super().__init__(self._told)
        self.behind = behind
        self.lies: dict[str, Lie] = {}
        self.faults: dict[str, Fault] = {}
        self.choose: Callable[[list[str]], Fault | None] = self._fault

    def honest_again(self) -> None:
        """From now on it says what the node says."""
        self.lies.clear()
        self.faults.clear()
        self.choose = self._fault

    def reply(self, verb: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """What to say to a request; the desk asks one node one thing at a time."""
        asked: Any = json.loads(body)
        fault = self.choose([each["method"] for each in (asked if isinstance(asked, list) else [asked])])
        if fault is not None:
            self.then(fault)
        return super().reply(verb, path, headers, body)

    def ask(self, method: str, params: list[Any]) -> Any:
        """Ask the node itself."""
        return self.behind.rpc(method, *params)

    def _fault(self, methods: list[str]) -> Fault | None:
        return next((self.faults[each] for each in ("", *methods) if each in self.faults), None)

    def _told(self, method: str, params: list[Any]) -> Any:
        def honest() -> Any:
            try:
                return json.loads(json.dumps(self.ask(method, params), default=float))
            except NodeError as error:
                return RpcError(error.code, error.message, error.data)

        lie = self.lies.get(method)
        return honest() if lie is None else lie(params, honest)


@dataclass
class Attacked(Paydesk):
    """A desk behind proxies, on a chain that mines when it is told to.

    ``owed`` is by the id of a request whom it is to pay how many wei; ``said`` is what the last pass complained of.
    """

    proxies: list[Proxy] = field(default_factory=list)
    owed: dict[str, tuple[str, int]] = field(default_factory=dict)
    said: str = ""

    @property
    def proxy(self) -> Proxy:
        """The first one."""
        return self.proxies[0]

    def ask(self, name: str, to: str, ether: int = 1) -> None:
        """A request that is to be paid exactly once."""
        self.submit(name, str(ether), to)
        self.owed[name] = to, ether * ETHER

    def run_pass(self, *over: str) -> tuple[int, dict[str, str]]:
        """One pass: how it ended, and where all withdrawals stand. It says no more than is true: only those that are
        ``over`` may be given up.
        """
        done = self.run("withdraw", "run", "-o", "jsonl")
        listed = {each["request_id"]: each for each in self.run("withdraw", "list", "-o", "jsonl").jsonl}
        states = {name: str(listed[name]["state"]) for name in self.owed}
        for name, state in states.items():
            assert state not in NEVER or name in over, (name, state, done.stderr)
            if state == "final":
                assert self.is_final(listed[name]["txid"]), (name, done.stderr)
        self.said = done.stderr
        return done.exit_code, states

    def is_final(self, txid: str) -> bool:
        """Whether the chain itself says that a transaction is done for good."""
        receipt = self.node.rpc(RECEIPT, txid)
        last = int(self.node.rpc("eth_getBlockByNumber", "finalized", False)["number"], 16)
        return receipt is not None and receipt["status"] == "0x1" and int(receipt["blockNumber"], 16) <= last

    def txid(self, name: str) -> str:
        """The transaction that a withdrawal is recorded with."""
        return str(self.run("withdraw", "show", name, "--json").json["txid"])

    def attempts(self, name: str) -> list[str]:
        """The txids of all attempts to pay a withdrawal."""
        (payout,) = self.run("withdraw", "explain", name, "--json").json["payouts"]
        return [each["txid"] for each in payout["attempts"]]

    def honest_again(self) -> None:
        """The hostility ends."""
        for proxy in self.proxies:
            proxy.honest_again()

    def ends_well(self) -> None:
        """Honest nodes and blocks: each withdrawal is settled exactly once, and no more was sent than there are."""
        self.honest_again()
        self.run_pass()
        self.settle()
        code, states = self.run_pass()
        assert (code, states) == (0, dict.fromkeys(self.owed, "final"))
        assert self.pay() == {}
        recipients = {to for to, _ in self.owed.values()}
        owed = {to: sum(wei for whom, wei in self.owed.values() if whom == to) for to in recipients}
        assert {to: self.balance(to) for to in recipients} == owed
        assert [int(self.node.rpc(COUNT, HOT, tag), 16) for tag in ("latest", "pending")] == [len(self.owed)] * 2
        audit = self.run("audit", "verify")
        assert audit.exit_code == 0, audit.stderr

    def conflicting(self, nonce: int, to: str = HOT, wei: int = 0) -> str:
        """A transaction of the same key with the nonce, and not of this desk, in hexadecimal."""
        gas_price = 150 * 10**9
        plan = Unsigned(31337, nonce, to, wei, b"", 21_000, gas_price, gas_price).plan
        return "0x" + sign(plan.text, KEY).hex()


def lagging(height: int) -> dict[str, Lie]:
    """The lies of a node that has not come further than the block at ``height``."""

    def block(params: list[Any], honest: Callable[[], Any]) -> Any:
        at = {"latest": height, "pending": height, "finalized": max(height - 64, 0)}.get(params[0])
        if at is None:
            return None if int(params[0], 16) > height else honest()
        params[0] = hex(at)
        return honest()

    def at_height(params: list[Any], honest: Callable[[], Any]) -> Any:
        params[1] = hex(min(height, int(params[1], 16))) if params[1].startswith("0x") else hex(height)
        return honest()

    def unless_later(_: list[Any], honest: Callable[[], Any]) -> Any:
        found = honest()
        later = found is None or found["blockNumber"] is None or int(found["blockNumber"], 16) > height
        return None if later else found

    return {
        "eth_blockNumber": lambda _, honest: hex(height),
        "eth_getBlockByNumber": block,
        "eth_getBalance": at_height,
        COUNT: at_height,
        **dict.fromkeys((RECEIPT, TX, BY_NONCE), unless_later),
    }


@pytest.fixture
def attacked(tmp_path: Path, anvil_with: Callable[..., Anvil]) -> Iterator[Callable[..., Attacked]]:
    """Open a desk behind ``proxies``, each of another operator."""
    with ExitStack() as stack:

        def opened(
            proxies: int = 1, quorum: int = 1, timeout: str = "5s", desk: str = "", resend: str = "1ms",
            ledger: str = "", node: Anvil | None = None, folder: Path | None = None,
        ) -> Attacked:  # fmt: skip
            node, folder = node or anvil_with("--no-mining"), folder or tmp_path / "desk"
            behind = [stack.enter_context(Proxy(node)) for _ in range(proxies)]
            urls = [
                f'{{ url = "{it.url}", operator = "node-{place}", timeout = "{timeout}" }}'
                for place, it in enumerate(behind)
            ]
            set_password("hot", KEY)
            write_settings(folder / "configs", f"[{', '.join(urls)}]\nquorum = {quorum}")
            url = f'[ledger]\nurl = "{ledger}"\n' if ledger else ""
            text = f'{url}[bump]\nresend = "{resend}"\n{desk}'
            (folder / "configs" / "desk.toml").write_text(text, encoding="utf-8")
            node.rpc("anvil_setBalance", HOT, hex(100 * ETHER))
            return Attacked(in_this_process(folder), folder, node, behind)

        yield opened


Open = Callable[..., Attacked]
GWEI = 10**9

BUSY = Reply(b"busy", 503, {"Content-Type": "text/plain", "Retry-After": "60"})
GARBLED: dict[str, Fault] = {
    "HTTP 429": too_many_requests(),
    "HTTP 503": BUSY,
    "truncated": BAD_ANSWERS["truncated"],
    "web page": BAD_ANSWERS["html_page"],
    "one answer twice": lambda exchange: Reply(json.dumps([*exchange.replies, exchange.replies[0]]).encode()),
    "the id of another": BAD_ANSWERS["id_is_foreign"],
    "hangs up": Reply(reset=True),
}
"""What no pass can make sense of."""


def always(result: Any) -> Lie:
    """The same answer to all."""
    return lambda params, honest: result


def after(result: Any) -> Lie:
    """The same answer to all, once the node has had the call."""

    def lie(params: list[Any], honest: Callable[[], Any]) -> Any:
        honest()
        return result

    return lie


def says(words: str) -> RpcError:
    """An error of a node."""
    return RpcError(-32000, words)


def pooled(desk: Attacked) -> list[str]:
    """The transactions that wait in the node."""
    found = desk.node.rpc("txpool_content")["pending"]
    return [each["hash"] for waiting in found.values() for each in waiting.values()]


def wipe(desk: Attacked) -> None:
    """The node forgets all that waits."""
    desk.node.rpc("anvil_dropAllTransactions")


def lost_its_place_for_good(desk: Attacked) -> None:
    """A stranger's transaction has the nonce of w-1, which was never paid; once that is final a person looks."""
    desk.settle()
    assert desk.run_pass("w-1")[1] == {"w-1": "held"}
    assert desk.run_pass("w-1")[1] == {"w-1": "held"}
    assert desk.balance(ANN) == 0
    assert int(desk.node.rpc(COUNT, HOT, "pending"), 16) == 1
    assert desk.run("audit", "verify").exit_code == 0


WORDS = {
    "already known": ("broadcast", 0),
    "replacement transaction underpriced": ("unknown", 7),
    "nonce too low": ("unknown", 7),
    "insufficient funds for gas * price + value": ("signed", 0),
    "internal error": ("unknown", 7),
}
"""What nodes answer to a transaction, and what that makes of it: `signed` is that no node is known to have it."""

HIDES: dict[str, dict[str, Lie]] = {
    "receipt": {RECEIPT: always(None)},
    "receipt and transaction": {RECEIPT: always(None), TX: always(None)},
    "all, and has no index": {RECEIPT: always(None), TX: always(None), BY_NONCE: always(says("method not found"))},
    "all, and names a stranger": {RECEIPT: always(None), TX: always(None), BY_NONCE: always("0x" + "5a" * 32)},
    "all that it has": {
        **{RECEIPT: always(None), TX: always(None), BY_NONCE: always(None)},
        "eth_getBlockByNumber": lambda params, honest: {**honest(), "transactions": []},
    },
}
