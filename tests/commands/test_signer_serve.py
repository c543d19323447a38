"""`signer serve`: a desk that holds no key pays through a signer that sees no ledger, each withdrawal once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from cryptosupport.outside.nodes import Anvil
from tests.commands.payingdesk import ANN, BEN, ETHER, HOT, Paydesk, sealed
from tests.commands.signerdesk import Signer, between, desk_of, signer

__all__ = ["desk_of", "sealed", "signer"]  # fixtures

Open = Callable[..., Paydesk]


def nonces(desk: Paydesk) -> int:
    return int(desk.node.rpc("eth_getTransactionCount", HOT, "latest"), 16)


def test_a_desk_without_the_key_pays_and_the_signer_ends_in_order(signer: Signer, desk_of: Open, anvil: Anvil) -> None:
    desk = desk_of(anvil)
    signer.start()
    assert f"the signer of hot answers at {signer.socket}, to users {os.geteuid()}" in signer.said[-1]
    assert stat.S_IMODE(signer.socket.stat().st_mode) == 0o600
    desk.submit("w-1", "1.5")
    desk.submit("w-2", "2", BEN)
    desk.pay()
    desk.settle()
    assert desk.pay() == {"w-1": "final", "w-2": "final"}
    assert (desk.balance(ANN), desk.balance(BEN), nonces(desk)) == (3 * ETHER // 2, 2 * ETHER, 2)
    assert not (desk.folder / "data" / "signer").exists()  # what was signed is remembered by the signer
    assert not list((signer.folder / "data").glob("cryptosupport.db*"))  # which has no ledger
    assert signer.stop() == 0
    assert not signer.socket.exists()


def test_ctrl_c_ends_it_in_order_too_and_it_speaks_json_where_asked(signer: Signer) -> None:
    signer.more = ("--log", "json", "--group-may-connect", "--allow-user", "root", "--allow-user", "7")
    signer.start()
    assert json.loads(signer.said[-1])["message"].endswith("to users 0, 7")
    assert stat.S_IMODE(signer.socket.stat().st_mode) == 0o660
    assert signer.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("lost", [1, 3])
def test_a_signer_that_is_killed_with_its_answer_on_the_way_has_each_paid_once(
    signer: Signer, desk_of: Open, anvil: Anvil, tmp_path: Path, lost: int
) -> None:
    path = tmp_path / "between.sock"
    desk = desk_of(anvil, path)
    for number in range(4):
        desk.submit(f"w-{number}")
    signer.start()
    with between(path, signer, lost):
        done = desk.run("withdraw", "run")
        assert done.exit_code == 6
        assert "is lost: the signer closed the connection. It may have signed; the same order can be" in done.stderr
        assert {desk.state(f"w-{number}") for number in range(4)} == {"reserved"}
        assert desk.balance(ANN) == 0
        done = desk.run("withdraw", "run")  # it is still down
        assert done.exit_code == 6
        signer.start()
        desk.pay()
        desk.settle()
        desk.pay()
    assert {desk.state(f"w-{number}") for number in range(4)} == {"final"}
    assert (desk.balance(ANN), nonces(desk)) == (4 * ETHER, 4)


def test_while_the_signer_is_down_nothing_is_lost(signer: Signer, desk_of: Open, anvil: Anvil) -> None:
    desk = desk_of(anvil)
    desk.submit("w-1")
    done = desk.run("withdraw", "run")
    assert done.exit_code == 6
    assert f"no signer answers at {signer.socket}: No such file or directory" in done.stderr
    assert desk.state("w-1") == "approved"
    signer.start()
    desk.pay()
    signer.stop(signal.SIGKILL)
    desk.submit("w-2")
    done = desk.run("withdraw", "run")
    assert done.exit_code == 6
    assert "Connection refused" in done.stderr
    signer.start()  # in the place of the socket that was left behind
    desk.pay()
    desk.settle()
    desk.pay()
    assert (desk.state("w-1"), desk.state("w-2"), desk.balance(ANN)) == ("final", "final", 2 * ETHER)


def test_a_user_who_may_not_ask_gets_nothing_signed(signer: Signer, desk_of: Open, anvil: Anvil) -> None:
    signer.more = ("--allow-user", str(os.geteuid() + 1), "--group-may-connect")
    desk = desk_of(anvil)
    desk.submit("w-1")
    signer.start()
    done = desk.run("withdraw", "run")
    assert done.exit_code == 3
    assert f"user {os.geteuid()} may not ask this signer" in done.stderr
    assert (desk.state("w-1"), desk.balance(ANN)) == ("approved", 0)
    signer.stop()
    assert any(f"user {os.geteuid()} asked, and may not" in line for line in signer.said)


def test_the_caps_of_the_signer_hold_whatever_the_ledger_allows(signer: Signer, desk_of: Open, anvil: Anvil) -> None:
    desk = desk_of(anvil)
    signer.start()
    desk.submit("w-1", "10")
    desk.submit("w-2", "10.5", BEN)
    done = desk.run("withdraw", "run")
    assert done.exit_code == 3
    assert f"this signer signs for at most {10 * ETHER} base units of ETH in one transaction" in done.stderr
    assert f"and this is for {21 * ETHER // 2}" in done.stderr
    assert desk.state("w-2") == "reserved"
    desk.settle()
    assert desk.run("withdraw", "run").exit_code == 3
    assert (desk.state("w-1"), desk.balance(ANN), desk.balance(BEN)) == ("final", 10 * ETHER, 0)


def test_what_the_signer_refuses_gives_up_its_place_when_it_is_killed(
    signer: Signer, desk_of: Open, anvil: Anvil
) -> None:
    desk = desk_of(anvil)
    signer.start()
    desk.submit("w-1", "10.5")
    desk.submit("w-2", "1", BEN)
    assert desk.run("withdraw", "run").exit_code == 3
    assert desk.balance(BEN) == 0  # it has the next nonce, and waits for the one before
    assert desk.run("withdraw", "kill", "w-1", "--operator", "ops").exit_code == 0
    desk.pay()
    desk.settle()
    desk.pay()
    assert (desk.state("w-1"), desk.state("w-2")) == ("cancelled", "final")
    assert (desk.balance(ANN), desk.balance(BEN)) == (0, ETHER)


def test_the_freeze_file_of_the_signer_stops_it(signer: Signer, desk_of: Open, anvil: Anvil) -> None:
    desk = desk_of(anvil)
    signer.start()
    desk.submit("w-1")
    (signer.folder / "data" / "freeze").write_text("wallet=hot a drill\n", encoding="utf-8")
    done = desk.run("withdraw", "run")
    assert done.exit_code == 3
    assert "w-1 is frozen: wallet=hot since" in done.stderr
    assert "by freeze file: a drill" in done.stderr
    (signer.folder / "data" / "freeze").unlink()
    desk.pay()
    assert desk.balance(ANN) == ETHER


# -- approvals, of which the signer knows the people and not the ledger ------------------------------------------------

EYES = '[[rules]]\nname = "eyes"\nabove_amount = "1"\napprovals = 1\n'


@pytest.fixture
def people(signer: Signer, desk_of: Open, anvil: Anvil) -> Paydesk:
    """A desk where what is above 1 ETH is approved by alice, bob or carol, who are in force."""
    desk = desk_of(anvil)
    with (desk.folder / "configs" / "policy.toml").open("a", encoding="utf-8") as file:
        file.write(EYES)
    for name in ("alice", "bob", "carol"):
        roles = ("--role", "approver", "--role", "policy", "--role", "ops")
        done = desk.run("operator", "add", name, *roles, "--public-key", "keyring", "--operator", "alice")
        assert done.exit_code == 9, done.stderr
    assert desk.run("operator", "sign", "--operator", "bob").exit_code == 0
    policy = ("policy", "propose", "--operator", "alice"), ("policy", "sign", "--operator", "bob")
    assert [desk.run(*each).exit_code for each in policy] == [9, 0]
    return desk


def approved(desk: Paydesk, name: str, by: str) -> None:
    request = ["--request-id", name, "--customer", "c", "--asset", "ETH", "--chain", "ethereum", "--amount", "2"]
    done = desk.run("withdraw", "submit", *request, "--destination", ANN, "--operator", "alice")
    assert done.exit_code == 9, done.stderr
    done = desk.run("withdraw", "approve", name, "--operator", by)
    assert done.exit_code == 0, done.stderr


def test_the_signer_verifies_approvals_by_its_own_people(people: Paydesk, signer: Signer) -> None:
    shutil.copy(people.folder / "configs" / "operators.toml", signer.folder / "configs" / "operators.toml")
    signer.start()
    approved(people, "w-1", "bob")
    people.pay()
    assert people.balance(ANN) == 2 * ETHER


def test_an_approver_whom_the_signer_does_not_know_does_not_count(people: Paydesk, signer: Signer) -> None:
    text = (people.folder / "configs" / "operators.toml").read_text(encoding="utf-8")
    known = text[: text.index("[bob]")] + text[text.index("[carol]") :]
    (signer.folder / "configs" / "operators.toml").write_text(known, encoding="utf-8")
    signer.start()
    approved(people, "w-1", "bob")
    approved(people, "w-2", "carol")
    done = people.run("withdraw", "run")
    assert done.exit_code == 3
    assert "w-1 needs the approval of 1, and signatures that count are there of nobody" in done.stderr
    assert (people.state("w-1"), people.balance(ANN)) == ("reserved", 0)


def test_without_people_of_its_own_nothing_that_needs_approval_is_signed(people: Paydesk, signer: Signer) -> None:
    signer.start()
    assert any("operators.toml names nobody: what needs an approval is not signed" in line for line in signer.said)
    approved(people, "w-1", "bob")
    assert people.run("withdraw", "run").exit_code == 3
    assert people.balance(ANN) == 0


# -- what it does not start with ---------------------------------------------------------------------------------------


def refused(signer: Signer, code: int, words: str, *options: str) -> None:
    done = signer.serve(*options)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_places_and_settings_that_are_not_safe_are_refused(signer: Signer) -> None:
    wallets = signer.folder / "configs" / "wallets.toml"
    sound = wallets.read_text(encoding="utf-8")
    signer.socket.parent.mkdir()
    signer.socket.parent.chmod(0o777)
    refused(signer, 8, "others can write")
    signer.socket.parent.chmod(0o700)
    wallets.chmod(0o666)
    refused(signer, 8, "can be written by others than its owner")
    wallets.chmod(0o600)
    (signer.folder / "data").chmod(0o777)
    refused(signer, 8, "others can write the folder")
    (signer.folder / "data").chmod(0o700)
    for text, words in (
        (sound.partition("[hot.caps")[0], "a signer of its own needs caps, such as [hot.caps.ETH]"),
        (sound.replace("caps.ETH", "caps.ETC"), "[hot]: caps.ETC: chains/ethereum.toml names no asset ETC"),
        (sound.replace('"20"', '"many"'), "[hot]: caps.ETH: per_hour: "),
        (sound.replace(HOT, ANN), "the key of hot is that of"),
        (sound.replace(HOT, "0x12"), "wallets.toml [hot]"),
        (sound.replace("keyring:hot", "socket:/run/x"), 'is hot, and has signer = "keyring:NAME"'),
        (sound.replace("keyring:hot", "keyring:cold"), "keyring:cold, which is not set"),
    ):
        wallets.write_text(text, encoding="utf-8")
        refused(signer, 8, words)
    refused(signer, 8, "there is no wallet 'hat'", "hat", "--socket", str(signer.socket))
    refused(signer, 2, "is no user of this machine", "hot", "--socket", "/x", "--allow-user", "nobody-of-this-name")


def test_a_second_one_leaves_the_place_to_the_first(signer: Signer) -> None:
    signer.start()
    refused(signer, 75, "another signer answers at")
    assert signer.stop() == 0


def test_the_socket_of_a_desk_is_named_by_its_whole_path(desk_of: Open, anvil: Anvil) -> None:
    desk = desk_of(anvil, Path("hot.sock"))
    done = desk.run("withdraw", "run")
    assert done.exit_code == 8
    assert "write the whole path" in done.stderr
