"""A wallet whose key is elsewhere, asked over a folder: paid once, whatever comes back, and only what was asked."""

from __future__ import annotations

import os
import sqlite3
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.bitcoindesk import KINDS, Bitcoindesk, descriptor
from tests.commands.psbtdesk import (
    OTHER_MNEMONIC,
    Papers,
    changed,
    maps_of,
    open_bitcoindesk,
    open_papers,
    sealed,
)

__all__ = ["open_bitcoindesk", "open_papers", "sealed"]  # fixtures

Open = Callable[..., Papers]
Maps = list[dict[bytes, bytes]]


def remembered(desk: Bitcoindesk) -> int:
    """How many signatures the signer's memory has."""
    with sqlite3.connect(f"file:{desk.folder / 'data' / 'signer' / 'signed.db'}?mode=ro", uri=True) as connection:
        return int(connection.execute("select count(*) from signature").fetchone()[0])


@pytest.mark.parametrize(
    ("kind", "options"), [("wpkh", ()), ("wpkh", ("partial", "base64")), ("tr", ("base64",)), ("tr", ("partial",))]
)
def test_what_is_signed_elsewhere_is_paid_once(open_papers: Open, kind: str, options: tuple[str, ...]) -> None:
    papers = open_papers(kind)
    papers.desk.submit(a="0.1", b="0.2")
    request = papers.waits("a", "b")
    papers.sign(request, *options)
    assert papers.desk.pay() == {"a": "broadcast", "b": "broadcast"}
    papers.ends_well("a", "b")
    assert papers.desk.run("withdraw", "receipt", "a").exit_code == 0


def test_the_same_payment_asks_for_the_same_file_and_is_remembered_once(open_papers: Open) -> None:
    papers = open_papers()
    papers.desk.submit(a="0.1")
    request = papers.waits("a")
    asked, memory = request.read_bytes(), remembered(papers.desk)
    request.unlink()
    assert (papers.waits("a"), request.read_bytes()) == (request, asked)
    for _ in range(3):
        papers.waits("a")
    assert remembered(papers.desk) == memory == 1
    papers.desk.submit(b="0.1")  # another payment does not wait for it
    papers.desk.run("withdraw", "run")
    assert len(papers.requests) == 2
    for each in papers.requests:
        papers.sign(each)
    assert papers.desk.pay() == {"a": "broadcast", "b": "broadcast"}
    papers.ends_well("a", "b")


@pytest.mark.parametrize("kind", KINDS)
def test_a_signer_sees_whose_coins_it_spends_and_what_comes_back(open_papers: Open, kind: str) -> None:
    """Fingerprint and path of every coin and of the change; of P2WPKH the transactions that made the coins."""
    papers = open_papers(kind, ("0.05", "0.06", "0.07"))
    papers.desk.submit(a="0.12")
    maps = maps_of(papers.waits("a").read_bytes())
    origin = bytes.fromhex(descriptor(kind).partition("[")[2][:8])
    inputs, change = maps[1:-2], maps[-1]
    assert len(inputs) > 1
    for each in [*inputs, change]:
        first = b"\x02" if each is change else b"\x06"
        kinds = {key[:1] for key in each}
        assert (b"\x16" if kind == "tr" and each is not change else b"\x07" if kind == "tr" else first) in kinds
        assert any(origin in value for value in each.values())
    if kind == "wpkh":
        assert all(b"\x00" in each for each in inputs)
    asked = papers.request.stat()
    assert asked.st_mode & 0o007 == 0


def spoil_output(place: int, more: int) -> Callable[[Maps], None]:
    """Another amount in an output of the transaction."""

    def spoil(maps: Maps) -> None:
        tx = maps[0][b"\x00"]
        amounts = [at for at in range(len(tx) - 9) if tx[at + 8 : at + 11] == b"\x16\x00\x14"]
        at = amounts[place]
        amount = int.from_bytes(tx[at : at + 8], "little") + more
        maps[0][b"\x00"] = tx[:at] + amount.to_bytes(8, "little") + tx[at + 8 :]

    return spoil


