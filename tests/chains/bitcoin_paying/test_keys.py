"""The key of a wallet: every form that is taken, all that is refused, and that nothing of it gets out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from cryptosupport.chains.bitcoin.tools import open_tools
from cryptosupport.domain.errors import BadSettings, Refused, SupportError
from tests.chains.bitcoin_paying.kit import OTHER_WORDS, PURPOSES, WORDS, account, master, plan, tools, watched
from tests.chains.bitcoinkit import chain_settings

BOTH = pytest.mark.parametrize("kind", PURPOSES)


@BOTH
def test_every_form_of_the_key_is_known(kind: str) -> None:
    for secret in (WORDS, f" {WORDS.upper()}\n", WORDS.replace(" ", "\n"), master(), f"{account(kind)}\n"):
        assert tools(kind).address(secret) == watched(kind).source


@BOTH
def test_another_key_is_nobodys(kind: str) -> None:
    other = "wpkh" if kind == "tr" else "tr"
    for secret in (
        OTHER_WORDS,
        master(OTHER_WORDS),
        account(kind, OTHER_WORDS),
        account(other),
        account(kind, WORDS, 1),
    ):
        assert tools(kind).address(secret) == ""
        with pytest.raises(BadSettings, match="not that of its descriptor") as refused:
            tools(kind).sign(plan(kind).text, secret)
        assert_hides(refused.value, secret)


def test_a_descriptor_that_names_another_master_is_not_the_keys() -> None:
    lie = watched("wpkh").source.replace(watched("wpkh").fingerprint, "00000000")
    assert open_tools(chain_settings(), lie).address(WORDS) == ""
    assert open_tools(chain_settings(), watched("wpkh").source.replace("1h/0h]", "1h/1h]")).address(master()) == ""


def assert_hides(error: BaseException | None, secret: str) -> None:
    """Nothing that hangs together with an error may hold a word or a piece of the secret."""
    pieces = {secret[at : at + 8].lower() for at in range(4, len(secret) - 8)}
    while error is not None:
        shown = f"{error!r} {error} {error.args!r} {getattr(error, 'facts', '')!r}".lower()
        assert not [each for each in pieces if each in shown]
        error = error.__cause__ or error.__context__


def damaged(text: str) -> str:
    return text[:-1] + ("1" if text[-1] != "1" else "2")


NO_KEYS: dict[str, Callable[[], str]] = {
    "nothing": str,
    "hex": lambda: "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318",
    "wif": lambda: "cMahea7zqjxrtgAbB7LSGbcQUr1uX1ojuat9jZodMN87JcbXMTcA",
    "public": lambda: watched("wpkh").source.partition("]")[2].partition("/")[0],
    "a_word_too_few": lambda: WORDS.rpartition(" ")[0],
    "a_word_too_many": lambda: f"{WORDS} zoo",
    "words_turned": lambda: " ".join(reversed(WORDS.split())),
    "an_unknown_word": lambda: WORDS.replace("alpha", "alphb"),
    "not_latin": lambda: WORDS.replace("alpha", "альфа"),
    "damaged": lambda: damaged(master()),
    "cut": lambda: master()[:-1],
    "mainnet": lambda: master(mainnet=True),
    "slip132": lambda: "v" + master()[1:],
    "two": lambda: f"{master()} {master()}",
    "a_descriptor": lambda: f"wpkh({master()}/84h/1h/0h/<0;1>/*)",
}


@pytest.mark.parametrize("form", NO_KEYS)
def test_what_is_no_key_of_the_network_is_refused_and_not_shown(form: str) -> None:
    secret = NO_KEYS[form]()
    ask: list[Callable[[], Any]] = [
        lambda: tools("wpkh").address(secret), lambda: tools("tr").sign(plan("tr").text, secret)
    ]  # fmt: skip
    for each in ask:
        with pytest.raises(BadSettings, match="the wallet's") as refused:
            each()
        if secret:
            assert_hides(refused.value, secret)


def test_a_key_out_of_range_is_refused() -> None:
    from cryptosupport.domain.base58 import decode_base58check, encode_base58check

    data = decode_base58check(master())
    for key in (bytes(32), b"\xff" * 32):
        with pytest.raises(BadSettings, match="secp256k1"):
            tools("wpkh").address(encode_base58check(data[:46] + key))
    with pytest.raises(BadSettings, match="neither"):
        tools("wpkh").address(encode_base58check(data[:45] + b"\x01" + data[46:]))


def test_mainnet_has_its_own_keys() -> None:
    from tests.chains.evmkit import vector

    for published in (vector("bip84"), vector("bip86")):
        opened = open_tools(chain_settings(network="mainnet"), published["descriptor"])
        assert opened.address(published["mnemonic"]) == published["descriptor"]
        assert opened.address(master(published["mnemonic"], mainnet=True)) == published["descriptor"]
        assert opened.address(WORDS) == ""
        with pytest.raises(BadSettings, match="not of mainnet"):
            opened.address(master(published["mnemonic"]))


def test_what_bdk_says_of_a_failure_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """bdk is the only one that is told the key: a version of it that quotes it must not get through."""
    import bdkpython as bdk

    def quoting(*given: object, **_: object) -> None:
        raise RuntimeError(f"cannot use {given} {WORDS} {master()}")

    for where, name in ((bdk.Wallet, "sign"), (bdk, "Descriptor"), (bdk, "Wallet"), (bdk.Mnemonic, "from_string")):
        with monkeypatch.context() as patched:
            patched.setattr(where, name, quoting)
            with pytest.raises(SupportError) as refused:
                tools("wpkh").sign(plan("wpkh").text, WORDS)
        assert_hides(refused.value, WORDS)
        assert_hides(refused.value, master())


def test_a_signature_that_bdk_does_not_make_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    import bdkpython as bdk

    for answer, said in ((False, "signs not every input"), (True, "an input has no signature")):
        with monkeypatch.context() as patched:
            patched.setattr(bdk.Wallet, "sign", lambda *_, answer=answer: answer)
            with pytest.raises(Refused, match=said):
                tools("wpkh").sign(plan("wpkh").text, WORDS)


@pytest.mark.parametrize("descriptor", ["", "wpkh(x)", f"wpkh({master()}/<0;1>/*)"])
def test_tools_of_no_descriptor_are_a_fault_of_the_settings(descriptor: str) -> None:
    with pytest.raises(BadSettings, match=r"chains/bitcoin.toml: the|chains/bitcoin.toml: this") as refused:
        open_tools(chain_settings(), descriptor)
    if "prv" in descriptor:
        assert_hides(refused.value, master())


# -- loading ----------------------------------------------------------------------------------------------------------


def test_no_library_is_loaded_before_something_is_signed_or_read() -> None:
    code = (
        "import sys\nfrom cryptosupport.chains.bitcoin.tools import open_tools\n"
        "from cryptosupport.settings import AssetSettings, ChainSettings\n"
        "assets = {'BTC': AssetSettings(decimals=8)}\n"
        "settings = ChainSettings(family='bitcoin', name='b', network='regtest', assets=assets)\n"
        f"open_tools(settings, {watched('tr').source!r})\n"
        "print([name for name in ('bdkpython', 'bitcoin', 'coincurve') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
