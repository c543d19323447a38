"""What `doctor` says of an installation. The chains here are the real codecs, with health as told instead of nodes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest

from cryptosupport.chains.bitcoin import codec as bitcoin
from cryptosupport.chains.evm import codec as evm
from cryptosupport.desk.diagnose import Installation, as_record, diagnose, exit_code
from cryptosupport.desk.verdicts import Outcome, Verdict
from cryptosupport.domain.addresses import Address
from cryptosupport.domain.errors import BadSettings, NodeFailed, NodesFailed
from cryptosupport.domain.ports import Chain, NodeHealth
from cryptosupport.ledger.sightings import Sightings
from cryptosupport.settings import PRESETS, is_reference

NOW = 1_800_000_000
ETHEREUM = """family = "evm"
chain_id = 1
endpoints = [{ url = "http://a.example", operator = "A" }, { url = "http://b.example", operator = "B" }]
quorum = 2
finality = "finalized"
[assets.ETH]
decimals = 18
"""
BITCOIN = """family = "bitcoin"
network = "mainnet"
endpoints = ["http://c.example", "http://d.example"]
block_time = "10m"
[assets.BTC]
decimals = 8
"""
HOT = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
COLD = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
WALLETS = f"""[hot-eth]
chain = "ethereum"
role = "hot"
signer = "keyring:hot-eth"
address = "{HOT}"
[hot-eth.float.ETH]
floor = "10"
target = "20"
ceiling = "40"
sweep_to = "cold-eth"
[cold-eth]
chain = "ethereum"
role = "cold"
address = "{COLD}"
"""


class StoppedClock:
    def now(self) -> int:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError("the doctor does not wait")


@dataclass
class Place:
    """A chain that reads addresses with ``read``, and whose nodes are as ``told``."""

    name: str
    read: Callable[[str], Address | None]
    told: list[NodeHealth] | NodesFailed

    def parse_address(self, text: str) -> Address | None:
        return self.read(text)

    def health(self) -> list[NodeHealth]:
        if isinstance(self.told, NodesFailed):
            raise self.told
        return self.told


def well(chain: str, node: str, age: int = 5) -> NodeHealth:
    return NodeHealth(chain, node, True, "synced at height 7", 7, NOW - age)


HEALTH: dict[str, list[NodeHealth] | NodesFailed] = {
    "ethereum": [well("ethereum", "A"), well("ethereum", "B")],
    "bitcoin": [well("bitcoin", "c.example", age=3000), well("bitcoin", "d.example", age=-5000)],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A settings folder in good order."""
    folder = tmp_path / "configs"
    (folder / "chains").mkdir(mode=0o700, parents=True)
    folder.chmod(0o700)
    write(folder, "chains/ethereum.toml", ETHEREUM)
    write(folder, "chains/bitcoin.toml", BITCOIN)
    write(folder, "wallets.toml", WALLETS)
    return folder


@pytest.fixture
def installation(folder: Path, tmp_path: Path) -> Iterable[Installation]:
    """An installation in good order."""
    complaints: list[str] = []
    memory = Sightings(tmp_path / "data" / "sightings.db", complaints.append)
    yield Installation(
        folder=folder,
        python=(3, 11, 7),
        clock=StoppedClock(),
        secret=lambda text: "hush" if is_reference(text) else text,
        keyrings=("keyring.backends.SecretService.Keyring",),
        in_clear=(),
        memory=memory,
        complaints=complaints,
        open_chain=opener(HEALTH),
    )
    memory.close()


def opener(health: dict[str, list[NodeHealth] | NodesFailed]) -> Callable[[str], Chain]:
    def read(name: str) -> Callable[[str], Address | None]:
        return evm.parse_address if name != "bitcoin" else lambda text: bitcoin.parse_address(text, "mainnet")

    return lambda name: cast(Chain, Place(name, read(name), health[name]))


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")
    (folder / name).chmod(0o600)


def troubles(installation: Installation, only: str | None = None) -> list[Verdict]:
    return [verdict for verdict in diagnose(installation, only) if verdict.outcome is not Outcome.OK]


