"""What `doctor` says of a keyring that keeps secrets in clear, and of one that holds the keys of several people."""

from __future__ import annotations

from dataclasses import replace

from cryptosupport.desk.diagnose import Installation
from cryptosupport.desk.verdicts import Outcome
from cryptosupport.domain.errors import BadSettings
from tests.desk import test_diagnose
from tests.desk.test_diagnose import WALLETS, trouble, troubles, write

folder = test_diagnose.folder
installation = test_diagnose.installation

PLAIN = "keyrings.alt.file.PlaintextKeyring"


def without_signers(installation: Installation) -> None:
    write(installation.folder, "wallets.toml", WALLETS.replace('"keyring:hot-eth"', '"socket:signer.sock"'))


def test_a_keyring_that_keeps_secrets_in_clear_is_a_warning_unless_it_is_allowed(installation: Installation) -> None:
    without_signers(installation)
    weak = replace(installation, keyrings=(PLAIN,), in_clear=(PLAIN,))
    found = trouble(weak)
    assert (found.message, found.outcome) == (f"{PLAIN} keeps secrets in clear", Outcome.WARN)
    write(installation.folder, "desk.toml", f'[keys]\nallow_backends = ["{PLAIN}"]')
    assert troubles(weak) == []


def test_a_keyring_that_keeps_the_key_of_a_hot_wallet_in_clear_is_a_failure(installation: Installation) -> None:
    weak = replace(installation, keyrings=(PLAIN,), in_clear=(PLAIN,))
    found = trouble(weak)
    assert (found.name, found.outcome, found.exit_code) == ("keyring", Outcome.FAIL, 8)
    assert PLAIN in found.message
    write(installation.folder, "desk.toml", f'[keys]\nallow_backends = ["{PLAIN}"]')
    assert troubles(weak) == []


def test_a_keyring_that_keeps_the_key_of_an_operator_in_clear_is_a_failure(installation: Installation) -> None:
    without_signers(installation)
    write(installation.folder, "operators.toml", '[alice]\nroles = ["ops"]\n')
    assert trouble(replace(installation, keyrings=(PLAIN,), in_clear=(PLAIN,))).exit_code == 8


def test_a_keyring_with_the_keys_of_two_operators_is_a_warning(installation: Installation) -> None:
    write(installation.folder, "operators.toml", '[alice]\nroles = ["ops"]\n[bob]\nroles = ["ops"]\n')
    found = trouble(installation)
    assert (found.name, found.outcome) == ("operators", Outcome.WARN)
    assert found.message == "this keyring holds the keys of 2 operators: operator-alice, operator-bob"

    def only_alice(text: str) -> str:
        if text == "keyring:operator-bob":
            raise BadSettings("not set")
        return installation.secret(text)

    assert troubles(replace(installation, secret=only_alice)) == []


def test_operators_that_cannot_be_read_are_told_and_the_rest_is_examined(installation: Installation) -> None:
    write(installation.folder, "operators.toml", "[alice")
    found = trouble(installation)
    assert (found.name, found.exit_code) == ("operators.toml", 8)
