"""Which addresses are ours, derived without a node: of every descriptor that has them, and of no other."""

from __future__ import annotations

import bdkpython as bdk
import pytest

from cryptosupport.chains.bitcoin.receiving import GAP, OwnScripts, last_change
from cryptosupport.domain.errors import BadInput
from tests.chains.bitcoin_paying.kit import OTHER_WORDS, PURPOSES, WORDS, plan, watched
from tests.chains.bitcoinkit import FOREIGN


@pytest.mark.parametrize("kind", PURPOSES)
def test_both_branches_are_ours_up_to_the_gap(kind: str) -> None:
    ours, own = watched(kind), OwnScripts(watched(kind).source, "regtest")
    for branch in (False, True):
        assert all(own.holds(ours.address(branch, index), -1) for index in (0, 1, GAP - 1))
        assert not own.holds(ours.address(branch, GAP), -1)
    assert all(own.holds(ours.address(branch, GAP + 7), 7) for branch in (False, True))
    assert not own.holds(watched(kind, OTHER_WORDS).address(False, 0), -1)
    assert not own.holds(FOREIGN, -1)


@pytest.mark.parametrize("kind", PURPOSES)
def test_what_is_beyond_what_is_used_is_found_after_a_nearer_look(kind: str) -> None:
    own = OwnScripts(watched(kind).source, "regtest")
    far = watched(kind).address(True, 3 * GAP)
    assert [own.holds(far, used) for used in (-1, 2 * GAP - 1, 2 * GAP, -1)] == [False, False, True, True]


def keys() -> list[str]:
    """Three public keys of a cold wallet."""
    made = []
    for words in (WORDS, OTHER_WORDS, str(bdk.Mnemonic.from_entropy(b"\x09" * 16))):
        key = bdk.DescriptorSecretKey(bdk.NetworkKind.TEST, bdk.Mnemonic.from_string(words), None)
        made.append(str(key.derive(bdk.DerivationPath("m/48h/1h/0h/2h")).as_public()).removesuffix("/*"))
    return made


def cold(branch: str) -> str:
    return f"wsh(sortedmulti(2,{','.join(f'{each}/{branch}/*' for each in keys())}))"


def cold_address(branch: str, index: int) -> str:
    made = bdk.Descriptor(cold(branch), bdk.NetworkKind.TEST).derive_address(index, bdk.Network.REGTEST)
    return str(made)


def test_addresses_of_several_keys_are_ours() -> None:
    own = OwnScripts(cold("0"), "regtest")
    assert own.holds(cold_address("0", 0), -1)
    assert own.holds(cold_address("0", GAP - 1), -1)
    assert not own.holds(cold_address("1", 0), -1)
    both = OwnScripts(cold("<0;1>"), "regtest")
    assert both.holds(cold_address("0", 5), -1)
    assert both.holds(cold_address("1", 5), -1)
    checked = str(bdk.Descriptor(cold("0"), bdk.NetworkKind.TEST))
    assert "#" in checked
    assert OwnScripts(checked, "regtest").holds(cold_address("0", 3), -1)


@pytest.mark.parametrize(
    "text", ["", "wpkh(xpub.../0/*)", "wsh(sortedmulti(2,[d34db33f/48h/0h/0h/2h]xpub.../0/*,...))#checksum", "pkh()"]
)
def test_what_is_no_descriptor_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="descriptor"):
        OwnScripts(text, "regtest")


def test_a_descriptor_of_another_network_is_refused() -> None:
    with pytest.raises(BadInput):
        OwnScripts(watched("wpkh").source, "mainnet")


def test_the_last_change_of_plans_is_the_highest() -> None:
    assert last_change([]) == -1
    assert last_change([plan("wpkh", change=(5, 29_000)).text, plan("wpkh", change=(3, 29_000)).text]) == 5
    assert last_change([plan("wpkh", change=None).text, "no plan"]) == -1
