"""A wallet whose key is behind `eth_signTransaction`: paid once, whatever is signed, and nothing that was not asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from cryptosupport.outside.keyrings import set_password
from tests.commands.payingdesk import ANN, BEN, ETHER, HOT, KEY, by_hand
from tests.commands.peopledesk import sealed
from tests.commands.web3signerdesk import OTHER, OTHER_KEY, TOKEN, Signed, signed, signed_for
from tests.hostile import PAGE, Reply, RpcError

__all__ = ["sealed", "signed_for"]  # fixtures


def ends_well(desk: Signed, *paid: str) -> None:
    """With an honest signer each is paid once, by as many transactions as there are."""
    desk.signer.honest_again()
    desk.pay()
    desk.settle()
    desk.pay()
    assert [desk.state(each) for each in paid] == ["final"] * len(paid)
    assert desk.balance(ANN) == len(paid) * ETHER
    assert desk.sent() == len(paid)
    done = desk.run("reconcile", "--json")
    assert (done.exit_code, {each["kind"] for each in done.json} - {"repeat"}) == (0, set())
    assert desk.run("audit", "verify").exit_code == 0


def test_what_is_approved_is_signed_elsewhere_and_paid_once(signed_for: Signed) -> None:
    signed_for.submit("w-1", "1.5")
    signed_for.submit("w-2", "2", BEN)
    signed_for.pay()
    signed_for.settle()
    assert signed_for.pay() == {"w-1": "final", "w-2": "final"}
    assert (signed_for.balance(ANN), signed_for.balance(BEN)) == (3 * ETHER // 2, 2 * ETHER)
    first, second = signed_for.signer.asked_to_sign
    assert (first["to"], first["value"], first["nonce"], first["chainId"]) == (
        ANN,
        hex(3 * ETHER // 2),
        "0x0",
        "0x7a69",
    )
    assert (second["to"], second["nonce"]) == (BEN, "0x1")
    assert {each.headers["Authorization"] for each in signed_for.signer.requests} == {TOKEN}
    assert signed_for.run("withdraw", "receipt", "w-1").exit_code == 0
    assert (signed_for.folder / "data" / "signer" / "signed.db").exists()


def test_a_payment_is_bumped_and_killed_through_it(signed_for: Signed) -> None:
    signed_for.node.rpc("evm_setAutomine", False)
    signed_for.submit("w-1")
    assert signed_for.pay() == {"w-1": "broadcast"}
    assert signed_for.run("withdraw", "bump", "w-1", "--operator", "ops").exit_code == 0
    assert signed_for.run("withdraw", "kill", "w-1", "--operator", "ops").exit_code == 0
    signed_for.settle()
    assert signed_for.pay() == {"w-1": "cancelled"}
    assert signed_for.balance(ANN) == 0
    assert [each["nonce"] for each in signed_for.signer.asked_to_sign] == ["0x0"] * 3
    assert signed_for.signer.asked_to_sign[-1]["to"] == HOT


def test_where_its_key_is_is_told_and_no_secret(signed_for: Signed) -> None:
    done = signed_for.run("wallet", "list", "--json")
    assert [each["signer"] for each in done.json] == [f"web3signer:127.0.0.1:{signed_for.signer.port}"]
    signed_for.signer.always(Reply(b"no", 401))
    signed_for.submit("w-1")
    said = signed_for.run("withdraw", "run")
    assert said.exit_code == 6
    assert "s3cr3t" not in done.stdout + said.stdout + said.stderr
    kinds = {each["name"]: each["kind"] for each in signed_for.run("keys", "list", "--json").json}
    assert kinds["web3signer"] == "signer"


def test_what_is_above_the_caps_is_never_asked_for(signed_for: Signed) -> None:
    signed_for.submit("w-1", "11")
    done = signed_for.run("withdraw", "run")
    assert done.exit_code == 3
    assert f"signs for at most {10 * ETHER} base units of ETH in one transaction" in done.stderr
    assert signed_for.signer.asked_to_sign == []
    signed_for.submit("w-2", "1", BEN)
    signed_for.run("withdraw", "run")
    assert signed_for.sent() == 0  # w-1 has the place before it


def test_the_hour_counts_across_passes(signed_for: Signed) -> None:
    for number in (1, 2, 3):
        signed_for.submit(f"w-{number}", "9")
    done = signed_for.run("withdraw", "run")
    assert done.exit_code == 3
    assert len(signed_for.signer.asked_to_sign) == 2
    signed_for.settle()
    assert signed_for.run("withdraw", "run").exit_code == 3
    assert signed_for.balance(ANN) == 18 * ETHER


# -- one that is not honest -------------------------------------------------------------------------------------------


def legacy(transaction: dict[str, Any]) -> None:
    transaction["gasPrice"] = transaction.pop("maxFeePerGas")
    del transaction["maxPriorityFeePerGas"]


INSTEAD: dict[str, Callable[[dict[str, Any]], object]] = {
    "another recipient": lambda it: it.update(to=OTHER),
    "another amount": lambda it: it.update(value=hex(2 * ETHER)),
    "another nonce": lambda it: it.update(nonce="0x1"),
    "another chain": lambda it: it.update(chainId="0x1"),
    "a higher tip": lambda it: it.update(maxPriorityFeePerGas=it["maxFeePerGas"]),
    "a higher fee": lambda it: it.update(maxFeePerGas=hex(2 * int(it["maxFeePerGas"], 16))),
    "more gas for less": lambda it: it.update(
        gas=hex(2 * int(it["gas"], 16)), maxFeePerGas=hex(int(it["maxFeePerGas"], 16) // 2), maxPriorityFeePerGas="0x0"
    ),
    "call data": lambda it: it.update(data="0x00"),
    "another type": legacy,
}


@pytest.mark.parametrize("name", INSTEAD)
def test_what_it_signs_otherwise_is_refused_and_never_sent(signed_for: Signed, name: str) -> None:
    signed_for.submit("w-1")
    signed_for.signer.instead = INSTEAD[name]
    done = signed_for.run("withdraw", "run")
    assert done.exit_code == 3, done.stderr
    assert (signed_for.sent(), signed_for.balance(ANN), signed_for.state("w-1")) == (0, 0, "reserved")
    assert [each["kind"] for each in signed_for.run("audit", "log", "-o", "jsonl").jsonl].count("refused") == 1
    ends_well(signed_for, "w-1")


ANSWERS: dict[str, Callable[[bytes], object]] = {
    "nothing": lambda raw: None,
    "no hex": lambda raw: "0xzz",
    "half of it": lambda raw: "0x" + raw.hex()[:80],
    "more behind it": lambda raw: "0x" + raw.hex() + "00",
    "a txid": lambda raw: "0x" + "5a" * 32,
    "a number": lambda raw: 7,
    "a list": lambda raw: ["0x" + raw.hex()],
    "an error": lambda raw: RpcError(-32603, "the HSM is locked"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_no_transaction_is_refused(signed_for: Signed, name: str) -> None:
    signed_for.submit("w-1")
    signed_for.signer.answer_with = ANSWERS[name]
    done = signed_for.run("withdraw", "run")
    assert done.exit_code == 3, done.stderr
    assert (signed_for.sent(), signed_for.state("w-1")) == (0, "reserved")
    ends_well(signed_for, "w-1")


def test_another_key_is_refused(signed_for: Signed) -> None:
    signed_for.submit("w-1")
    signed_for.signer.key = OTHER_KEY
    done = signed_for.run("withdraw", "run")
    assert done.exit_code == 3
    assert f"they are signed by {OTHER}, and not by {HOT}" in done.stderr
    signed_for.signer.honest_again()
    signed_for.signer.accounts = [OTHER]
    done = signed_for.run("withdraw", "run")
    assert done.exit_code == 8
    assert f"the key of hot is that of {OTHER}" in done.stderr
    assert signed_for.sent() == 0
    ends_well(signed_for, "w-1")


def test_an_old_signature_of_its_own_is_no_answer(signed_for: Signed) -> None:
    signed_for.submit("w-1")
    signed_for.pay()
    old = signed({k: v for k, v in signed_for.signer.asked_to_sign[0].items() if k != "from"}, signed_for.signer.key)
    signed_for.submit("w-2")
    signed_for.signer.answer_with = lambda raw: "0x" + old.hex()
    assert signed_for.run("withdraw", "run").exit_code == 3
    assert signed_for.sent() == 1
    ends_well(signed_for, "w-1", "w-2")


GONE = {
    "HTTP 401": Reply(b"", 401),
    "HTTP 403": Reply(b"", 403),
    "HTTP 500": Reply(b"oops", 500),
    "web page": Reply(PAGE, 200, {"Content-Type": "text/html"}),
    "garbage": Reply(b"\x00\xff{"),
    "hangs up": Reply(reset=True),
    "redirect": Reply(b"", 302, {"Location": "http://127.0.0.1:9/"}),
}


@pytest.mark.parametrize("name", GONE)
def test_while_it_gives_no_answer_nothing_is_paid(signed_for: Signed, name: str) -> None:
    signed_for.submit("w-1")
    signed_for.signer.always(GONE[name])
    done = signed_for.run("withdraw", "run")
    assert done.exit_code == 6, done.stderr
    assert (signed_for.sent(), signed_for.state("w-1")) == (0, "approved")  # whose the key is was not told either
    ends_well(signed_for, "w-1")


def test_a_lost_answer_is_asked_for_again_with_the_same_nonce(signed_for: Signed) -> None:
    signed_for.submit("w-1")
    signed_for.signer.always(
        lambda exchange: (
            Reply(reset=True) if exchange.request.calls[0][0] == "eth_signTransaction" else Reply(exchange.encoded())
        )
    )
    assert signed_for.run("withdraw", "run").exit_code == 6
    assert len(signed_for.signer.asked_to_sign) == 1  # what asks for a signature goes out once
    ends_well(signed_for, "w-1")
    assert {each["nonce"] for each in signed_for.signer.asked_to_sign} == {"0x0"}


# -- doctor -----------------------------------------------------------------------------------------------------------


def verdict(desk: Signed) -> tuple[int, str, str]:
    done = desk.run("doctor", "--json")
    found = next(each for each in done.json if each["name"] == "wallet hot")
    return done.exit_code, found["verdict"], found["message"]


def test_doctor_asks_whether_it_has_the_key(signed_for: Signed) -> None:
    at = f"127.0.0.1:{signed_for.signer.port}"
    code, outcome, said = verdict(signed_for)
    assert (code, outcome) == (0, "ok")
    assert f"its signer at {at} answers, and has its key" in said
    assert signed_for.signer.asked_to_sign == []
    signed_for.signer.accounts = [OTHER]
    code, outcome, said = verdict(signed_for)
    assert (code, outcome) == (8, "fail")
    assert f"the signer at {at} has the key of {OTHER}, not of {HOT}" in said
    signed_for.signer.accounts = "\x1b[31mnone"
    assert verdict(signed_for)[:2] == (8, "fail")
    signed_for.signer.always(Reply(b"", 401))
    assert verdict(signed_for)[:2] == (6, "fail")
    set_password("web3signer", "two\nlines")
    code, outcome, said = verdict(signed_for)
    assert (code, outcome) == (8, "fail")
    assert "two" not in said


def test_the_settings_of_it_are_checked(signed_for: Signed) -> None:
    path = signed_for.folder / "configs" / "wallets.toml"
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace("127.0.0.1", "192.0.2.7"), encoding="utf-8")
    done = signed_for.run("withdraw", "run", "--json")
    assert done.exit_code == 8
    assert "use https://" in json.loads(done.stderr)["error"]["message"]
    path.write_text(
        f'{whole}[cold]\nchain = "ethereum"\nrole = "cold"\nsigner_header = "keyring:x"\n', encoding="utf-8"
    )
    done = signed_for.run("withdraw", "run", "--json")
    assert done.exit_code == 8
    assert "signer_header: it goes with" in json.loads(done.stderr)["error"]["message"]


# -- a nonce that was lost ---------------------------------------------------------------------------------------------


def test_a_lost_answer_is_none_of_those_that_a_key_here_gave_before(signed_for: Signed) -> None:
    """The key was here, then elsewhere: what was signed there, and not answered, may be what has the nonce."""
    wallets = signed_for.folder / "configs" / "wallets.toml"
    elsewhere = wallets.read_text(encoding="utf-8")
    here = re.sub('(?m)^signer = ".*"$', 'signer = "keyring:hot"', re.sub("(?m)^signer_header = .*\n", "", elsewhere))
    wallets.write_text(here, encoding="utf-8")
    set_password("hot", KEY)
    signed_for.node.rpc("evm_setAutomine", False)
    signed_for.submit("w-1")
    assert signed_for.pay() == {"w-1": "broadcast"}
    assert signed_for.run("withdraw", "bump", "w-1", "--operator", "ops").exit_code == 0
    wallets.write_text(elsewhere, encoding="utf-8")
    signed_for.signer.always(
        lambda exchange: (
            Reply(reset=True) if exchange.request.calls[0][0] == "eth_signTransaction" else Reply(exchange.encoded())
        )
    )
    assert signed_for.run("withdraw", "bump", "w-1", "--operator", "ops").exit_code == 6
    by_hand(signed_for.node, 0, ETHER, to=ANN)  # as if it were that one
    signed_for.settle()
    signed_for.signer.honest_again()
    done = signed_for.run("signer", "retire", "hot", "0")
    assert done.exit_code == 3, (done.stdout, done.stderr)
    assert "its answer was lost" in done.stderr
