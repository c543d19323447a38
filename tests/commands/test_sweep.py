"""`sweep` and `cold`: what hot wallets have beyond what they need goes to the cold, each time once, on real nodes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cryptosupport.context import Context
from cryptosupport.desk.sweep import sweep
from cryptosupport.outside.keyrings import set_password
from cryptosupport.outside.locks import lock
from cryptosupport.outside.nodes import Anvil
from tests.chains.evm_paying import tokens
from tests.chains.evm_paying.kit import CONTRACT
from tests.commands.bitcoindesk import KINDS, Bitcoindesk, open_bitcoindesk
from tests.commands.payingdesk import ANN, BEN, ETHER, HOT, KEY, Paydesk, open_desk, paydesk, sealed, with_people
from tests.conftest import Run

__all__ = ["open_bitcoindesk", "open_desk", "paydesk", "sealed"]  # fixtures

Desk = Paydesk | Bitcoindesk
COLD = f'[cold]\nchain = "ethereum"\nrole = "cold"\naddress = "{BEN}"\n'
TOKEN = f'[assets.USDT]\ndecimals = 6\ncontract = "{CONTRACT}"\n'
BOUNDS = 'floor = "10"\ntarget = "20"\nceiling = "40"'
WHOLE = f'{BOUNDS}\ntest_sweep = "1000"\ncooldown = "0s"'
"""Bounds whose first sweep is no small one."""


def add_float(desk: Desk, symbol: str = "ETH", text: str = BOUNDS, cold: str = COLD) -> None:
    """A float of the hot wallet, and where it is swept."""
    path = desk.folder / "configs" / "wallets.toml"
    text = f'{path.read_text(encoding="utf-8")}[hot.float.{symbol}]\n{text}\nsweep_to = "cold"\n{cold}'
    path.write_text(text, encoding="utf-8")


def add_settings(desk: Desk, text: str) -> None:
    """More of desk.toml."""
    path = desk.folder / "configs" / "desk.toml"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(before + text, encoding="utf-8")
    path.chmod(0o600)


def cold(desk: Desk, what: str, who: str, code: int) -> Run:
    done = desk.run("cold", what, "--operator", who, "--json")
    assert done.exit_code == code, done.stdout + done.stderr
    return done


def register(desk: Desk) -> None:
    """alice and carol sign the cold wallets of wallets.toml; they count at once."""
    add_settings(desk, '[approvals]\nlock = "1ms"\n')
    with_people(desk)
    cold(desk, "propose", "alice", 9)
    cold(desk, "sign", "carol", 0)


def planned(desk: Desk, code: int = 0) -> dict[str, Any]:
    done = desk.run("sweep", "plan", "hot", "--json")
    assert done.exit_code == code, done.stderr
    found: dict[str, Any] = done.json[0] if isinstance(done.json, list) else done.json
    return found


def swept(desk: Desk, code: int = 0) -> dict[str, str]:
    """One pass; the states of the sweeps that it moved."""
    done = desk.run("sweep", "run", "-o", "jsonl")
    assert done.exit_code == code, (done.exit_code, done.stdout, done.stderr)
    return {each["request_id"]: each["state"] for each in done.jsonl}


def units(plan: dict[str, Any], *names: str) -> list[int]:
    return [int(plan[name]["base_units"]) for name in names]


def arrived(desk: Paydesk) -> int:
    """The first sweep, which is a small one, has arrived; how much it moved."""
    assert swept(desk) == {"sweep:hot:ETH:1": "confirming"}
    desk.settle()
    assert swept(desk) == {"sweep:hot:ETH:1": "final"}
    return desk.balance(BEN)


# -- plans -----------------------------------------------------------------------------------------------------------


def test_the_arithmetic_is_shown_and_comes_out_even(paydesk: Paydesk) -> None:
    add_float(paydesk, text=WHOLE)
    register(paydesk)
    paydesk.submit("w-1", "5")
    plan = planned(paydesk)
    assert (plan["verdict"], plan["to"], plan["destination"], plan["why"]) == ("sweep", "cold", BEN, None)
    confirmed, reserved, kept, available = units(plan, "confirmed", "reserved", "fee_reserve", "available")
    assert (confirmed, reserved, kept) == (100 * ETHER, 5 * ETHER + ETHER // 10, ETHER)
    assert available == confirmed - reserved - kept
    surplus, moved, fee, left = units(plan, "surplus", "moved", "fee", "left")
    assert (surplus, moved + fee) == (available - 20 * ETHER, surplus)
    assert moved + fee + left == confirmed
    assert [units(leg, "moved", "fee") for leg in plan["legs"]] == [[moved, fee]]
    assert int(paydesk.node.rpc("eth_getTransactionCount", HOT, "pending"), 16) == 0


def test_the_first_sweep_to_a_place_is_a_small_one(paydesk: Paydesk) -> None:
    add_float(paydesk)
    register(paydesk)
    plan = planned(paydesk)
    assert (plan["verdict"], plan["test"], units(plan, "surplus")) == ("sweep", True, [ETHER // 5])
    moved, fee = units(plan, "moved", "fee")
    assert moved + fee == ETHER // 5


def test_between_floor_and_ceiling_nothing_happens_and_below_it_wants_more(open_desk: Any, anvil: Anvil) -> None:
    desk = open_desk(anvil, funds=31)
    add_float(desk)
    plan = planned(desk)
    assert (plan["verdict"], units(plan, "moved", "refill")) == ("nothing", [0, 0])
    desk.submit("w-1", "20.5")
    plan = planned(desk)
    assert (plan["verdict"], units(plan, "moved")) == ("refill", [0])
    assert units(plan, "refill")[0] == 20 * ETHER - units(plan, "available")[0]


def test_what_is_under_way_is_reserved_until_blocks_show_it(open_desk: Any, anvil_with: Callable[..., Anvil]) -> None:
    desk = open_desk(anvil_with("--no-mining"))
    add_float(desk, text=f'{BOUNDS}\nfee_reserve = "0"')
    desk.submit("w-1", "5")
    assert desk.pay() == {"w-1": "broadcast"}
    (reserved,) = units(planned(desk), "reserved")
    assert 5 * ETHER < reserved <= 5 * ETHER + ETHER // 10
    desk.settle()
    assert units(planned(desk), "reserved") == [0]


def test_a_token_is_moved_whole_and_its_fee_is_of_the_coin(open_desk: Any, anvil: Anvil) -> None:
    desk = open_desk(anvil, assets=TOKEN)
    tokens.place(anvil, CONTRACT, tokens.SILENT, **{HOT: 100 * 10**6})
    add_float(desk, "USDT", 'floor = "1"\ntarget = "20"\nceiling = "40"\nmax_sweep = "50"\ntest_sweep = "60"')
    register(desk)
    plan = planned(desk)
    told = [50 * 10**6, 50 * 10**6, 0, 50 * 10**6]
    assert (plan["verdict"], units(plan, "surplus", "moved", "fee", "left")) == ("sweep", told)
    assert int(plan["legs"][0]["coin_fee"]["base_units"]) > 0
    assert swept(desk) == {"sweep:hot:USDT:1": "confirming"}
    desk.settle()
    assert swept(desk) == {"sweep:hot:USDT:1": "final"}
    anvil.rpc("anvil_setBalance", HOT, hex(1))
    plan = planned(desk)
    assert (plan["verdict"], "it lacks ETH for the fee" in plan["why"]) == ("wait", True)


@pytest.mark.parametrize("scope", ["all", "chain=ethereum", "asset=ETH", "wallet=hot"])
def test_what_is_frozen_is_not_swept(paydesk: Paydesk, scope: str) -> None:
    add_float(paydesk)
    register(paydesk)
    assert paydesk.run("freeze", "add", scope, "--reason", "a drill", "--operator", "alice").exit_code == 0
    plan = planned(paydesk)
    assert (plan["verdict"], units(plan, "moved")) == ("wait", [0])
    assert scope in plan["why"]
    assert "a drill" in plan["why"]
    assert swept(paydesk) == {}


def test_a_table_fits_a_person(paydesk: Paydesk) -> None:
    add_float(paydesk)
    done = paydesk.run("sweep", "plan")
    assert done.exit_code == 0, done.stderr
    assert "cold is not registered" in done.stdout
    assert paydesk.run("sweep", "plan", "-o", "csv").stdout.count("\n") == 2


def test_a_wallet_that_is_not_there_or_not_swept_is_told(paydesk: Paydesk) -> None:
    add_float(paydesk)
    done = paydesk.run("sweep", "plan", "hott")
    assert (done.exit_code, "did you mean 'hot'" in done.stderr) == (4, True)
    done = paydesk.run("sweep", "run", "cold")
    assert (done.exit_code, "cold is not swept" in done.stderr) == (2, True)


def test_a_node_that_is_down_is_told_and_nothing_is_guessed(paydesk: Paydesk) -> None:
    add_float(paydesk)
    paydesk.node.stop()
    plan = planned(paydesk, 6)
    assert (plan["verdict"], plan["asset"]) == (None, None)
    assert plan["error"]
    assert swept(paydesk, 6) == {}


def bitcoin_cold(desk: Bitcoindesk) -> str:
    """A float of a wallet on Bitcoin, and its cold address."""
    to: str = desk.node.rpc("getnewaddress", "", "bech32", wallet="miner")
    cold = f'[cold]\nchain = "bitcoin"\nrole = "cold"\naddress = "{to}"\n'
    bounds = 'floor = "1"\ntarget = "2"\nceiling = "2.5"\nfee_reserve = "0"\ntest_sweep = "9"\ncooldown = "0s"'
    add_float(desk, "BTC", bounds, cold)
    register(desk)
    return to


def test_on_bitcoin_the_small_coins_go_and_the_large_one_stays(open_bitcoindesk: Callable[..., Bitcoindesk]) -> None:
    desk = open_bitcoindesk(coins=("0.3", "0.3", "3"))
    bitcoin_cold(desk)
    plan = planned(desk)
    assert (plan["verdict"], units(plan, "confirmed", "surplus")) == ("sweep", [360_000_000, 160_000_000])
    small, part = [sum(units(leg, "moved", "fee")) for leg in plan["legs"]]
    assert (small, part) == (60_000_000, 100_000_000)
    moved, fee, left = units(plan, "moved", "fee", "left")
    assert moved + fee + left == 360_000_000
    assert desk.node.rpc("listlockunspent", wallet="hot") == []
    assert desk.node.rpc("getrawmempool") == []


# -- sweeps ----------------------------------------------------------------------------------------------------------


def test_the_surplus_goes_to_the_cold_once_after_a_small_test(paydesk: Paydesk) -> None:
    add_float(paydesk, text=f'{BOUNDS}\ncooldown = "0s"')
    register(paydesk)
    small = arrived(paydesk)
    assert 0 < small < ETHER // 5
    plan = planned(paydesk)
    assert (plan["verdict"], plan["test"]) == ("sweep", False)
    assert swept(paydesk) == {"sweep:hot:ETH:2": "confirming"}
    paydesk.settle()
    assert swept(paydesk) == {"sweep:hot:ETH:2": "final"}
    assert paydesk.balance(BEN) == small + units(plan, "moved")[0]
    assert planned(paydesk)["verdict"] == "nothing"
    assert 20 * ETHER <= paydesk.balance(HOT) <= 22 * ETHER
    done = paydesk.run("sweep", "run")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert paydesk.run("reconcile").exit_code == 0
    assert paydesk.run("audit", "verify").exit_code == 0


def test_of_one_asset_of_a_wallet_one_sweep_is_under_way(open_desk: Any, anvil_with: Callable[..., Anvil]) -> None:
    desk = open_desk(anvil_with("--no-mining"))
    add_float(desk, text=WHOLE)
    register(desk)
    assert swept(desk) == {"sweep:hot:ETH:1": "broadcast"}
    plan = planned(desk)
    desk.node.rpc("anvil_setBalance", HOT, hex(500 * ETHER))
    plan = planned(desk)
    assert (plan["verdict"], "sweep 1 is under way (broadcast): one at a time" in plan["why"]) == ("wait", True)
    assert swept(desk) == {}
    assert [each["request_id"] for each in desk.run("withdraw", "list", "-o", "jsonl").jsonl] == ["sweep:hot:ETH:1"]


def test_between_two_sweeps_there_is_a_while(paydesk: Paydesk) -> None:
    add_float(paydesk)
    register(paydesk)
    arrived(paydesk)
    plan = planned(paydesk)
    assert (plan["verdict"], "and the next one waits" in plan["why"]) == ("wait", True)
    assert swept(paydesk) == {}


def test_withdraw_run_goes_on_with_a_sweep_and_tells_its_life(open_desk: Any, anvil_with: Callable[..., Anvil]) -> None:
    desk = open_desk(anvil_with("--no-mining"))
    add_float(desk, text=WHOLE)
    register(desk)
    swept(desk)
    desk.settle()
    assert desk.pay() == {"sweep:hot:ETH:1": "final"}
    shown = desk.run("withdraw", "show", "sweep:hot:ETH:1", "--json").json
    assert (shown["customer"], shown["destination"], shown["state"]) == ("sweep:hot", BEN, "final")
    assert "above the ceiling of 40 ETH" in shown["decision"]["rules"][0]["reason"]
    for what in ("receipt", "explain", "show"):
        done = desk.run("withdraw", what, "sweep:hot:ETH:1")
        assert done.exit_code == 0, done.stderr


def test_a_sweep_that_is_held_keeps_the_next_one_back_until_it_ends(paydesk: Paydesk) -> None:
    add_float(paydesk, text=WHOLE)
    register(paydesk)
    recorded(paydesk)
    name = "sweep:hot:ETH:1"
    assert paydesk.run("withdraw", "hold", name, "--reason", "look", "--operator", "carol").exit_code == 0
    assert swept(paydesk) == {}
    assert paydesk.run("withdraw", "cancel", name, "--operator", "alice").exit_code == 0
    assert swept(paydesk) == {"sweep:hot:ETH:2": "confirming"}


def test_a_sweep_whose_place_was_changed_ends_by_no_rule_of_customers(paydesk: Paydesk) -> None:
    """The policy lets ETH go anywhere; a sweep goes to the cold set, or nowhere."""
    add_float(paydesk, text=WHOLE)
    register(paydesk)
    recorded(paydesk)
    change_place(paydesk)
    assert paydesk.pay() == {"sweep:hot:ETH:1": "rejected"}
    assert (paydesk.balance(ANN), paydesk.balance(BEN)) == (0, 0)


def test_a_sweep_counts_in_no_limit_and_under_no_cap_of_customers(paydesk: Paydesk) -> None:
    add_float(paydesk, text=WHOLE)
    path = paydesk.folder / "configs" / "wallets.toml"
    caps = '[hot.caps.ETH]\nper_transaction = "1"\nper_hour = "1"\n'
    path.write_text(path.read_text(encoding="utf-8") + caps, encoding="utf-8")
    register(paydesk)
    assert swept(paydesk) == {"sweep:hot:ETH:1": "confirming"}
    paydesk.submit("w-1", "1")
    assert paydesk.pay()["w-1"] == "confirming"


def test_a_sweep_that_the_wallet_has_no_surplus_for_any_more_ends_and_nobody_waits_for_it(paydesk: Paydesk) -> None:
    add_float(paydesk, text=WHOLE)
    register(paydesk)
    assert paydesk.run("keys", "delete", "hot", "--force", "--yes").exit_code == 0
    paydesk.submit("w-1")
    paydesk.pay(8)  # the wallet is bound, and w-1 has the first place
    paydesk.run("sweep", "plan")
    recorded(paydesk)
    set_password("hot", KEY)
    paydesk.node.rpc("anvil_setBalance", HOT, hex(3 * ETHER))
    paydesk.submit("w-2")
    assert paydesk.pay() == {"w-1": "confirming", "sweep:hot:ETH:1": "cancelled", "w-2": "confirming"}
    assert paydesk.balance(BEN) == 0


def recorded(desk: Paydesk) -> None:
    """The sweep is recorded, and the pass ends before it is paid."""
    context = Context()
    context.options.configs, context.options.data = str(desk.folder / "configs"), str(desk.folder / "data")
    (swept,) = context.swept(["hot"])
    own, floats = swept
    (made,) = sweep(context.sweeping([swept]), context.premises(), own, floats, context.payer("hot"), [])
    assert made.state == "approved"
    context.close()


def test_a_pass_is_told_to_prometheus_to_doctor_and_to_the_log(paydesk: Paydesk) -> None:
    add_float(paydesk)
    register(paydesk)

    def cron() -> dict[str, Any]:
        verdicts = paydesk.run("doctor", "--cron", "-o", "jsonl").jsonl
        (found,) = (each for each in verdicts if each["name"] == "sweep run")
        return found

    assert "no pass has ever ended" in cron()["message"]
    path = paydesk.folder / "sweep.prom"
    done = paydesk.run("--log", "json", "sweep", "run", "--metrics-file", str(path))
    assert done.exit_code == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    (moved,) = [each for each in lines if each.get("action") == "sweep"]
    assert (moved["request_id"], moved["state"], moved["destination"]) == ("sweep:hot:ETH:1", "confirming", BEN)
    text = path.read_text(encoding="utf-8")
    assert "cryptosupport_sweep_run_exit_code 0" in text
    assert 'cryptosupport_wallet_holds{asset="ETH"' in text
    assert cron()["verdict"] == "ok"
    done = paydesk.run("doctor", "--cron", "--overdue-sweep", "1ms", "-o", "jsonl")
    assert done.exit_code == 8
    assert any(each["name"] == "sweep run" and "no pass has succeeded for" in each["message"] for each in done.jsonl)


def test_another_pass_on_this_machine_is_left_to_what_it_does(paydesk: Paydesk) -> None:
    add_float(paydesk)
    register(paydesk)
    with lock(paydesk.folder / "data" / "sweep-run.lock"):
        assert swept(paydesk) == {}
        assert paydesk.run("sweep", "run", "--fail-if-locked").exit_code == 75


def test_dry_run_records_nothing(paydesk: Paydesk) -> None:
    add_float(paydesk)
    register(paydesk)
    done = paydesk.run("sweep", "run", "--dry-run", "--json")
    assert (done.exit_code, [each["verdict"] for each in done.json]) == (0, ["sweep"])
    assert paydesk.run("withdraw", "list", "-o", "jsonl").jsonl == []


@pytest.mark.parametrize("kind", KINDS)
def test_bitcoin_is_swept_by_pieces_beside_what_customers_get(
    open_bitcoindesk: Callable[..., Bitcoindesk], kind: str
) -> None:
    desk = open_bitcoindesk(kind, coins=("0.3", "0.3", "3"), batch='age = "1h"')
    to = bitcoin_cold(desk)
    desk.submit(a="0.1")
    plan = planned(desk)
    one, two = "sweep:hot:BTC:1:1", "sweep:hot:BTC:1:2"
    assert swept(desk) == {one: "broadcast", two: "broadcast"}  # the batch of customers is not due
    shown = {name: desk.show(name) for name in (one, two)}
    assert shown[one]["txid"] != shown[two]["txid"]
    spent = {name: desk.node.rpc("getrawtransaction", it["txid"], True) for name, it in shown.items()}
    assert [(len(it["vin"]), len(it["vout"])) for it in spent.values()] == [(2, 1), (1, 2)]
    desk.node.mine(3)
    assert swept(desk) == {one: "final", two: "final"}
    assert desk.got(to) == units(plan, "moved")[0]
    assert planned(desk)["verdict"] == "nothing"
    (left,) = units(planned(desk), "confirmed")
    assert desk.got(to) + sum(int(desk.show(name)["fee"]["base_units"]) for name in (one, two)) + left == 360_000_000
    assert swept(desk) == {}
    assert desk.show("a")["state"] == "approved"
    done = desk.run("reconcile")
    assert done.exit_code == 0, done.stdout


# -- the split -------------------------------------------------------------------------------------------------------


def split(desk: Desk) -> dict[str, Any]:
    done = desk.run("wallet", "balance", "--split", "--json")
    assert done.exit_code == 0, done.stderr
    (found,) = done.json
    return {**found, "said": done.stderr}


def test_what_is_on_its_way_counts_once_and_is_hot_until_it_arrives(
    open_desk: Any, anvil_with: Callable[..., Anvil]
) -> None:
    desk = open_desk(anvil_with("--no-mining"))
    add_float(desk, text=WHOLE)
    add_settings(desk, '[share]\nhot = "25%"\n')
    register(desk)
    swept(desk)
    (moved,) = (each["amount"] for each in desk.run("withdraw", "list", "-o", "jsonl").jsonl)
    told = split(desk)
    assert (told["in_flight"], told["cold"], told["total"], told["hot_share"]) == (moved, "0", "100", "100%")
    assert (told["over"], "100% of ETH is hot, and at most 25% may be" in told["said"]) == (True, True)
    desk.settle()
    desk.pay()
    told = split(desk)
    assert (told["in_flight"], told["cold"], told["over"], told["said"]) == ("0", moved, False, "")
    table = desk.run("wallet", "balance", "--split").stdout
    assert "21.01%" in table
    assert any(each in table for each in ("░", "."))
    assert desk.run("wallet", "balance", "hot", "--split").exit_code == 2


# -- where it may go -------------------------------------------------------------------------------------------------


def test_nothing_goes_to_a_place_that_two_people_have_not_signed(paydesk: Paydesk) -> None:
    add_float(paydesk)
    add_settings(paydesk, '[approvals]\nlock = "1ms"\n')
    with_people(paydesk)
    for _ in range(2):
        assert swept(paydesk, 3) == {}
        cold(paydesk, "propose", "alice", 9)  # the same person twice is one
    refusals = [each["facts"] for each in paydesk.run("audit", "log", "-o", "jsonl").jsonl if each["kind"] == "refused"]
    assert any("cold is not registered" in str(each) for each in refusals)
    done = paydesk.run("cold", "sign", "--operator", "bob")
    assert (done.exit_code, "this takes compliance or ops" in done.stderr) == (3, True)
    cold(paydesk, "sign", "carol", 0)
    assert swept(paydesk) == {"sweep:hot:ETH:1": "confirming"}


BAD_SUM, SHORT, ELSEWHERE = BEN.replace("fB", "fb"), BEN[:-4], "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


@pytest.mark.parametrize("address", [BAD_SUM, SHORT, ELSEWHERE], ids=["checksum", "short", "of another chain"])
def test_what_is_no_address_of_the_chain_is_not_proposed(paydesk: Paydesk, address: str) -> None:
    add_float(paydesk, cold=COLD.replace(BEN, address))
    with_people(paydesk)
    done = paydesk.run("cold", "propose", "--operator", "alice")
    assert (done.exit_code, "wallets.toml [cold]: address: " in done.stderr) == (8, True)


def test_a_new_place_waits_for_its_time(paydesk: Paydesk) -> None:
    add_float(paydesk)
    with_people(paydesk)
    cold(paydesk, "propose", "alice", 9)
    told = cold(paydesk, "sign", "carol", 9).json
    assert "its time" in told["waits_for"]
    assert told["loosens"] == [f"cold on ethereum becomes a place for sweeps: {BEN}"]
    cold_list = paydesk.run("cold", "list", "--json").json
    assert [(each["name"], each["state"]) for each in cold_list] == [("cold", "proposed")]
    assert paydesk.run("cold", "activate").exit_code == 9
    assert swept(paydesk, 3) == {}


def change_place(desk: Paydesk) -> None:
    """Somebody edits the cold address in wallets.toml."""
    path = desk.folder / "configs" / "wallets.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(BEN, ANN), encoding="utf-8")


def test_a_place_that_was_changed_in_the_settings_gets_nothing(paydesk: Paydesk) -> None:
    add_float(paydesk, text=WHOLE)
    register(paydesk)
    change_place(paydesk)
    done = paydesk.run("sweep", "run")
    assert done.exit_code == 3
    assert f"cold was changed: wallets.toml has {ANN} on ethereum, and two people signed {BEN}" in done.stderr
    assert (paydesk.balance(ANN), paydesk.balance(BEN)) == (0, 0)
    states = {each["state"] for each in paydesk.run("cold", "list", "--json").json}
    assert states == {"in force", "changed"}


def test_a_sweep_that_is_reserved_is_not_signed_once_its_place_is_changed(paydesk: Paydesk) -> None:
    add_float(paydesk, text=WHOLE)
    register(paydesk)
    assert paydesk.run("keys", "delete", "hot", "--force", "--yes").exit_code == 0
    assert swept(paydesk, 8) == {"sweep:hot:ETH:1": "reserved"}
    set_password("hot", KEY)
    change_place(paydesk)
    done = paydesk.run("withdraw", "run")
    assert (done.exit_code, "cold is in wallets.toml no more, or was changed there" in done.stderr) == (3, True)
    assert (paydesk.balance(ANN), paydesk.balance(BEN)) == (0, 0)


def test_a_place_that_two_people_take_out_gets_nothing_at_once(paydesk: Paydesk) -> None:
    add_float(paydesk, text=WHOLE)
    register(paydesk)
    path = paydesk.folder / "configs" / "wallets.toml"
    text = path.read_text(encoding="utf-8")
    other = text.replace("[cold]", "[other]").replace(BEN, ANN).replace('sweep_to = "cold"', 'sweep_to = "other"')
    path.write_text(other, encoding="utf-8")
    add_settings(paydesk, "")
    cold(paydesk, "propose", "alice", 9)
    cold(paydesk, "sign", "carol", 0)
    path.write_text(text, encoding="utf-8")
    assert swept(paydesk, 3) == {}
    assert (paydesk.balance(ANN), paydesk.balance(BEN)) == (0, 0)


def test_a_place_whose_keys_the_desk_has_is_not_cold(paydesk: Paydesk) -> None:
    """Else the wallet would pay fees to sweep to itself."""
    add_float(paydesk, cold=COLD.replace(BEN, HOT.lower()))
    with_people(paydesk)
    done = paydesk.run("cold", "propose", "--operator", "alice")
    assert (done.exit_code, "cold is the wallet hot itself, which is not cold" in done.stderr) == (3, True)


def test_what_nobody_can_spend_from_gets_nothing_though_two_have_signed_it(paydesk: Paydesk) -> None:
    add_float(paydesk, text=WHOLE, cold=COLD.replace(BEN, "0x000000000000000000000000000000000000dEaD"))
    register(paydesk)
    done = paydesk.run("sweep", "run")
    assert (done.exit_code, "hot is not swept: nobody holds a key for 0x0000" in done.stderr) == (3, True)
    assert paydesk.run("withdraw", "list", "-o", "jsonl").jsonl == []


@pytest.mark.parametrize("field", ["request_id", "customer"])
def test_no_request_from_outside_passes_for_a_sweep(paydesk: Paydesk, field: str) -> None:
    facts = {"request-id": "w-1", "customer": "c", "asset": "ETH", "chain": "ethereum", "amount": "1"}
    facts |= {"destination": ANN, field.replace("_", "-"): "sweep:hot:ETH:1"}
    done = paydesk.run("withdraw", "submit", *(part for key, text in facts.items() for part in (f"--{key}", text)))
    assert (done.exit_code, "is kept for the desk's own sweeps" in done.stderr) == (2, True)


def test_without_operators_nothing_is_swept(paydesk: Paydesk) -> None:
    add_float(paydesk)
    assert swept(paydesk, 3) == {}
    done = paydesk.run("cold", "propose", "--operator", "alice")
    assert (done.exit_code, "there are no operators" in done.stderr) == (8, True)