def another_recipient(maps: Maps) -> None:
    tx = maps[0][b"\x00"]
    at = tx.index(b"\x16\x00\x14") + 3
    maps[0][b"\x00"] = tx[:at] + bytes(20) + tx[at + 20 :]


def another_locktime(maps: Maps) -> None:
    maps[0][b"\x00"] = maps[0][b"\x00"][:-4] + b"\x01\x00\x00\x00"


def another_sequence(maps: Maps) -> None:
    tx = maps[0][b"\x00"]
    maps[0][b"\x00"] = tx.replace(b"\xfd\xff\xff\xff", b"\xfe\xff\xff\xff", 1)


TAMPERED: dict[str, tuple[Callable[[Maps], None], str]] = {
    "more for the customer": (spoil_output(0, 1000), "in the place of 10000000"),
    "a higher fee": (spoil_output(1, -100_000), "its output 1 pays"),
    "another recipient": (another_recipient, "its output 0 pays somebody else"),
    "another locktime": (another_locktime, "its version or locktime is another"),
    "another sequence": (another_sequence, "it spends other coins, or with another sequence"),
}


def test_what_was_changed_before_it_was_signed_is_refused(open_papers: Open) -> None:
    """Whoever carries the file has something else signed by the right key: it is not sent."""
    papers = open_papers()
    papers.desk.submit(a="0.1")
    request = papers.waits("a")
    other = request.with_name("other")
    for spoil, said in TAMPERED.values():
        other.write_bytes(changed(request.read_bytes(), spoil))
        papers.sign(other, to=papers.answer_to(request))
        refused(papers, said)
        assert papers.desk.show("a")["state"] == "reserved"
    papers.sign(request)
    papers.desk.pay()
    papers.ends_well("a")


def test_a_signature_that_does_not_cover_all_is_refused(open_papers: Open) -> None:
    papers = open_papers()
    papers.desk.submit(a="0.1")
    request = papers.waits("a")

    def none(maps: Maps) -> None:
        maps[1][b"\x03"] = b"\x02\x00\x00\x00"

    other = request.with_name("other")
    other.write_bytes(changed(request.read_bytes(), none))
    papers.sign(other, "any-sighash", "partial", to=papers.answer_to(request))
    refused(papers, "does not cover all that is done")
    papers.sign(request)
    papers.desk.pay()
    papers.ends_well("a")


def refused(papers: Papers, said: str, code: int = 3) -> None:
    """What came back is not used."""
    done = papers.desk.run("withdraw", "run")
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    assert papers.desk.node.rpc("getrawmempool") == []


def flipped(content: bytes) -> bytes:
    """One bit of the signature is another."""
    maps = maps_of(content)
    (key,) = (each for each in maps[1] if each[:1] == b"\x02")
    value = bytearray(maps[1][key])
    value[20] ^= 1
    maps[1][key] = bytes(value)
    return changed(content, lambda it: it.__setitem__(slice(None), maps))


def moved(content: bytes) -> bytes:
    """The signature is said to be of another key."""

    def move(maps: Maps) -> None:
        (key,) = (each for each in maps[1] if each[:1] == b"\x02")
        maps[1][b"\x02\x03" + bytes(31) + b"\x01"] = maps[1].pop(key)

    return changed(content, move)


