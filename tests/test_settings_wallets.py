"""wallets.toml: where a key is has to be said in one of four ways, and never is the key itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryptosupport.domain.errors import BadSettings
from cryptosupport.settings import load_wallets

KEY = "1f" * 32


def wallet(folder: Path, *lines: str) -> Path:
    text = "\n".join(["[hot]", 'chain = "ethereum"', 'role = "hot"', *lines])
    (folder / "wallets.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("signer", "url"),
    [
        ("keyring:hot", None),
        ("env:HOT", None),
        ("socket:/run/hot.sock", None),
        ("web3signer:https://signer.internal:9000/eth1", "https://signer.internal:9000/eth1"),
        ("web3signer:http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("web3signer:http://[::1]:9000", "http://[::1]:9000"),
        ("web3signer:http://localhost:9000", "http://localhost:9000"),
    ],
)
def test_where_a_key_is(tmp_path: Path, signer: str, url: str | None) -> None:
    found = load_wallets(wallet(tmp_path, f'signer = "{signer}"'))["hot"]
    assert (found.signer, found.signer_url) == (signer, url)


@pytest.mark.parametrize(
    ("signer", "said"),
    [
        (KEY, "never the key itself"),
        (f"0x{KEY}", "never the key itself"),
        ("web3signer", "write keyring:NAME, env:NAME"),
        ("https://signer:9000", "write keyring:NAME"),
        ("web3signer:", "use http:// or https://"),
        ("web3signer:signer:9000", "use http:// or https://"),
        ("web3signer:ftp://signer", "use http:// or https://"),
        ("web3signer:http://signer:9000", "use https://"),
        ("web3signer:http://10.0.0.7:9000", "use https://"),
        ("web3signer:http://127.0.0.1.evil.example:9000", "use https://"),
        ("web3signer:https://ann:hunter2@signer:9000", "without user and password"),
        ("web3signer:keyring:url", "write the URL out"),
        ("web3signer:https://", "names no host"),
        ("web3signer:https://signer:0", "port 0"),
    ],
)
def test_what_does_not_say_where_a_key_is_is_refused_unseen(tmp_path: Path, signer: str, said: str) -> None:
    with pytest.raises(BadSettings) as found:
        load_wallets(wallet(tmp_path, f'signer = "{signer}"'))
    assert said in found.value.message
    assert "signer" in found.value.message
    assert KEY not in found.value.message
    assert "hunter2" not in found.value.message


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['signer = "web3signer:https://s:1"', 'signer_header = "Bearer hunter2"'], "write keyring:NAME"),
        (['signer = "web3signer:https://s:1"', 'signer_header = "keyring:"'], "write keyring:NAME"),
        (['signer = "keyring:hot"', 'signer_header = "keyring:x"'], "it goes with signer ="),
        (['signer_header = "keyring:x"'], "it goes with signer ="),
    ],
)
def test_a_header_is_a_reference_of_a_signer_that_is_asked(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(BadSettings) as found:
        load_wallets(wallet(tmp_path, *lines))
    assert f"signer_header: {said}" in found.value.message
    assert "hunter2" not in found.value.message