def trouble(installation: Installation, only: str | None = None) -> Verdict:
    [found] = troubles(installation, only)
    assert found.advice
    return found


# -- in good order ---------------------------------------------------------------------------------------------------


def test_an_installation_in_good_order_has_nothing_but_ok(installation: Installation) -> None:
    verdicts = list(diagnose(installation))
    assert [verdict.name for verdict in verdicts] == [
        "python",
        "settings",
        "memory",
        "keyring",
        "secret keyring:hot-eth",
        "chain bitcoin",
        "chain ethereum",
        "wallet hot-eth",
        "wallet cold-eth",
        "node bitcoin c.example",
        "node bitcoin d.example",
        "node ethereum A",
        "node ethereum B",
        "clock",
    ]
    assert {verdict.outcome for verdict in verdicts} == {Outcome.OK}
    assert exit_code(verdicts) == 0


def test_only_one_chain_is_examined_when_one_is_named(installation: Installation) -> None:
    names = [verdict.name for verdict in diagnose(installation, "bitcoin")]
    assert "node bitcoin c.example" in names
    assert not [name for name in names if "eth" in name]


def test_a_chain_that_does_not_exist_is_an_error_of_its_own(installation: Installation) -> None:
    with pytest.raises(BadSettings, match="did you mean ethereum"):
        list(diagnose(installation, "etherium"))


def test_the_presets_alone_are_a_warning(installation: Installation) -> None:
    presets = replace(installation, folder=PRESETS, open_chain=opener({name: [] for name in _preset_names()}))
    found = {verdict.name: verdict for verdict in troubles(presets)}
    assert "public nodes, no wallets" in found["settings"].message
    assert "cryptosupport init" in found["settings"].advice
    assert exit_code(found.values()) == 0


def _preset_names() -> list[str]:
    return [path.stem for path in (PRESETS / "chains").glob("*.toml")]


def test_a_verdict_as_json_has_its_schema_and_null_for_no_advice(installation: Installation) -> None:
    record = as_record(next(iter(diagnose(installation))))
    assert record == {
        "schema": "cryptosupport.doctor/1",
        "verdict": "ok",
        "name": "python",
        "message": "Python 3.11.7",
        "advice": None,
    }


# -- this machine ----------------------------------------------------------------------------------------------------


def test_an_old_python_is_a_warning(installation: Installation) -> None:
    found = trouble(replace(installation, python=(3, 10, 4)))
    assert (found.outcome, found.message) == (Outcome.WARN, "Python 3.10.4")


@pytest.mark.parametrize("where", [".", "chains/ethereum.toml", "wallets.toml"])
def test_settings_that_others_can_write_are_a_warning(installation: Installation, where: str) -> None:
    (installation.folder / where).chmod(0o770)
    found = trouble(installation)
    assert found.outcome is Outcome.WARN
    assert "others than the owner can write" in found.message
    assert found.advice.startswith(f"run `chmod -R go-w {installation.folder}`")


def test_price_files_and_balances_that_others_can_write_are_a_warning(
    installation: Installation, tmp_path: Path
) -> None:
    prices, balances = tmp_path / "price feed.toml", installation.folder / "balances.csv"
    write(installation.folder, "desk.toml", f'[intake]\nbalances = "balances.csv"\n[prices]\nfiles = ["{prices}"]\n')
    assert troubles(installation) == []  # that they are missing is told elsewhere
    for path in (prices, balances):
        path.touch()
        path.chmod(0o602)
    found = trouble(installation)
    assert found.message == f"others than the owner can write {prices}, {balances}"
    assert found.advice.startswith(f"run `chmod -R go-w {installation.folder} '{prices}'`: ")