WRONG: dict[str, tuple[Callable[[bytes], bytes], str, int]] = {
    "half a file": (lambda it: it[: len(it) // 2], "is it still being copied?", 0),
    "all but a byte": (lambda it: it[:-1], "is it still being copied?", 0),
    "an empty file": (lambda it: b"", "does not begin as a PSBT", 0),
    "a photograph": (lambda it: b"\xff\xd8\xff" * 100, "does not begin as a PSBT", 0),
    "more behind it": (lambda it: it + b"\x00", "something follows", 3),
    "two of them": (lambda it: it + it, "something follows", 3),
    "a spoilt signature": (flipped, "is not one of this transaction", 3),
    "another key's": (moved, "signed by another key", 3),
    "no signature": (
        lambda it: changed(it, lambda maps: [maps[1].pop(key) for key in list(maps[1]) if key[:1] == b"\x02"]),
        "input 0 has no signature",
        0,
    ),
    "version 2": (lambda it: changed(it, lambda maps: maps[0].pop(b"\x00")), "another version than 0", 3),
}


def test_what_is_no_signature_of_it_is_not_used(open_papers: Open) -> None:
    papers = open_papers()
    papers.desk.submit(a="0.1")
    request = papers.waits("a")
    answer = papers.sign(request, "partial")
    whole = answer.read_bytes()
    for spoil, said, code in WRONG.values():
        answer.write_bytes(spoil(whole))
        refused(papers, said, code)
        assert papers.desk.show("a")["state"] == "reserved"
    answer.write_bytes(whole)
    assert papers.desk.pay() == {"a": "broadcast"}
    papers.ends_well("a")


def test_what_another_mnemonic_signs_is_not_used(open_papers: Open) -> None:
    papers = open_papers()
    papers.desk.submit(a="0.1")
    request = papers.waits("a")
    papers.sign(request, mnemonic=OTHER_MNEMONIC, code=1)
    refused(papers, "has no signature", 0)
    papers.sign(request)
    papers.desk.pay()
    papers.ends_well("a")


def test_what_is_no_plain_file_is_not_read(open_papers: Open) -> None:
    papers = open_papers()
    papers.desk.submit(a="0.1")
    request = papers.waits("a")
    answer = papers.answer_to(request)
    real = papers.sign(request, to=request.with_name("real"))
    makes: list[tuple[Callable[[], object], Callable[[], object]]] = [
        (lambda: answer.symlink_to(real), answer.unlink),
        (answer.mkdir, answer.rmdir),
        (lambda: os.mkfifo(answer), answer.unlink),
    ]
    for make, undo in makes:
        make()
        refused(papers, "cannot be read")
        undo()
    real.rename(answer)
    papers.desk.pay()
    papers.ends_well("a")


def test_a_request_that_somebody_changed_is_told_and_written_anew(open_papers: Open) -> None:
    """D16: whoever can write the folder would have something else signed."""
    papers = open_papers()
    papers.desk.submit(a="0.1")
    request = papers.waits("a")
    asked = request.read_bytes()
    request.write_bytes(changed(asked, another_recipient))
    refused(papers, "was changed by somebody, and is written anew")
    assert request.read_bytes() == asked
    papers.sign(papers.waits("a"))
    papers.desk.pay()
    papers.ends_well("a")


# -- replacing -------------------------------------------------------------------------------------------------------


def paid(papers: Papers) -> Path:
    """A payment that waits for a block; the file that it was signed with."""
    papers.desk.submit(a="0.1")
    answer = papers.sign(papers.waits("a"))
    assert papers.desk.pay() == {"a": "broadcast"}
    return answer


def bumped(papers: Papers, what: str = "bump") -> Path:
    """It is to be replaced; the new request."""
    done = papers.desk.run("withdraw", what, "a", "--operator", "ops")
    assert (done.exit_code, "waits for a signature" in done.stderr) == (9, True), done.stderr
    return papers.request


def test_a_bump_waits_and_what_is_signed_is_sent_meanwhile(open_papers: Open) -> None:
    papers = open_papers()
    papers.desk.resend_at_once()
    first = paid(papers)
    sent = papers.desk.show("a")["txid"]
    request = bumped(papers)
    assert first.exists()  # it stays there, and is not looked at again
    assert papers.answer_to(request) != first
    papers.desk.forget(sent)
    papers.desk.run("withdraw", "run")
    assert papers.desk.node.rpc("getrawmempool") == [sent]
    again = papers.desk.run("withdraw", "bump", "a", "--operator", "ops")
    assert (again.exit_code, "its last attempt is not signed" in again.stderr) == (3, True)
    papers.sign(request)
    papers.desk.pay()
    assert papers.desk.node.rpc("getrawmempool") == [papers.desk.show("a")["txid"]] != [sent]
    papers.ends_well("a")
    assert papers.desk.show("a")["payouts"][0]["counts"] == 2


def test_a_file_of_an_older_attempt_is_no_signature_of_the_newer_one(open_papers: Open) -> None:
    papers = open_papers()
    first = paid(papers)
    request = bumped(papers)
    papers.answer_to(request).write_bytes(first.read_bytes())
    done = papers.desk.run("withdraw", "run")
    assert (done.exit_code, "its output 1 pays" in done.stderr) == (3, True)
    refused_import = papers.desk.run("signer", "import", str(first))
    assert (refused_import.exit_code, "older attempt" in refused_import.stderr) == (4, True)
    papers.desk.node.mine(3)  # the first attempt is the one that counts
    papers.desk.pay()
    assert papers.desk.show("a")["payouts"][0]["counts"] == 1
    assert papers.desk.got(papers.desk.show("a")["destination"]) == 10_000_000


def test_what_is_killed_before_it_was_signed_is_never_sent(open_papers: Open) -> None:
    """Its signature may come all the same: it is not used any more."""
    papers = open_papers()
    papers.desk.submit(a="0.1")
    request = papers.waits("a")
    late = papers.sign(request, to=request.with_name("late"))
    cancel = bumped(papers, "kill")
    assert (cancel != request, request.exists()) == (True, False)
    late.rename(papers.answer_to(request))
    papers.desk.run("withdraw", "run")
    assert papers.desk.node.rpc("getrawmempool") == []
    assert papers.desk.show("a")["state"] == "cancelling"
    papers.sign(cancel)
    papers.desk.pay()
    papers.desk.node.mine(3)
    assert papers.desk.pay() == {"a": "cancelled"}
    assert papers.desk.got(papers.desk.show("a")["destination"]) == 0


def test_what_is_to_be_taken_back_is_not_sent_again_meanwhile(open_papers: Open) -> None:
    papers = open_papers()
    papers.desk.resend_at_once()
    paid(papers)
    sent = papers.desk.show("a")["txid"]
    cancel = bumped(papers, "kill")
    papers.desk.forget(sent)
    papers.desk.run("withdraw", "run")
    assert papers.desk.node.rpc("getrawmempool") == []
    papers.sign(cancel)
    papers.desk.pay()
    papers.desk.node.mine(3)
    assert papers.desk.pay() == {"a": "cancelled"}


def test_what_the_other_side_sent_itself_is_no_stranger(open_papers: Open) -> None:
    """Whoever signs can send it too: the memory here knows that it was asked for, and the file settles it."""
    papers = open_papers()
    papers.desk.submit(a="0.1")
    request = papers.waits("a")
    answer = papers.sign(request, to=request.with_name("kept"))
    made = papers.desk.node.rpc("finalizepsbt", b64encode(answer.read_bytes()).decode())
    papers.desk.node.rpc("sendrawtransaction", made["hex"])
    done = papers.desk.run("signer", "import", str(answer))
    assert done.exit_code == 0, done.stderr
    assert papers.desk.pay() == {"a": "broadcast"}
    papers.ends_well("a")
    assert papers.desk.run("freeze", "list", "-o", "jsonl").jsonl == []


# -- limits, and taking it in ----------------------------------------------------------------------------------------

CAPS = '[hot.caps.BTC]\nper_transaction = "0.15"\nper_hour = "0.2"\n'


def test_what_is_above_the_caps_is_never_asked_for(open_papers: Open) -> None:
    papers = open_papers(coins=("1", "1", "1"), more=CAPS)
    papers.desk.submit(a="0.16")
    done = papers.desk.run("withdraw", "run")
    assert (done.exit_code, "signs for at most 15000000 base units" in done.stderr) == (3, True)
    assert papers.requests == []
    papers.desk.submit(b="0.15")
    papers.desk.run("withdraw", "run")
    papers.desk.submit(c="0.1")
    done = papers.desk.run("withdraw", "run")
    assert "in an hour; 15000000 are signed for" in done.stderr
    assert len(papers.requests) == 1


def test_a_freeze_keeps_what_came_back_from_being_sent(open_papers: Open) -> None:
    papers = open_papers()
    papers.desk.submit(a="0.1")
    papers.sign(papers.waits("a"))
    assert papers.desk.run("freeze", "add", "customer=c-a", "--reason", "a drill", "--operator", "ann").exit_code == 0
    papers.desk.run("withdraw", "run")
    assert papers.desk.node.rpc("getrawmempool") == []
    assert papers.desk.show("a")["state"] == "reserved"


def test_a_file_is_taken_in_for_the_request_that_waits_for_it(open_papers: Open, tmp_path: Path) -> None:
    papers = open_papers()
    papers.desk.submit(a="0.1")
    request = papers.waits("a")
    carried = papers.sign(request, "base64", to=tmp_path / "stick.psbt")
    done = papers.desk.run("signer", "import", str(carried), "--json")
    assert done.exit_code == 0, done.stderr
    assert (done.json["wallet"], done.json["signed"]) == ("hot", str(papers.answer_to(request)))
    assert papers.desk.pay() == {"a": "broadcast"}
    assert papers.desk.show("a")["txid"] == done.json["txid"]
    again = papers.desk.run("signer", "import", str(carried))
    assert (again.exit_code, "its signature is known already" in again.stderr) == (4, True)
    papers.ends_well("a")


def test_what_is_no_answer_to_a_request_is_not_taken_in(open_papers: Open, tmp_path: Path) -> None:
    papers = open_papers()
    papers.desk.submit(a="0.1")
    request = papers.waits("a")
    carried = papers.sign(request, "partial", to=tmp_path / "stick.psbt")
    whole = carried.read_bytes()
    for spoil, code in ((flipped, 3), (moved, 3), (WRONG["no signature"][0], 9), (WRONG["half a file"][0], 9)):
        carried.write_bytes(spoil(whole))
        assert papers.desk.run("signer", "import", str(carried)).exit_code in (code, 2)
        assert not papers.answer_to(request).exists()
    carried.write_bytes(changed(whole, another_recipient))
    assert papers.desk.run("signer", "import", str(carried)).exit_code == 4
    assert papers.desk.run("signer", "import", str(tmp_path / "nothing")).exit_code == 2


def test_the_doctor_says_how_many_wait(open_papers: Open) -> None:
    papers = open_papers()
    papers.desk.submit(a="0.1")
    papers.waits("a")
    done = papers.desk.run("doctor", "-o", "jsonl")
    (told,) = (each["message"] for each in done.jsonl if each["name"] == "wallet hot")
    assert f"its signer is asked over {papers.folder}, where 1 requests wait for a signature" in told
    assert [each["signer"] for each in papers.desk.run("wallet", "list", "--json").json] == ["psbt"]
    papers.folder.chmod(0o777)
    refused(papers, "everybody can write the folder", 8)
    papers.folder.chmod(0o700)
    papers.folder.rename(papers.folder.with_name("gone"))
    refused(papers, "cannot be used", 8)


def test_a_memory_of_a_signer_that_knows_more_is_asked_for_nothing_else(open_papers: Open) -> None:
    """B13: the ledger was restored; it forgot what was asked for, and asks for nothing else in its place."""
    papers = open_papers()
    ledger = papers.desk.folder / "data" / "cryptosupport.db"
    papers.desk.submit(a="0.1")
    assert papers.desk.run("ledger", "backup", str(papers.desk.folder / "old.db")).exit_code == 0
    request = papers.sign(papers.waits("a"))
    for each in ledger.parent.glob("cryptosupport.db*"):
        each.unlink()
    (papers.desk.folder / "old.db").rename(ledger)
    ledger.chmod(0o600)
    done = papers.desk.run("withdraw", "run")
    assert (done.exit_code, "it is an older copy. hot is frozen, and pays nothing" in done.stderr) == (3, True)
    assert papers.desk.show("a")["state"] == "approved"
    assert papers.requests == [request.with_name(request.name.replace("-signed", ""))]
    assert papers.desk.node.rpc("getrawmempool") == []
