"""desk.toml's intake and prices, an asset's hard cap, a chain's greatest fee, and who may write the settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.money import Asset, Quantity
from cryptosupport.domain.prices import PriceRules
from cryptosupport.settings import (
    PRESETS,
    ChainSettings,
    DeskSettings,
    chain_names,
    load_chain,
    load_desk,
    refuse_writable_by_others,
    write_presets,
)
from tests.test_settings_faults import closed

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG3g4g6ANffX1F73LNCouw6TvAa3etlb3/4EzYaZi9nZ"


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    """desk.toml as a text says it."""

    def load(text: str) -> DeskSettings:
        (tmp_path / "desk.toml").write_text(text, encoding="utf-8")
        return load_desk(tmp_path)

    return load


@pytest.fixture
def chain(tmp_path: Path) -> Any:
    """chains/dev.toml of an EVM chain as a text goes on with it."""

    def load(text: str) -> ChainSettings:
        (tmp_path / "chains").mkdir(exist_ok=True)
        (tmp_path / "chains" / "dev.toml").write_text(f'family = "evm"\n{text}', encoding="utf-8")
        return load_chain(tmp_path, "dev")

    return load


# -- [intake] --------------------------------------------------------------------------------------------------------


def test_without_a_file_no_signature_no_balances_and_no_cap_are_asked_for(tmp_path: Path) -> None:
    intake = load_desk(tmp_path).intake
    assert (intake.require_signature, intake.keys, intake.run_cap_value) == (False, {}, None)
    assert intake.balances_file(tmp_path) is None


def test_intake_is_read_as_it_is_written(desk: Any, tmp_path: Path) -> None:
    intake = desk(
        '[intake]\nrequire_signature = true\nbalances = "feed/balances.csv"\nrun_cap = "500000.25 USD"\n'
        f'[intake.keys]\nbackend = "{KEY} backend@example"\nother = "{"0f" * 32}"\nthird = "env:THIRD"\n'
    ).intake
    assert intake.require_signature
    assert list(intake.keys) == ["backend", "other", "third"]
    assert intake.balances_file(tmp_path) == tmp_path / "feed" / "balances.csv"
    assert intake.run_cap_value == 500_000_250_000


def test_an_absolute_file_is_where_it_says(desk: Any, tmp_path: Path) -> None:
    read = desk('[intake]\nbalances = "/feeds/balances.csv"\n[prices]\nfiles = ["a.toml", "/feeds/b.toml"]')
    assert read.intake.balances_file(tmp_path) == Path("/feeds/balances.csv")
    assert read.prices.paths(tmp_path) == (tmp_path / "a.toml", Path("/feeds/b.toml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("require_signature = true", "require_signature: name who may sign, as keys = { NAME ="),
        ("require_signature = 1", "Expected `bool`, got `int`"),
        ('keys = { backend = "ssh-rsa AAAAB3" }', "keys.backend: write ssh-ed25519 AAAA... or the 64 hexadecimal"),
        ('keys = { backend = "" }', "keys.backend: write ssh-ed25519"),
        (f'keys = {{ backend = "{"0" * 63}" }}', "keys.backend: write ssh-ed25519"),
        (f'keys = {{ backend = "{KEY}\\nx" }}', "keys.backend: write ssh-ed25519"),
        ('keys = { backend = "MC4CAQAwBQYDK2VwBCIEIHUNTER2" }', "keys.backend: write ssh-ed25519"),
        (f'keys = {{ "" = "{KEY}" }}', "keys: '' is not a name"),
        ('key = "x"', "unknown key 'key'; did you mean 'keys'?"),
        ('balances = ""', "balances: '' names no file"),
        ('balances = "a\\u0000b"', "names no file"),
        ('balances_max_age = "0s"', "balances_max_age: '0s': it has to be above zero"),
        ('overdue = "1 day"', "overdue: '1 day' is not a duration"),
        ('run_cap = "500000"', "run_cap: '500000': write it like \"2000 USD\""),
        ('run_cap = "1e6 USD"', "run_cap: '1e6' is not an amount"),
        ("run_cap = 500000", "got `int` - at `$.intake.run_cap`; write the number in quotes"),
    ],
)
def test_an_intake_that_cannot_be_kept_is_refused(desk: Any, text: str, said: str) -> None:
    with pytest.raises(BadSettings, match=rf"desk\.toml.*: .*{re.escape(said)}") as refused:
        desk(f"[intake]\n{text}")
    assert "HUNTER2" not in refused.value.message  # a key that cannot be used may be a private one


# -- [prices] and [desk] ---------------------------------------------------------------------------------------------


def test_the_rules_of_prices_are_exact_numbers(desk: Any) -> None:
    assert desk("").prices.rules == PriceRules(
        1, 900_000, Quantity(5, 0), Quantity(20, 0), frozenset({"USDT", "USDC", "DAI"})
    )
    text = '[prices]\nmin_sources = 2\nmax_age = "1m"\nmax_spread = "0.5%"\nmax_move = "7%"\nusd_stablecoins = []'
    assert desk(text).prices.rules == PriceRules(2, 60_000, Quantity(5, 1), Quantity(7, 0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[prices]\nmax_spread = "5"', "max_spread: '5': write it like 20%"),
        ('[prices]\nmax_spread = "-5%"', "max_spread: '-5' is not an amount"),
        ("[prices]\nmax_spread = 0.05", "write the number in quotes"),
        ('[prices]\nmax_age = "0s"', "max_age: '0s': it has to be above zero"),
        ('[prices]\nfiles = [""]', "files: '' names no file"),
        ('[prices]\nusd_stablecoins = "USDT"', "Expected `array`, got `str`"),
        ('[desk]\ntimezone = "Europe/Berlln"', "timezone: 'Europe/Berlln' is not a time zone; did you mean 'Europe/Be"),
        ('[desk]\ntimezone = "localtime"', "timezone: 'localtime' is not a time zone"),
    ],
)
def test_prices_and_time_zones_that_cannot_be_kept_are_refused(desk: Any, text: str, said: str) -> None:
    with pytest.raises(BadSettings, match=re.escape(said)):
        desk(text)


# -- assets and fees of a chain --------------------------------------------------------------------------------------

ASSETS = '[assets.ETH]\ndecimals = 18\nhard_cap = "1000.5"\n[assets.USDT]\ndecimals = 6\ncontract = "0xAb"\n'


def test_the_assets_of_a_chain_are_known_by_symbol(chain: Any) -> None:
    settings = chain(ASSETS)
    assert settings.by_symbol == {"ETH": Asset("ETH", 18), "USDT": Asset("USDT", 6, "0xAb")}
    assert settings.coin == settings.by_symbol["ETH"]
    assert settings.tokens == {"0xab": settings.by_symbol["USDT"]}


def test_a_hard_cap_is_a_number_of_coins(chain: Any) -> None:
    assets = chain(ASSETS).assets
    assert (assets["ETH"].most, assets["USDT"].most) == (Quantity(10005, 1), None)


@pytest.mark.parametrize(
    ("cap", "said"),
    [
        ('"0.0000001"', "hard_cap: 0.0000001 has 7 decimals, and the asset has 6"),
        ('"1e6"', "hard_cap: '1e6' is not an amount"),
        ("1000", "hard_cap`; write the number in quotes"),
        ("2.5", "hard_cap`; write the number in quotes"),
    ],
)
def test_a_hard_cap_that_the_asset_cannot_hold_is_refused(chain: Any, cap: str, said: str) -> None:
    with pytest.raises(BadSettings, match=re.escape(said)):
        chain(f"[assets.USDT]\ndecimals = 6\nhard_cap = {cap}")


def test_the_greatest_fee_is_in_base_units_of_the_coin(chain: Any) -> None:
    assert chain(ASSETS + '[fees]\nmax_fee = "0.02 ETH"').max_fee == 2 * 10**16
    assert chain(ASSETS).max_fee == 0
    assert chain("").max_fee == 0
    with pytest.raises(BadSettings, match="add the chain's own coin"):
        _ = chain('[fees]\nmax_fee = "0.02 ETH"').max_fee


def test_a_fee_that_the_coin_cannot_hold_is_refused(chain: Any) -> None:
    with pytest.raises(BadSettings, match=re.escape("fees.max_fee: 0.0000000000000000001 has 19 decimals")):
        chain(ASSETS + '[fees]\nmax_fee = "0.0000000000000000001 ETH"')


def test_every_preset_has_a_greatest_fee_and_no_hard_cap(tmp_path: Path) -> None:
    for name in chain_names(PRESETS):
        settings = load_chain(PRESETS, name)
        assert settings.max_fee > 0
        assert all(asset.most is None for asset in settings.assets.values())


def test_the_hard_cap_that_a_preset_shows_is_of_its_coin(tmp_path: Path) -> None:
    write_presets(tmp_path)
    for name in chain_names(tmp_path):
        path = tmp_path / "chains" / f"{name}.toml"
        path.write_text(path.read_text(encoding="utf-8").replace("# hard_cap", "hard_cap"), encoding="utf-8")
        settings = load_chain(tmp_path, name)
        assert settings.assets[settings.coin.symbol].most is not None


# -- who may write ---------------------------------------------------------------------------------------------------

WATCHED = ("", "desk.toml", "wallets.toml", "policy.toml", "operators.toml", "chains", "chains/ethereum.toml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A settings folder as `init` writes it, with operators."""
    write_presets(tmp_path / "my desk")
    (tmp_path / "my desk" / "operators.toml").touch(0o600)
    return tmp_path / "my desk"


