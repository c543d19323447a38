"""`withdraw run` on a Bitcoin chain that reorganises and forgets, by nodes of which one lies: each withdrawal once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cryptosupport.outside.nodes import Bitcoind, start_bitcoind
from tests.commands.families import Satoshis
from tests.commands.hostilebitcoind import NO, SEND, STRANGER, Besieged, Open, besieged, with_facts
from tests.commands.hostilenode import GARBLED, Fault, Lie, after, always
from tests.commands.payingdesk import sealed
from tests.commands.test_paying_hostile_bitcoin import HIDES, SAYS, SPOILS, WORDS

__all__ = ["besieged", "sealed"]  # fixtures

# -- two nodes -------------------------------------------------------------------------------------------------------


def in_block(desk: Besieged, txid: str, confirmations: int) -> dict[str, Lie]:
    """A node that says of a transaction which waits that a block has it, so deep."""
    height = desk.node.rpc("getblockcount")
    block = desk.node.rpc("getblockhash", height - confirmations + 1)

    def lie(params: list[Any], honest: Callable[[], Any]) -> Any:
        found = honest()
        if params[0] != txid or not isinstance(found, dict):
            return found
        return {**found, "confirmations": confirmations, "blockhash": block, "in_active_chain": True}

    return {"getrawtransaction": lie, "gettransaction": lie}


@pytest.mark.parametrize("liar", [0, 1])
@pytest.mark.parametrize("silent", [False, True])
def test_one_node_alone_makes_nothing_final(besieged: Open, liar: int, silent: bool) -> None:
    """It says that a payment is nine blocks deep, and the other that it waits, or nothing at all."""
    desk = besieged(proxies=2, quorum=2)
    desk.coins.mine(9)
    desk.ask("a")
    desk.run_pass()
    desk.lies(in_block(desk, desk.txid("a"), 9), liar)
    if silent:
        desk.proxies[1 - liar].faults[""] = GARBLED["HTTP 503"]
    assert desk.run_pass()[1]["a"] in ("broadcast", "confirming", "unknown")
    desk.recovers()
    assert len(desk.attempts("a")) == 1


@pytest.mark.parametrize("liar", [0, 1])
def test_one_node_alone_takes_no_coin_away(besieged: Open, liar: int) -> None:
    """It names a stranger in a block that is deep enough: nothing is held for that."""
    desk = besieged(proxies=2, quorum=2)
    desk.coins.mine(9)
    stranger = desk.node.rpc("getblock", desk.node.rpc("getblockhash", desk.node.rpc("getblockcount") - 8))["tx"][0]
    desk.ask("a")
    desk.run_pass()
    spent = desk.node.rpc("getrawtransaction", desk.txid("a"), True)["vin"]
    hidden = {**HIDES["all that waits"], "gettxout": always(None)}

    def named(params: list[Any], honest: Callable[[], Any]) -> Any:
        if params[0] != stranger:
            return NO
        return {**desk.node.rpc("getrawtransaction", stranger, True), "vin": spent}

    lies = {**hidden, "getrawtransaction": named}
    lies["gettxspendingprevout"] = lambda params, honest: [
        {**each, "spendingtxid": stranger, "blockhash": STRANGER} for each in params[0]
    ]
    lies["gettransaction"] = with_facts(confirmations=-9, walletconflicts=[stranger])
    desk.lies(lies, liar)
    for _ in range(2):
        assert desk.run_pass()[1]["a"] in ("broadcast", "confirming", "unknown")
    desk.proxies[1 - liar].faults[""] = GARBLED["HTTP 503"]
    assert desk.run_pass()[1]["a"] in ("broadcast", "confirming", "unknown")
    desk.recovers()
    assert len(desk.attempts("a")) == 1


@pytest.mark.parametrize("liar", [0, 1])
def test_one_node_alone_cancels_nothing(besieged: Open, liar: int) -> None:
    """It says that the payment to ourselves is final, and a block takes the payment."""
    desk = besieged(proxies=2, quorum=2)
    desk.coins.mine(9)
    desk.ask("a")
    desk.run_pass()
    raw = desk.coins.raw(desk.txid("a"))
    desk.does("withdraw", "kill", "a")
    paid, taken_back = desk.attempts("a")
    desk.lies(in_block(desk, taken_back, 9), liar)
    assert desk.run_pass()[1]["a"] in ("cancelling", "unknown")
    desk.coins.forget()
    desk.coins.give(raw)
    desk.coins.mine(1)
    assert desk.run_pass()[1]["a"] in ("cancelling", "unknown")
    desk.recovers()
    assert desk.txid("a") == paid


# -- reorganisations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 7, 20])
def test_its_blocks_go_and_the_same_bytes_are_sent_again(besieged: Open, depth: int) -> None:
    """Below what is final it is followed; what was final stays so here, and is asked about by reconcile."""
    desk = besieged()
    desk.ask("a")
    desk.run_pass()
    undo = desk.coins.mark()
    if depth > 2:  # nobody looks until they are gone
        desk.coins.mine(depth)
    else:
        desk.coins.mine(depth)
        assert desk.run_pass() == (0, {"a": "confirming"})
    undo()
    assert desk.run_pass() == (0, {"a": "broadcast"})
    assert desk.coins.pooled() == desk.attempts("a")
    desk.recovers()
    assert len(desk.attempts("a")) == 1


def test_what_was_final_and_is_undone_is_found_by_reconcile(besieged: Open) -> None:
    desk = besieged()
    desk.ask("a")
    desk.run_pass()
    undo = desk.coins.mark()
    desk.coins.mine(3)
    assert desk.run_pass() == (0, {"a": "final"})
    undo()
    done = desk.run("reconcile")
    assert (done.exit_code, "vanished" in done.stdout + done.stderr) == (3, True)
    assert "wallet=hot" in desk.run("freeze", "list").stdout


@pytest.mark.parametrize("depth", [1, 12])
def test_a_stranger_takes_its_coins_after_a_reorganisation(besieged: Open, depth: int) -> None:
    desk = besieged()
    desk.ask("a")
    desk.ask("b", 2)
    desk.run_pass()
    undo = desk.coins.mark()
    desk.coins.mine(2)
    assert desk.run_pass() == (0, {"a": "confirming", "b": "confirming"})
    undo()
    desk.coins.conflict(desk.txid("a"))
    desk.coins.mine(depth - 1)
    code, states = desk.run_pass("a", "b")
    assert (code, states["a"]) == ((7, "unknown") if depth < 3 else (3, "held"))
    desk.coins.finish()
    assert desk.run_pass("a", "b")[1] == {"a": "held", "b": "held"}
    assert [desk.coins.got(to) for to, _ in desk.owed.values()] == [0, 0]
    assert desk.run("audit", "verify").exit_code == 0


def test_change_that_a_reorganisation_may_take_away_pays_nothing_yet(besieged: Open) -> None:
    """a is raised, and in a block; the blocks go, and the first attempt of a is in the new ones: its change is another
    coin, and a payment of the old one would be stuck for good.
    """
    desk = besieged(coins=1)
    desk.ask("a")
    desk.run_pass()
    raw = desk.coins.raw(desk.txid("a"))
    desk.does("withdraw", "bump", "a")
    undo = desk.coins.mark()
    desk.coins.mine(1)
    desk.ask("b", 2)
    assert desk.run_pass() == (5, {"a": "confirming", "b": "waiting_liquidity"})
    undo()
    desk.coins.give(raw)
    desk.coins.finish()
    assert desk.run_pass() == (0, {"a": "final", "b": "broadcast"})
    desk.recovers()


# -- what nodes forget -----------------------------------------------------------------------------------------------


def test_what_was_forgotten_comes_back_and_is_mined(besieged: Open) -> None:
    """D9: what was raised is forgotten, with all that waited; later somebody gives its first attempt to a miner."""
    desk = besieged()
    desk.ask("a")
    desk.run_pass()
    raw = desk.coins.raw(desk.txid("a"))
    desk.does("withdraw", "bump", "a")
    desk.coins.forget()
    desk.lies(HIDES["all that waits"])
    desk.run_pass()
    desk.honest_again()
    first, second = desk.attempts("a")
    assert desk.coins.pooled() == [second]
    desk.coins.forget()
    desk.coins.give(raw)
    desk.coins.mine(1)
    assert desk.run_pass() == (0, {"a": "confirming"})
    assert desk.txid("a") == first
    desk.recovers()


@pytest.mark.parametrize("at", ["walletprocesspsbt", SEND, "listsinceblock"])
def test_a_node_that_is_killed_in_the_middle_comes_back_without_its_pool(
    besieged: Open, bitcoind_with: Callable[..., Bitcoind], at: str
) -> None:
    node = bitcoind_with()
    desk = besieged(node=node)
    desk.ask("a")
    node.rpc("gettxoutsetinfo")  # writes its blocks to the disk
    proxy, died = desk.proxies[0], [0]

    def dies(methods: list[str]) -> Fault | None:
        if at in methods and not died[0]:
            died[0] = 1
            if at == SEND:
                proxy.lies[SEND] = killed
            else:
                node.kill()
        return None

    def killed(params: list[Any], honest: Callable[[], Any]) -> Any:
        honest()
        node.kill()
        raise OSError("it is dead")

    proxy.choose = dies
    code, states = desk.run("withdraw", "run").exit_code, desk.run("withdraw", "list", "-o", "jsonl").jsonl
    assert code in (6, 7), states
    with start_bitcoind("-persistmempool=0", "-walletbroadcast=0", folder=node.folder) as again:
        for wallet in ("miner", "hot"):
            if wallet not in again.rpc("listwallets"):
                again.rpc("loadwallet", wallet)
        assert isinstance(desk.coins, Satoshis)
        desk.coins.node = proxy.behind = again
        desk.honest_again()
        assert again.rpc("getrawmempool") == []
        assert desk.run_pass()[0] in (0, 7)
        assert len(desk.coins.pooled()) == 1
        desk.recovers()
        assert len(desk.attempts("a")) == 1


# -- all of it at random ---------------------------------------------------------------------------------------------

RANDOM: Sequence[dict[str, Any]] = [
    {},
    *({"fault": fault} for name, fault in GARBLED.items() if name != "hangs up"),
    *({"fault": fault, "at": SEND} for fault in GARBLED.values()),
    *({"lies": {SEND: how(words)}} for words in WORDS.values() for how in (after, always)),
    *({"lies": lies} for lies in (*HIDES.values(), *SPOILS.values())),
    *({"lies": lies} for name, lies in SAYS.items() if "stranger" not in name),
]
"""What may happen to a request."""


class Misfortunes:
    """One after the other, each for one request of a pass; then honesty."""

    def __init__(self, desk: Besieged, place: int, fates: Sequence[int]) -> None:
        self._proxy, self._fates = desk.proxies[place], iter(fates)

    def __call__(self, methods: list[str]) -> Fault | None:
        fate = RANDOM[next(self._fates, 0)]
        self._proxy.lies = dict(fate.get("lies", {}))
        meant = fate.get("at") is None or fate["at"] in methods
        fault: Fault | None = fate.get("fault") if meant else None
        return fault


fates = st.lists(st.integers(0, len(RANDOM) - 1), max_size=24)
passes = st.lists(
    st.tuples(fates, fates, st.integers(0, 3), st.sampled_from(["", "forgotten", "undone", "bumped"])),
    min_size=2, max_size=4,
)  # fmt: skip


@settings(
    max_examples=8, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(happens=passes, quorum=st.sampled_from([1, 2]))
def test_whatever_happens_each_is_paid_once(besieged: Open, tmp_path: Any, happens: Any, quorum: int) -> None:
    """Two nodes, and at each request of each pass another misfortune; blocks come, and some go again."""
    for left in ("configs", "data"):
        shutil.rmtree(tmp_path / left, ignore_errors=True)
    desk = besieged(2, quorum)
    desk.ask("a")
    desk.ask("b", 2)
    for first, second, blocks, event in happens:
        for place, some in enumerate((first, second)):
            desk.proxies[place].choose = Misfortunes(desk, place, some)
        if event == "bumped":
            desk.run("withdraw", "bump", "a", "--operator", "ops")
        desk.run_pass()
        undo = desk.coins.mark()
        if event == "undone":
            desk.coins.mine(min(blocks, 2))
            desk.honest_again()
            desk.run_pass()
            undo()
        elif event == "forgotten":
            desk.coins.forget()
        elif blocks:
            desk.coins.mine(blocks)
    desk.recovers()
