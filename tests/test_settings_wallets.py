"""wallets.toml: where a key is has to be said in one of five ways, and never is the key itself."""

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


def test_a_folder_over_which_a_signer_is_asked(tmp_path: Path) -> None:
    found = load_wallets(wallet(tmp_path, 'signer = "psbt:/srv/papers"'))["hot"]
    assert (found.psbt_folder, found.signer_url) == (Path("/srv/papers"), None)
    assert load_wallets(wallet(tmp_path, 'signer = "keyring:hot"'))["hot"].psbt_folder is None


@pytest.mark.parametrize(
    ("signer", "said"),
    [
        (KEY, "never the key itself"),
        (f"0x{KEY}", "never the key itself"),
        ("web3signer", "write keyring:NAME, env:NAME"),
        ("psbt:", "write the whole path of the folder"),
        ("psbt:papers", "write the whole path of the folder"),
        (f"psbt:{KEY}", "write the whole path of the folder"),
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


CHAIN = (
    'family = "evm"\nchain_id = 1\n[assets.ETH]\ndecimals = 18\n'
    '[assets.USDT]\ndecimals = 6\ncontract = "0xdac17f958d2ee523a2206206994597c13d831ec7"\n'
)
FLOAT = {"floor": "1", "target": "2", "ceiling": "4", "sweep_to": "cold"}


def amounts(folder: Path, symbol: str = "USDT", table: str = "float", **changed: str) -> Path:
    (folder / "chains").mkdir(exist_ok=True)
    (folder / "chains" / "ethereum.toml").write_text(CHAIN, encoding="utf-8")
    values = {"float": FLOAT, "caps": {"per_transaction": "1", "per_hour": "2"}}[table] | changed
    lines = [f"[hot.{table}.{symbol}]", *(f'{key} = "{text}"' for key, text in values.items())]
    return wallet(folder, *lines, "[cold]", 'chain = "ethereum"', 'role = "cold"')


def test_amounts_that_their_assets_can_have_are_taken(tmp_path: Path) -> None:
    assert load_wallets(amounts(tmp_path))["hot"].float["USDT"].target == "2"
    assert load_wallets(amounts(tmp_path, floor="2", ceiling="2"))["hot"].float["USDT"].floor == "2"
    assert load_wallets(amounts(tmp_path, table="caps"))["hot"].caps["USDT"].per_hour == "2"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"floor": "3"}, "float.USDT: floor 3, target 2 and ceiling 4 have to rise in this order"),
        ({"target": "5"}, "float.USDT: floor 1, target 5 and ceiling 4 have to rise in this order"),
        ({"ceiling": "4.0000001"}, "float.USDT: ceiling: "),
        ({"floor": "1e1"}, "float.USDT: floor: "),
        ({"floor": "-1"}, "float.USDT: floor: "),
        ({"sweep_to": "colder"}, "float.USDT: sweep_to names colder, and wallets.toml has no such wallet"),
        ({"sweep_to": "hot"}, "float.USDT: sweep_to names hot, which is hot, not cold"),
        ({"symbol": "DAI"}, "float.DAI: chains/ethereum.toml names no asset DAI"),
        ({"table": "caps", "symbol": "DAI"}, "caps.DAI: chains/ethereum.toml names no asset DAI"),
        ({"table": "caps", "per_hour": "0.0000001"}, "caps.USDT: per_hour: "),
        ({"table": "caps", "per_transaction": "much"}, "caps.USDT: per_transaction: "),
    ],
)
def test_amounts_that_their_assets_cannot_have_are_refused_with_file_and_key(
    tmp_path: Path, given: dict[str, str], said: str
) -> None:
    folder = amounts(tmp_path, **given)
    with pytest.raises(BadSettings) as found:
        load_wallets(folder)
    assert f"{folder / 'wallets.toml'} [hot]: {said}" in found.value.message
    assert "hot" in load_wallets(folder, whole=False)


def test_the_amounts_of_a_chain_that_cannot_be_read_are_left_to_whoever_asks_it(tmp_path: Path) -> None:
    folder = amounts(tmp_path, floor="3")
    (folder / "chains" / "ethereum.toml").write_text("[[[", encoding="utf-8")
    assert "hot" in load_wallets(folder)
