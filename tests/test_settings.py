"""A mistake in a settings file is told with the file, the key and what was probably meant; the presets are sound."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address

from cryptosupport.domain.errors import BadSettings
from cryptosupport.settings import (
    PRESETS,
    ChainSettings,
    Endpoint,
    EventHook,
    chain_names,
    data_folder,
    find_folder,
    folder_to_write,
    load_chain,
    load_desk,
    load_wallets,
    milliseconds,
)

VECTORS = Path(__file__).parent / "vectors"
PRESET_NAMES = (
    "arbitrum", "base", "bitcoin", "bitcoin-testnet4", "bsc", "ethereum",
    "oktc", "optimism", "polygon", "sepolia", "xlayer",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "chains").mkdir()
    return tmp_path


def chain(folder: Path, text: str, name: str = "ethereum") -> ChainSettings:
    (folder / "chains" / f"{name}.toml").write_text(text, encoding="utf-8")
    return load_chain(folder, name)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(BadSettings) as caught:
        chain(folder, text)
    assert caught.value.exit_code == 8
    assert str(folder / "chains" / "ethereum.toml") in caught.value.message
    return caught.value.message


# -- unknown keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ('familly = "evm"', "familly", "family"),
        ('family = "evm"\nendpoint = []', "endpoint", "endpoints"),
        ('family = "evm"\n[fees]\nmax_fees = "1 ETH"', "max_fees", "max_fee"),
        ('family = "evm"\n[assets.USDT]\ndecimal = 6', "decimal", "decimals"),
        ('family = "evm"\nendpoints = [{ url = "http://a", rpc_pasword = "x" }]', "rpc_pasword", "rpc_password"),
    ],
)
def test_an_unknown_key_is_refused_with_the_file_the_key_and_the_nearest_good_one(
    folder: Path, text: str, key: str, near: str
) -> None:
    said = refusal(folder, text)
    assert f"unknown key {key!r}" in said
    assert f"did you mean {near!r}?" in said


def test_an_unknown_key_in_the_second_endpoint_is_placed(folder: Path) -> None:
    said = refusal(folder, 'family = "evm"\nendpoints = ["http://a", { url = "http://b", mine = true }]')
    assert "[endpoints.2]" in said
    assert "known here: connections, cookie_file" in said


def test_an_unknown_section_of_the_desk_is_refused(folder: Path) -> None:
    (folder / "desk.toml").write_text('[ledgers]\nurl = "x"', encoding="utf-8")
    with pytest.raises(BadSettings, match=r"desk\.toml: unknown key 'ledgers'; did you mean 'ledger'\?"):
        load_desk(folder)


def test_an_unknown_key_of_a_wallet_is_refused_with_the_wallet(folder: Path) -> None:
    (folder / "wallets.toml").write_text('[hot-eth]\nchain = "ethereum"\nrole = "hot"\nadress = "0x"', encoding="utf-8")
    with pytest.raises(BadSettings, match=r"wallets\.toml \[hot-eth\]: unknown key 'adress'; did you mean 'address'\?"):
        load_wallets(folder)


def test_an_unknown_key_deep_in_a_wallet_is_placed(folder: Path) -> None:
    (folder / "wallets.toml").write_text(
        '[w]\nchain = "e"\nrole = "hot"\n[w.float.ETH]\nflor = "1"\ntarget = "2"\nceiling = "3"\nsweep_to = "c"',
        encoding="utf-8",
    )
    with pytest.raises(BadSettings, match=r"\[w\.float\.ETH\]: unknown key 'flor'; did you mean 'floor'\?"):
        load_wallets(folder)


def test_a_name_cannot_be_set_from_inside_a_chain_file(folder: Path) -> None:
    assert "unknown key 'name'" in refusal(folder, 'family = "evm"\nname = "other"')


# -- wrong content ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("family =", "not valid TOML"),
        ('family = "evm"\nfamily = "evm"', "not valid TOML"),
        ("chain_id = 1", "missing required field `family`"),
        ('family = "evm"\nchain_id = "one"', "Expected `int | null`, got `str` - at `$.chain_id`"),
        ('family = "evm"\nendpoints = "http://a"', "Expected `array`, got `str`"),
        ('family = "evm"\nendpoints = [3]', "at `$.endpoints[0]`"),
        ('family = "evm"\nendpoints = [{ url = "ftp://a" }]', "use http:// or https://"),
        ('family = "evm"\nendpoints = [{ url = "http://a b" }]', "a space or a control character"),
        ('family = "evm"\nendpoints = [{ url = "http://a", kind = "soap" }]', "use jsonrpc or esplora"),
        ('family = "evm"\nendpoints = [{ url = "http://a", timeout = "0s" }]', "timeout has to be above zero"),
        ('family = "evm"\nendpoints = [{ url = "http://a", connections = 65 }]', "connections from 1 to 64"),
        ('family = "evm"\nendpoints = [{ url = "http://a", rpc_password = "x", cookie_file = "y" }]', "one of the two"),
        ('family = "evm"\nblock_time = "soon"', "write 250ms, 12s, 15m, 48h or 2d"),
        ('family = "evm"\nfinality = "latest"', "use finalized or safe"),
        ('family = "evm"\nfinality = "safe"\nconfirmations = 3', "one of finality and confirmations"),
        ('family = "evm"\nconfirmations = 0', "use 1 or more"),
        ('family = "evm"\nquorum = 0', "quorum: use 1 or more"),
        ('family = "evm"\nexplorer = "https://etherscan.io/tx/"', "write it like https://example.com/tx/{txid}"),
        ('family = "evm"\n[assets.ETH]\ndecimals = 78', "use 0 to 77"),
        ('family = "evm"\n[fees]\nmax_fee_per_gas = "200"', "write it like '200 gwei'"),
        ('family = "evm"\n[fees]\nmax_fee_per_gas = 200', "Expected `str | null`, got `int`"),
        ('family = "evm"\n[fees]\nmax_fee_ratio = "0.1"', "write it like '10%'"),
        ('family = "evm"\n[assets.ETH]\ndecimals = 18\n[fees]\nmax_fee = "1 BTC"', "not the chain's own coin"),
    ],
)
def test_wrong_content_is_refused_and_the_file_is_named(folder: Path, text: str, said: str) -> None:
    assert said in refusal(folder, text)


def test_a_file_that_is_not_utf8_is_refused(folder: Path) -> None:
    (folder / "desk.toml").write_bytes(b'[desk]\nname = "\xff\xfe"')
    with pytest.raises(BadSettings, match=r"desk\.toml is not valid TOML: 'utf-8' codec") as caught:
        load_desk(folder)
    assert caught.value.exit_code == 8


def test_a_wallet_that_is_no_table_is_refused(folder: Path) -> None:
    (folder / "wallets.toml").write_text("hot = 3", encoding="utf-8")
    with pytest.raises(BadSettings, match=r"wallets\.toml \[hot\]: Expected `object`, got `int`"):
        load_wallets(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[desk]\nlocales = []", "name at least one"),
        ('[prices]\nmax_age = "long"', "is not a duration"),
        ('[prices]\nmax_move = "0.2"', "write it like 20%"),
        ("[prices]\nmin_sources = 0", "use 1 or more"),
        ('[keys]\nallow_backends = "x"', "Expected `array`, got `str`"),
    ],
)
def test_wrong_content_of_the_desk_is_refused(folder: Path, text: str, said: str) -> None:
    (folder / "desk.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BadSettings, match=re.escape(said)):
        load_desk(folder)


def test_a_wallet_has_a_known_role(folder: Path) -> None:
    (folder / "wallets.toml").write_text('[w]\nchain = "ethereum"\nrole = "warm"', encoding="utf-8")
    with pytest.raises(BadSettings, match="use hot, cold or deposit"):
        load_wallets(folder)


def test_a_chain_without_a_coin_says_so_when_the_coin_is_wanted(folder: Path) -> None:
    settings = chain(folder, 'family = "evm"\n[assets.USDT]\ndecimals = 6\ncontract = "0x1"')
    with pytest.raises(BadSettings, match=r"chains/ethereum\.toml names no asset without a contract"):
        _ = settings.coin


def test_a_misspelt_chain_gets_the_nearest_one() -> None:
    with pytest.raises(BadSettings, match=r"no chain 'etherium' in .*did you mean ethereum\?"):
        load_chain(PRESETS, "etherium")


@pytest.mark.parametrize("name", ["../desk", "", "a/b", "ethereum\n"])
def test_a_chain_name_never_leaves_the_folder(name: str) -> None:
    with pytest.raises(BadSettings, match=r"no chain .* there are: arbitrum, base, bitcoin|did you mean"):
        load_chain(PRESETS, name)


def test_files_that_are_absent_mean_the_defaults(tmp_path: Path) -> None:
    assert load_desk(tmp_path).desk.locales == ("en",)
    assert load_wallets(tmp_path) == {}
    assert chain_names(tmp_path) == []
    with pytest.raises(BadSettings, match="there are: none"):
        load_chain(tmp_path, "ethereum")


# -- right content ---------------------------------------------------------------------------------------------------


def test_a_string_is_short_for_an_endpoint_with_that_url(folder: Path) -> None:
    settings = chain(folder, 'family = "evm"\nendpoints = ["http://a.example/k", { url = "keyring:node", own = true }]')
    assert [(node.url, node.own) for node in settings.nodes] == [("http://a.example/k", False), ("keyring:node", True)]
    assert settings.operators == ("a.example", "keyring:node")


def test_two_endpoints_of_one_operator_count_once(folder: Path) -> None:
    ends = '[{ url = "http://a", operator = "X" }, { url = "http://b", operator = "X" }]'
    assert chain(folder, f'family = "evm"\nendpoints = {ends}').operators == ("X",)


def test_an_endpoint_shows_neither_its_url_nor_its_password() -> None:
    shown = repr(Endpoint(url="https://node.example/v3/SECRETKEY", rpc_password="hunter2"))
    assert "SECRETKEY" not in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("text", "expected"), [("250ms", 250), ("12s", 12_000), ("15m", 900_000), ("48h", 172_800_000), ("2d", 172_800_000)]
)
def test_durations_are_read(text: str, expected: int) -> None:
    assert milliseconds(text) == expected


@pytest.mark.parametrize("text", ["", "12", "s", "-1s", "1.5s", "1 s", "\u0661s", "9999999999s"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        milliseconds(text)


# -- where the folder is found ---------------------------------------------------------------------------------------


def test_the_folder_is_searched_in_order_and_never_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    option, variable, home, here = (tmp_path / name for name in ("option", "variable", "home", "here"))
    users = home / ".config" / "cryptosupport"
    for each in (option, variable, users, here / "chains"):
        each.mkdir(parents=True)
    (here / "desk.toml").touch()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    assert find_folder(str(option), {"CRYPTOSUPPORT_CONFIGS": str(variable)}) == option
    assert find_folder(None, {"CRYPTOSUPPORT_CONFIGS": str(variable)}) == variable
    assert find_folder(None, {}) == users


def test_no_other_variable_says_where_settings_and_data_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, other = tmp_path / "home", str(tmp_path / "other")
    (home / ".config" / "cryptosupport").mkdir(parents=True)
    (tmp_path / "other" / "cryptosupport").mkdir(parents=True)
    environment = {"HOME": str(home), "XDG_CONFIG_HOME": other, "XDG_DATA_HOME": other}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_folder(None, environment) == home / ".config" / "cryptosupport"
    assert folder_to_write(None, environment) == home / ".config" / "cryptosupport"
    assert data_folder(None, environment) == home / ".local" / "share" / "cryptosupport"


def test_the_folder_for_data_is_the_option_the_variable_or_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/desk")
    assert data_folder("here", {"CRYPTOSUPPORT_DATA": "there"}) == Path("here")
    assert data_folder(None, {"CRYPTOSUPPORT_DATA": "there"}) == Path("there")
    assert data_folder(None, {}) == Path("/home/desk/.local/share/cryptosupport")


def test_without_any_folder_the_presets_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if Path("/etc/cryptosupport").is_dir():
        pytest.skip("this machine has /etc/cryptosupport")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_folder(None, {}) == PRESETS


@pytest.mark.parametrize("by_option", [True, False])
def test_a_named_folder_that_is_not_there_is_an_error_and_not_passed_over(tmp_path: Path, by_option: bool) -> None:
    missing = str(tmp_path / "none")
    with pytest.raises(BadSettings, match=r"is not a folder: make one with `cryptosupport init"):
        find_folder(missing if by_option else None, {"CRYPTOSUPPORT_CONFIGS": missing})


# -- the presets -----------------------------------------------------------------------------------------------------


def test_the_presets_are_these() -> None:
    assert tuple(chain_names(PRESETS)) == PRESET_NAMES


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_every_preset_is_complete(name: str) -> None:
    settings = load_chain(PRESETS, name)
    assert settings.nodes
    assert all(node.operator and node.url.startswith("https://") and not node.own for node in settings.nodes)
    assert (settings.finality is None) != (settings.confirmations is None)
    assert settings.explorer is not None
    assert settings.coin.decimals == (8 if settings.family == "bitcoin" else 18)
    assert settings.fees.max_fee is not None
    assert settings.fees.max_fee_ratio is not None
    assert (settings.chain_id is None) == (settings.family == "bitcoin")
    assert (settings.network is None) == (settings.family == "evm")
    assert settings.enabled == (name != "oktc")


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_money_is_released_on_two_operators_word_wherever_there_are_two(name: str) -> None:
    settings = load_chain(PRESETS, name)
    testing = name in ("sepolia", "bitcoin-testnet4")
    assert settings.quorum == (2 if len(settings.operators) >= 2 and not testing else 1)


def test_every_token_of_the_presets_is_confirmed_from_outside_and_correctly_spelt() -> None:
    vectors = json.loads((VECTORS / "tokens.json").read_text(encoding="utf-8"))["tokens"]
    confirmed = {(token["chain_id"], token["contract"]): token["decimals"] for token in vectors}
    seen = set()
    for name in PRESET_NAMES:
        settings = load_chain(PRESETS, name)
        for symbol, asset in settings.assets.items():
            if asset.contract is not None:
                assert asset.contract == to_checksum_address(asset.contract), f"{name} {symbol}"
                assert confirmed[settings.chain_id, asset.contract] == asset.decimals, f"{name} {symbol}"
                seen.add((settings.chain_id, asset.contract))
    assert seen == set(confirmed)


def test_no_two_assets_of_a_chain_share_a_contract_and_only_one_is_the_coin() -> None:
    for name in PRESET_NAMES:
        contracts = [asset.contract for asset in load_chain(PRESETS, name).assets.values()]
        assert contracts.count(None) == 1
        assert len({c and c.lower() for c in contracts}) == len(contracts)


def test_bridged_and_native_dollars_are_told_apart_by_symbol() -> None:
    for name in ("polygon", "arbitrum", "optimism"):
        assets = load_chain(PRESETS, name).assets
        assert assets["USDC"].contract != assets["USDC.e"].contract
    assert load_chain(PRESETS, "bsc").assets["USDT"].decimals == 18
    assert load_chain(PRESETS, "ethereum").assets["USDT"].decimals == 6


def test_no_two_presets_claim_the_same_chain_or_explorer() -> None:
    presets = [load_chain(PRESETS, name) for name in PRESET_NAMES]
    ids = [(preset.family, preset.chain_id, preset.network) for preset in presets]
    places = [place for preset in presets for place in (preset.explorer or "", *preset.explorer_hosts)]
    assert len(set(ids)) == len(ids)
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_every_preset_says_what_to_change_first(name: str) -> None:
    text = (PRESETS / "chains" / f"{name}.toml").read_text(encoding="utf-8")
    assert "# Change first: " in text
    assert text.isascii()


# -- the files to copy -----------------------------------------------------------------------------------------------


def in_force(text: str) -> str:
    """The commented-out values of a text; prose, which has neither "=" nor "[", is left out."""
    value = r"# (\[\[?[\w.-]+\]\]?|[a-z_]+ = )"
    values = [line.removeprefix("# ") for line in text.splitlines() if re.match(value, line)]
    return "\n".join(values)


def uncommented(name: str) -> str:
    """A file to copy, with its commented-out values put in force."""
    return in_force((PRESETS / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["desk.toml", "wallets.toml", "policy.toml"])
def test_the_files_to_copy_hold_only_comments(name: str) -> None:
    lines = (PRESETS / name).read_text(encoding="utf-8").splitlines()
    assert all(not line or line.startswith("#") for line in lines)


def test_the_desk_file_names_every_key_and_its_commented_values_load(tmp_path: Path) -> None:
    (tmp_path / "desk.toml").write_text(uncommented("desk.toml"), encoding="utf-8")
    desk = load_desk(tmp_path)
    sections = [EventHook if name == "hooks" else getattr(desk, name) for name in desk.__struct_fields__]
    for section in sections:
        for key in section.__struct_fields__:
            assert re.search(rf"(?m)^# {key} = ", (PRESETS / "desk.toml").read_text(encoding="utf-8")), key


def test_every_value_of_the_desk_file_is_the_default_unless_called_an_example(tmp_path: Path) -> None:
    text = (PRESETS / "desk.toml").read_text(encoding="utf-8")
    kept = "\n".join(line for line in text.splitlines() if "# example" not in line)
    (tmp_path / "desk.toml").write_text(in_force(kept), encoding="utf-8")
    assert load_desk(tmp_path) == load_desk(tmp_path / "none")


def test_the_commented_wallets_load(tmp_path: Path) -> None:
    (tmp_path / "wallets.toml").write_text(uncommented("wallets.toml"), encoding="utf-8")
    wallets = load_wallets(tmp_path)
    assert set(wallets) == {"hot-eth", "hot-eth-hsm", "cold-eth", "hot-btc", "cold-btc"}
    assert {wallet.float[asset].sweep_to for wallet in wallets.values() for asset in wallet.float} <= set(wallets)
