"""`cold`: a sweep goes where two people signed that it may, and nowhere else, whoever edits what."""

from __future__ import annotations

import pytest

from cryptosupport.outside.keyrings import set_password
from tests.commands.payingdesk import ANN, BEN, HOT, KEY, Paydesk, open_desk, paydesk, sealed, with_people
from tests.commands.sweepdesk import (
    COLD,
    WHOLE,
    add_float,
    add_settings,
    change_place,
    cold,
    register,
    swept,
)

__all__ = ["open_desk", "paydesk", "sealed"]  # fixtures


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
