"""The evening at the desk: a hot wallet with a key pays a withdrawal on the private chain, once, and proves it."""

from __future__ import annotations

from collections.abc import Iterator

from cryptosupport.outside.desk_scenes import Step
from cryptosupport.outside.nodes import Anvil
from cryptosupport.outside.scenes import EVM, STRANGER, TOKEN

# An ERC-20 token in 130 bytes, made by hand (EIP-20): balanceOf, and a transfer that answers true and logs.
_CODE = (
    "0x5f3560e01c806370a082311461001e578063a9059cbb14610029575f5ffd5b600435545f5260205ff35b60243533541061007e5760243533"
    "540333556024356004355401600435556024355f52600435337fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3"
    "ef60205fa360015f5260205ff35b5f5ffd"
)
_WALLETS = '[hot]\nchain = "{chain}"\nrole = "hot"\naddress = "{address}"\nsigner = "keyring:hot"\n'
_FEES = '[fees]\nmax_fee_per_gas = "200 gwei"\nmax_fee = "0.02 ETH"\n'
_UNITS = 1_000 * 10**6


def paying_steps(node: Anvil, chain: str) -> Iterator[Step]:
    """A key, a wallet, a request, passes until it is final, and its receipt; ``chain`` is the text of its settings."""
    address, key = node.accounts()[-1]
    _issue(node, address)
    files = {
        "configs/wallets.toml": wallets_of(node),
        f"configs/chains/{EVM}.toml": chain + _FEES,
    }
    keep = ("keys", "set", "hot", "--replace")
    signer = {"name": "hot", "kind": "signer"}
    yield Step("The key of a hot wallet goes into the keyring", keep, 0, signer, files, stdin=f"{key}\n")
    allowed = {"state": "approved", "wallet": "hot"}
    yield Step("A request that a wallet with a key is to pay", _submit("w-20", "25"), 0, allowed)
    show = ("withdraw", "show", "w-20")
    sent = {"state": "broadcast", "nonce": 0}
    yield Step("A pass of cron signs it, stores it, and only then sends it", ("withdraw", "run"), 0, sent, told_by=show)
    node.mine()
    young = {"state": "confirming"}
    yield Step("A block has it, and that is not final", ("withdraw", "run"), 0, young, told_by=show)
    node.mine(3)
    final = {"state": "final", "wallet": "hot"}
    yield Step("Now it is", ("withdraw", "run"), 0, final, told_by=show)
    once = {"payouts.0.step": "final", "payouts.0.attempts.0.sent": 1, "payouts.1": None}
    yield Step("All that was done to pay it", show, 0, once)
    place = {"conflict_set.network": "31337", "conflict_set.nonce": 0, "conflict_set.claims": ["0"]}
    proven = {"base_units": "25000000", "destination": STRANGER, "attempts.0.counts": True, "attempts.1": None}
    proven |= {"attempts.0.pays.0.base_units": "25000000", "confirmations": 4, "before": []}
    receipt = ("withdraw", "receipt", "w-20")
    yield Step("Its receipt: by the chain as it is now, it was paid, and once", receipt, 0, place | proven)


def wallets_of(node: Anvil) -> str:
    """wallets.toml with the one wallet that pays here."""
    return _WALLETS.format(chain=EVM, address=node.accounts()[-1][0])


def _issue(node: Anvil, address: str) -> None:
    """Let the token be one that can be paid with, and the wallet hold some."""
    node.rpc("anvil_setCode", TOKEN, _CODE)
    node.rpc("anvil_setStorageAt", TOKEN, "0x" + address[2:].rjust(64, "0"), f"0x{_UNITS:064x}")
    node.mine()


def _submit(request_id: str, amount: str) -> tuple[str, ...]:
    asked = ("--request-id", request_id, "--customer", "c-21", "--asset", "USDX", "--chain", EVM)
    return "withdraw", "submit", *asked, "--amount", amount, "--destination", STRANGER, "--operator", "alice"