def test_a_memory_that_cannot_be_written_is_a_warning(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    complaints: list[str] = []
    memory = Sightings(tmp_path / "file" / "sightings.db", complaints.append)
    found = trouble(replace(installation, memory=memory, complaints=complaints))
    assert (found.name, found.outcome) == ("memory", Outcome.WARN)
    assert "sightings.db" in found.message


def test_a_memory_that_is_no_database_is_a_warning(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "sightings.db").write_bytes(b"this is no database " * 100)
    complaints: list[str] = []
    memory = Sightings(tmp_path / "sightings.db", complaints.append)
    assert "not a database" in trouble(replace(installation, memory=memory, complaints=complaints)).message


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_a_secret_that_is_missing_is_a_failure_that_names_it(installation: Installation) -> None:
    def missing(text: str) -> str:
        raise BadSettings(f"the settings refer to {text}, which is not set")

    found = trouble(replace(installation, secret=missing))
    assert (found.name, found.exit_code) == ("secret keyring:hot-eth", 8)
    assert "cryptosupport keys set hot-eth" in found.advice


def test_no_secret_is_ever_shown(installation: Installation) -> None:
    ends = 'endpoints = [{ url = "keyring:node", rpc_user = "u", rpc_password = "env:PW" }]'
    write(installation.folder, "chains/bitcoin.toml", re.sub(r"endpoints = .*", ends, BITCOIN))
    shown = " ".join(str(as_record(verdict)) for verdict in diagnose(installation))
    assert "secret keyring:node" in shown
    assert "secret env:PW" in shown
    assert "hush" not in shown


def test_a_machine_without_a_keyring_is_a_warning(installation: Installation) -> None:
    found = trouble(replace(installation, keyrings=()))
    assert (found.name, found.outcome, found.message) == ("keyring", Outcome.WARN, "this machine has no keyring")
    (installation.folder / "wallets.toml").unlink()
    assert trouble(replace(installation, keyrings=())).message.endswith("no setting needs one")


def test_a_keyring_that_cannot_be_had_is_a_failure(installation: Installation) -> None:
    found = trouble(replace(installation, keyrings=(), keyring_fault="no.such fails"))
    assert (found.name, found.message, found.exit_code) == ("keyring", "no.such fails", 8)


# -- settings --------------------------------------------------------------------------------------------------------


def test_every_broken_file_is_told_in_one_run_and_the_others_are_still_examined(installation: Installation) -> None:
    write(installation.folder, "desk.toml", "[desk")
    write(installation.folder, "wallets.toml", "[w]\nrole = 3")
    write(installation.folder, "chains/bitcoin.toml", 'familly = "bitcoin"')
    verdicts = list(diagnose(installation))
    failed = {verdict.name: verdict.exit_code for verdict in verdicts if verdict.outcome is Outcome.FAIL}
    assert failed == {"desk.toml": 8, "wallets.toml": 8, "chain bitcoin": 8}
    assert "node ethereum A" in [verdict.name for verdict in verdicts]
    assert exit_code(verdicts) == 8


def test_a_desk_without_enabled_chains_is_a_failure(installation: Installation) -> None:
    for name, text in (("bitcoin", BITCOIN), ("ethereum", ETHEREUM)):
        write(installation.folder, f"chains/{name}.toml", f"enabled = false\n{text}")
    (installation.folder / "wallets.toml").unlink()
    found = trouble(installation)
    assert (found.name, found.exit_code) == ("chains", 8)


def test_a_chain_that_cannot_be_opened_is_a_failure_and_its_nodes_are_not_asked(installation: Installation) -> None:
    def open_chain(name: str) -> Chain:
        if name == "bitcoin":
            raise BadSettings("chains/bitcoin.toml: there is no chain family 'bitcoin'")
        return opener(HEALTH)(name)

    found = trouble(replace(installation, open_chain=open_chain))
    assert (found.name, found.exit_code) == ("chain bitcoin", 8)


def test_a_chain_without_its_coin_is_a_failure(installation: Installation) -> None:
    write(installation.folder, "chains/bitcoin.toml", BITCOIN.partition("[assets")[0])
    assert "names no asset without a contract" in trouble(installation).message


def test_a_chain_without_endpoints_is_a_failure(installation: Installation) -> None:
    write(installation.folder, "chains/bitcoin.toml", re.sub(r"endpoints = .*", "", BITCOIN))
    health = HEALTH | {"bitcoin": []}
    found = trouble(replace(installation, open_chain=opener(health)))
    assert (found.message, found.exit_code) == ("has no endpoints", 8)


def test_an_evm_chain_without_its_id_is_a_warning(installation: Installation) -> None:
    write(installation.folder, "chains/ethereum.toml", ETHEREUM.replace("chain_id = 1\n", ""))
    found = trouble(installation)
    assert (found.name, found.outcome, found.message) == ("chain ethereum", Outcome.WARN, "has no chain_id")


@pytest.mark.parametrize("contract", ["zzz", "0x1", "0xdac17F958D2ee523a2206206994597C13D831ec7", "0x" + "0" * 40])
def test_a_token_whose_contract_is_no_address_is_a_failure(installation: Installation, contract: str) -> None:
    token = f'[assets.USDT]\ndecimals = 6\ncontract = "{contract}"\n'
    write(installation.folder, "chains/ethereum.toml", ETHEREUM + token)
    found = trouble(installation)
    assert (found.name, found.exit_code) == ("chain ethereum", 8)
    assert found.message.startswith("assets.USDT: contract: ")


def test_the_operators_of_a_chain_that_does_not_open_are_not_counted(installation: Installation) -> None:
    write(installation.folder, "chains/bitcoin.toml", BITCOIN.replace('"http://d.example"', '"d.example:8332"'))
    found = trouble(installation)
    assert (found.name, found.exit_code) == ("chain bitcoin", 8)
    assert "url: use http:// or https://" in found.message


def test_a_single_operator_is_a_warning(installation: Installation) -> None:
    write(installation.folder, "chains/bitcoin.toml", BITCOIN.replace('"http://d.example"', '"http://c.example/2"'))
    found = trouble(installation)
    assert (found.outcome, found.message) == (Outcome.WARN, "one operator runs all its endpoints: c.example")


def test_more_voices_wanted_than_there_are_operators_is_a_warning(installation: Installation) -> None:
    write(installation.folder, "chains/bitcoin.toml", "quorum = 3\n" + BITCOIN)
    assert trouble(installation).message.startswith("quorum = 3, and its endpoints have 2 operator(s)")


def test_a_link_that_leads_nowhere_is_a_failure_of_its_own_file_only(installation: Installation) -> None:
    (installation.folder / "chains" / ".#dev.toml").symlink_to("nowhere")
    assert troubles(installation) == []
    (installation.folder / "wallets.toml").unlink()
    for name in ("chains/dev.toml", "wallets.toml"):
        (installation.folder / name).symlink_to("nowhere")
    failed = {verdict.name: verdict.exit_code for verdict in troubles(installation)}
    assert failed == {"chain dev": 8, "wallets.toml": 8}


# -- nodes and the clock ---------------------------------------------------------------------------------------------


def test_a_node_that_cannot_be_reached_fails_with_6(installation: Installation) -> None:
    health = HEALTH | {"ethereum": [well("ethereum", "A"), NodeHealth("ethereum", "B", False, "B: no answer in 10 s")]}
    found = trouble(replace(installation, open_chain=opener(health)))
    assert (found.name, found.message, found.exit_code) == ("node ethereum B", "no answer in 10 s", 6)
    assert found.advice.endswith("look-ups go on with its other nodes")


def test_a_chain_that_nobody_answers_for_fails_with_6(installation: Installation) -> None:
    health = HEALTH | {"ethereum": NodesFailed("ethereum", (NodeFailed("A", "timeout", "no answer in 10 s"),))}
    found = trouble(replace(installation, open_chain=opener(health)))
    assert (found.name, found.exit_code) == ("node ethereum A", 6)
    assert found.advice.endswith("no other node of ethereum answers")


def test_wrong_settings_weigh_more_than_a_node_that_is_down(installation: Installation) -> None:
    write(installation.folder, "desk.toml", "[desk")
    health = HEALTH | {"ethereum": [NodeHealth("ethereum", "A", False, "no answer in 10 s")]}
    assert exit_code(troubles(replace(installation, open_chain=opener(health)))) == 8


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (-121, "this machine's clock is 121 s behind the newest block of ethereum"),
        (145, "the newest block of any chain (ethereum) is 145 s old"),
    ],
)
def test_a_clock_more_than_two_minutes_off_is_a_warning(installation: Installation, age: int, said: str) -> None:
    health = HEALTH | {"ethereum": [well("ethereum", "A", age), well("ethereum", "B", age + 1)]}
    found = trouble(replace(installation, open_chain=opener(health)))
    assert (found.name, found.outcome, found.message) == ("clock", Outcome.WARN, said)
    assert "NTP" in found.advice


