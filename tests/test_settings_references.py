"""Which names in the keyring the settings refer to, and what each is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryptosupport.domain.errors import BadSettings
from cryptosupport.settings import PRESETS
from cryptosupport.settings.references import BY_DEFAULT, KeyReference, Kind, key_references, kind_of, operator_keys


def write(folder: Path, **files: str) -> Path:
    (folder / "chains").mkdir(exist_ok=True)
    for name, text in files.items():
        place = folder / "chains" if name in ("bitcoin", "ethereum") else folder
        (place / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder


PERSONAL = KeyReference("personal-data", Kind.PERSONAL_DATA, (BY_DEFAULT,))


def test_every_reference_of_every_file_is_found_with_its_place(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        desk='[ledger]\nurl = "keyring:ledger"\n[intake.keys]\nbackend = "keyring:backend"\n[desk]\nname = "env:X"\n',
        wallets='[hot-eth]\nrole = "hot"\nsigner = "keyring:hot-eth"\naddress = "keyring:address"\n'
        '[cold]\nsigner = "socket:keyring:x"\n',
        operators='[alice]\nkey = "keyring:operator-alice"\n',
        bitcoin='endpoints = [{ url = "u", rpc_password = "keyring:rpc" }, { url = "keyring:rpc" }]\n',
        ethereum='endpoints = ["keyring:node"]\n',
    )
    assert key_references(folder) == (
        KeyReference("address", Kind.OTHER, ("wallets.toml hot-eth.address",)),
        KeyReference("backend", Kind.OTHER, ("desk.toml intake.keys.backend",)),
        KeyReference("hot-eth", Kind.SIGNER, ("wallets.toml hot-eth.signer",)),
        KeyReference("ledger", Kind.OTHER, ("desk.toml ledger.url",)),
        KeyReference("node", Kind.OTHER, ("chains/ethereum.toml endpoints.1",)),
        KeyReference("operator-alice", Kind.OPERATOR, ("operators.toml alice.key",)),
        PERSONAL,
        KeyReference(
            "rpc", Kind.OTHER, ("chains/bitcoin.toml endpoints.1.rpc_password", "chains/bitcoin.toml endpoints.2.url")
        ),
    )


def test_a_name_that_a_wallet_signs_with_is_a_signer_whatever_else_it_is(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        desk='[ledger]\nurl = "keyring:operator-x"\n',
        wallets='[a]\nrole = "deposit"\nsigner = "keyring:operator-x"\n[b]\nsigner = "keyring:personal-data"\n',
    )
    assert [(each.name, each.kind) for each in key_references(folder)] == [
        ("operator-x", Kind.SIGNER),
        ("personal-data", Kind.SIGNER),
    ]


def test_a_folder_without_settings_and_the_presets_refer_to_personal_data_only(tmp_path: Path) -> None:
    assert key_references(tmp_path) == key_references(PRESETS) == (PERSONAL,)
    assert operator_keys(tmp_path) == ()


@pytest.mark.parametrize("key", ["keyring:sealing", "env:SEALING"])
def test_the_key_of_personal_data_is_the_one_that_the_settings_name(tmp_path: Path, key: str) -> None:
    write(tmp_path, desk=f'[privacy]\nkey = "{key}"\n')
    named = KeyReference("sealing", Kind.PERSONAL_DATA, ("desk.toml privacy.key",))
    assert key_references(tmp_path) == ((named,) if key.startswith("keyring:") else ())


def test_people_of_operators_toml_have_a_key_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, operators='[alice]\nroles = ["ops"]\n["Bob B"]\nroles = ["ops"]\n')
    assert operator_keys(tmp_path) == ("operator-alice", "operator-Bob B")
    assert key_references(tmp_path) == (PERSONAL,)


def test_what_is_guarded_is_what_wallets_and_people_depend_on() -> None:
    assert [kind for kind in Kind if kind.guarded] == [Kind.SIGNER, Kind.OPERATOR, Kind.PERSONAL_DATA]
    assert [kind_of(name) for name in ("operator-x", "operators", "personal-data", "x")] == [
        *(Kind.OPERATOR, Kind.OTHER, Kind.PERSONAL_DATA, Kind.OTHER)
    ]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("desk", "[ledger", "is not valid TOML"),
        ("operators", "\0", "is not valid TOML"),
        ("wallets", '[a]\nsigner = "keyring:"', "wallets.toml: a.signer: a secret has no name"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, file: str, text: str, said: str) -> None:
    with pytest.raises(BadSettings, match=said) as caught:
        key_references(write(tmp_path, **{file: text}))
    assert f"{file}.toml" in caught.value.message
