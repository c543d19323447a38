"""Desks whose hot wallet has a float, and a cold set that two people signed; what is planned and swept in few words."""

from __future__ import annotations

from typing import Any

from cryptosupport.context import Context
from cryptosupport.desk.sweep import sweep
from tests.chains.evm_paying.kit import CONTRACT
from tests.commands.bitcoindesk import Bitcoindesk
from tests.commands.payingdesk import ANN, BEN, Paydesk, with_people
from tests.conftest import Run

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


def bitcoin_cold(desk: Bitcoindesk) -> str:
    """A float of a wallet on Bitcoin, and its cold address."""
    to: str = desk.node.rpc("getnewaddress", "", "bech32", wallet="miner")
    cold = f'[cold]\nchain = "bitcoin"\nrole = "cold"\naddress = "{to}"\n'
    bounds = 'floor = "1"\ntarget = "2"\nceiling = "2.5"\nfee_reserve = "0"\ntest_sweep = "9"\ncooldown = "0s"'
    add_float(desk, "BTC", bounds, cold)
    register(desk)
    return to


def recorded(desk: Paydesk) -> None:
    """The sweep is recorded, and the pass ends before it is paid."""
    context = Context()
    context.options.configs, context.options.data = str(desk.folder / "configs"), str(desk.folder / "data")
    (swept,) = context.swept(["hot"])
    own, floats = swept
    (made,) = sweep(context.sweeping([swept]), context.premises(), own, floats, context.payer("hot"), [])
    assert made.state == "approved"
    context.close()


def change_place(desk: Paydesk) -> None:
    """Somebody edits the cold address in wallets.toml."""
    path = desk.folder / "configs" / "wallets.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(BEN, ANN), encoding="utf-8")