@pytest.mark.parametrize("age", [-120, 0, 144])
def test_a_clock_within_two_minutes_and_two_blocks_is_right(installation: Installation, age: int) -> None:
    health = HEALTH | {"ethereum": [well("ethereum", "A", age), well("ethereum", "B", age + 9999)]}
    assert troubles(replace(installation, open_chain=opener(health))) == []


def test_bitcoins_block_times_do_not_tell_the_time(installation: Installation) -> None:
    names = [verdict.name for verdict in diagnose(installation, "bitcoin")]
    assert "clock" not in names


# -- wallets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        (f'address = "{HOT.replace("Fd6", "fd6")}"', f'address = "{HOT}"', "address: "),
        ('address = "bc1qvyq0cc6rahyvsazfdje0twl7ez82ndmuac2lhv"', f'address = "{HOT}"', "no address of ethereum"),
        ('address = "0x0000000000000000000000000000000000000000"', f'address = "{HOT}"', "nobody can spend from"),
        ("", f'address = "{HOT}"', "has neither an address nor a descriptor"),
        ('chain = "etherium"', 'chain = "ethereum"', "no chain 'etherium'"),
        ("[hot-eth.float.USDT]", "[hot-eth.float.ETH]", "float.USDT: chains/ethereum.toml names no asset USDT"),
        ('floor = "1e1"', 'floor = "10"', "float.ETH: floor: '1e1' is not an amount"),
        ('floor = "0.0000000000000000001"', 'floor = "10"', "has 19 decimals"),
        ('floor = "30"', 'floor = "10"', "floor 30, target 20 and ceiling 40 have to rise in this order"),
        ('sweep_to = "cold"', 'sweep_to = "cold-eth"', "sweep_to names cold, and wallets.toml has no such wallet"),
        ('sweep_to = "hot-eth"', 'sweep_to = "cold-eth"', "sweep_to names hot-eth, which is hot, not cold"),
    ],
)
def test_a_fault_in_a_wallets_settings_is_a_failure_that_names_it(
    installation: Installation, wrong: str, right: str, said: str
) -> None:
    write(installation.folder, "wallets.toml", WALLETS.replace(right, wrong, 1))
    found = trouble(installation)
    assert said in found.message
    assert (found.name, found.exit_code) == ("wallet hot-eth", 8)