@pytest.mark.parametrize("name", WATCHED)
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_can_write_is_refused_with_the_command_that_mends_it(folder: Path, name: str, mode: int) -> None:
    refuse_writable_by_others(folder)
    path = folder / name
    before = path.stat().st_mode
    path.chmod(before | mode)
    with pytest.raises(BadSettings) as caught:
        refuse_writable_by_others(folder)
    assert caught.value.message.startswith(f"{path} can be written by others than its owner")
    assert caught.value.message.endswith(f"run `chmod go-w '{path}'`")
    path.chmod(before)
    refuse_writable_by_others(folder)


def test_what_others_can_only_read_is_left_alone(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    refuse_writable_by_others(folder)


def test_a_link_counts_as_what_it_leads_to(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "policy.toml"
    elsewhere.touch(0o600)
    (folder / "policy.toml").unlink()
    (folder / "policy.toml").symlink_to(elsewhere)
    refuse_writable_by_others(folder)
    elsewhere.chmod(0o666)
    with pytest.raises(BadSettings, match=r"policy\.toml can be written by others"):
        refuse_writable_by_others(folder)
    elsewhere.unlink()
    with pytest.raises(BadSettings, match=r"policy\.toml cannot be read: No such file"):
        refuse_writable_by_others(folder)


@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_further_files_count_wherever_they_are(folder: Path, tmp_path: Path, mode: int) -> None:
    inside, elsewhere = folder / "prices.toml", tmp_path / "balances.csv"
    for path in (inside, elsewhere):
        path.touch(0o600)
        refuse_writable_by_others(folder, [inside, elsewhere])
        path.chmod(0o600 | mode)
        refuse_writable_by_others(folder)
        with pytest.raises(BadSettings) as caught:
            refuse_writable_by_others(folder, [inside, elsewhere])
        assert caught.value.message.startswith(f"{path} can be written by others than its owner")
        path.chmod(0o600)


def test_a_further_file_that_is_missing_is_told_where_it_is_read(folder: Path) -> None:
    (folder / "link.toml").symlink_to("nowhere")
    refuse_writable_by_others(folder, [folder / "none.toml", folder / "link.toml", folder / "desk.toml" / "x"])


def test_the_packages_presets_are_left_alone(tmp_path: Path) -> None:
    before = PRESETS.stat().st_mode
    PRESETS.chmod(before | 0o020)
    try:
        refuse_writable_by_others(PRESETS)
        (tmp_path / "link").symlink_to(PRESETS.resolve())
        refuse_writable_by_others(tmp_path / "link")
    finally:
        PRESETS.chmod(before)


def test_a_folder_that_may_not_be_read_is_bad_settings(folder: Path) -> None:
    with closed(folder), pytest.raises(BadSettings, match="cannot be read: Permission denied"):
        refuse_writable_by_others(folder)


# -- [bump] and [batch] ----------------------------------------------------------------------------------------------


def test_what_waits_for_a_block_or_for_others_waits_as_it_is_written(desk: Any) -> None:
    read = desk(
        '[bump]\nresend = "1m"\nafter = "2m"\ngive_up = "3m"\n'
        '[batch]\ncount = 2\nage = "5s"\namounts = { BTC = "1.5" }\n'
    )
    assert (read.bump.resend, read.bump.after, read.bump.give_up) == ("1m", "2m", "3m")
    rules = read.batch.rules
    assert (rules.count, rules.age, rules.amounts) == (2, 5000, {"BTC": Quantity.parse("1.5")})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[bump]\ngive_up = "0s"', "give_up: use more than zero and at most 7d"),
        ('[bump]\nafter = "8d"', "after: use more than zero and at most 7d"),
        ("[batch]\ncount = 0", "count 0: use 1 to 500"),
        ("[batch]\ncount = 501", "count 501: use 1 to 500"),
        ('[batch]\nage = "25h"', "age: use at most 1d"),
        ('[batch]\namounts = { BTC = "much" }', "amounts.BTC"),
    ],
)
def test_a_time_or_number_that_makes_no_sense_is_refused(desk: Any, text: str, said: str) -> None:
    with pytest.raises(BadSettings, match=re.escape(said)):
        desk(text)
