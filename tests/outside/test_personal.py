"""The boxes that personal data is kept in: what opens, what does not, and what a key may look like."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.errors import BadSettings, Tampered
from cryptosupport.domain.personal import in_clear, key_of
from cryptosupport.outside.personal import Box, KeptKeys, key_id, read_keys

ONE, TWO = bytes(range(32)), bytes(range(32, 64))
HERE = "withdrawal.note/w-1"


def sealed(plain: bytes = b"urgent", where: str = HERE, key: bytes = ONE) -> str:
    return Box((key,)).seal(plain, where, key_id(key))


@given(st.binary(max_size=300), st.text(max_size=30))
def test_what_is_sealed_opens_where_it_was_sealed_and_shows_nothing(plain: bytes, where: str) -> None:
    token = sealed(plain, where)
    assert Box((TWO, ONE)).open(token, where) == plain
    assert re.fullmatch(r"box1:[0-9a-f]{8}:[A-Za-z0-9+/]+=*", token)
    assert key_of(token) == key_id(ONE)


def test_a_box_is_aes_256_gcm_as_the_module_says() -> None:
    _, id, text = sealed().split(":")
    data = base64.b64decode(text)
    bound = b"cryptosupport.personal-data/1\n" + id.encode() + b"\n" + HERE.encode()
    assert AESGCM(ONE).decrypt(data[:12], data[12:], bound) == b"urgent"
    assert id == hashlib.sha256(b"cryptosupport.personal-data/1\n" + ONE).hexdigest()[:8]


def test_the_same_text_is_never_sealed_the_same_way() -> None:
    assert len({sealed() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("where", ["withdrawal.note/w-2", "withdrawal.beneficiary/w-1", "note.text/1/w-1", ""])
def test_what_is_moved_does_not_open(where: str) -> None:
    with pytest.raises(Tampered, match="changed in the database behind this program, or moved there") as caught:
        Box((ONE,)).open(sealed(), where)
    assert caught.value.exit_code == 3


def test_no_change_of_a_single_character_opens() -> None:
    token, box = sealed(), Box((ONE, TWO))
    for place in range(len(token)):
        other = "A" if token[place] != "A" else "B"
        with pytest.raises((Tampered, BadSettings)):
            box.open(token[:place] + other + token[place + 1 :], HERE)
    for bad in (token[:-1], token + "=", token + "\n", token[:20], "box1:", f"box1:{key_id(ONE)}:", "urgent", ""):
        with pytest.raises(Tampered):
            box.open(bad, HERE)


def test_a_key_under_the_id_of_another_opens_nothing() -> None:
    token = sealed().replace(key_id(ONE), key_id(TWO))
    with pytest.raises(Tampered):
        Box((ONE, TWO)).open(token, HERE)


def test_a_missing_key_is_named_with_what_to_do() -> None:
    box = Box((TWO,))
    uses: list[Callable[[], object]] = [
        lambda: box.open(sealed(), HERE),
        lambda: box.seal(b"", HERE, key_id(ONE)),
    ]
    for use in uses:
        with pytest.raises(BadSettings, match=f"key {key_id(ONE)}.*`cryptosupport keys set personal-data`") as caught:
            use()
        assert ONE.hex() not in caught.value.message


@given(st.text())
def test_no_text_in_clear_is_taken_for_a_sealed_one(text: str) -> None:
    for plain in (text, f"box1:{text}", f"\x01{text}", sealed()):
        kept = in_clear(plain)
        assert not kept.startswith("box1:")
        assert kept.removeprefix("\x01") == plain or kept == plain
        assert in_clear(plain) != in_clear(f"\x01{plain}")


# -- the keys in the keyring -----------------------------------------------------------------------------------------


def test_keys_are_64_hex_digits_each_the_newest_first() -> None:
    assert read_keys(f"{TWO.hex()} {ONE.hex().upper()}\n") == (TWO, ONE)
    assert read_keys(f"{ONE.hex()} {ONE.hex()}") == (ONE,)


@pytest.mark.parametrize("text", ["", " ", "ab" * 31, "ab" * 33, f"{'ab' * 32},{'cd' * 32}", "zz" * 32, "secret words"])
def test_anything_else_is_no_key_and_is_not_shown(text: str) -> None:
    with pytest.raises(BadSettings, match="64 hexadecimal digits") as caught:
        read_keys(text)
    assert not text.strip() or text not in caught.value.message


class Ring:
    """What a keyring holds; ``asked`` counts how often."""

    def __init__(self, *keys: bytes) -> None:
        self.text: str | None = " ".join(key.hex() for key in keys) or None
        self.asked = 0

    def read(self) -> str | None:
        self.asked += 1
        return self.text

    def write(self, text: str) -> None:
        self.text = text

    def keys(self, warn: Callable[[], None] = lambda: None) -> KeptKeys:
        return KeptKeys(self.read, self.write, warn)


def test_the_keyring_is_asked_when_there_is_something_to_open_and_once() -> None:
    ring = Ring(ONE)
    keys = ring.keys()
    assert ring.asked == 0
    assert [keys.open(sealed(), HERE) for _ in range(3)] == [b"urgent"] * 3
    assert ring.asked == 1


def test_a_key_that_was_made_meanwhile_is_found() -> None:
    ring = Ring(ONE)
    keys = ring.keys()
    assert keys.key_ids() == (key_id(ONE),)
    ring.text = f"{TWO.hex()} {ONE.hex()}"
    assert keys.open(sealed(key=TWO), HERE) == b"urgent"
    assert keys.key_ids() == (key_id(TWO), key_id(ONE))


def test_a_new_key_goes_in_front_and_the_others_stay_until_they_are_forgotten() -> None:
    ring = Ring()
    keys = ring.keys()
    assert keys.key_ids() == ()
    first = keys.make()
    second = keys.make()
    assert keys.key_ids() == (second, first)
    assert keys.open(keys.seal(b"a", HERE, first), HERE) == b"a"
    with pytest.raises(BadSettings):
        keys.forget("00000000")
    keys.forget(second)
    assert keys.key_ids() == (second,)
    assert ring.text is not None
    assert len(ring.text) == 64


def test_a_keyring_that_keeps_nothing_is_noticed() -> None:
    keys = KeptKeys(lambda: None, lambda text: None)
    with pytest.raises(BadSettings, match="did not keep"):
        keys.make()