def test_an_address_by_reference_is_compared_and_not_shown(installation: Installation) -> None:
    write(installation.folder, "wallets.toml", WALLETS.replace(f'"{HOT}"', '"env:HOT"'))
    there = replace(installation, secret=lambda text: HOT if text == "env:HOT" else text)
    assert troubles(there) == []
    found = trouble(installation)  # where it stands for something else
    assert (found.name, found.message) == ("wallet hot-eth", "address: env:HOT is no address of ethereum")


def test_a_sweep_to_another_chain_is_a_failure(installation: Installation) -> None:
    other = '[cold-btc]\nchain = "bitcoin"\nrole = "cold"\naddress = "bc1qvyq0cc6rahyvsazfdje0twl7ez82ndmuac2lhv"\n'
    write(installation.folder, "wallets.toml", WALLETS.replace('"cold-eth"', '"cold-btc"') + other)
    assert "which is on bitcoin, not on ethereum" in trouble(installation).message


def test_a_hot_wallet_without_a_signer_is_a_warning(installation: Installation) -> None:
    write(installation.folder, "wallets.toml", WALLETS.replace('signer = "keyring:hot-eth"\n', ""))
    found = trouble(installation)
    assert (found.name, found.outcome) == ("wallet hot-eth", Outcome.WARN)


def test_a_wallet_of_a_chain_that_is_off_is_a_warning(installation: Installation) -> None:
    write(installation.folder, "chains/ethereum.toml", f"enabled = false\n{ETHEREUM}")
    assert [verdict.outcome for verdict in troubles(installation)] == [Outcome.WARN, Outcome.WARN]
