"""The night at the desk: a wallet that a Bitcoin node only watches pays a batch, sped up, and proves one output."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cryptosupport.domain.payouts import fee_share
from cryptosupport.outside.desk_scenes import Step
from cryptosupport.outside.nodes import Bitcoind
from cryptosupport.outside.scenes import BITCOIN, WALLET

WORDS = " ".join([*["abandon"] * 11, "about"])
"""The mnemonic of BIP 39 and BIP 84's examples, which everybody knows."""

DESCRIPTOR = (
    "wpkh([73c5da0a/84h/1h/0h]tpubDC8msFGeGuwnKG9Upg7DM2b4DaRqg3CUZa5g8v2SRQ6K4NSkxUgd7HsL2XVWbVm39yBA4LAxysQAm397zwQS"
    "QoQgewGiYZqrA9DsP4zbQ1M/<0;1>/*)"
)
"""Its first account for test networks (BIP 84, BIP 380, BIP 389)."""

BATCH = ("b-1", "b-2", "b-3", "b-4")
DUST = "b-5"

_HOT = "hot-btc"
_SECTION = '[{name}]\nchain = "{chain}"\nrole = "hot"\nsigner = "keyring:{name}"\ndescriptor = "{descriptor}"\n'
_FEES = '[fees]\nmax_feerate = "300 sat/vB"\nmax_fee = "0.01 BTC"\n'
_AMOUNTS = dict(zip((*BATCH, DUST), ("0.01", "0.02", "0.03", "0.04", "0.00000293"), strict=True))


def batch_steps(node: Bitcoind, chain: str, wallets: str) -> Iterator[Step]:
    """A key, a wallet that the node watches, five requests, passes until they are final, a receipt, and the books.

    ``chain`` is the text of the chain's settings, ``wallets`` that of wallets.toml so far.
    """
    own = _SECTION.format(name=_HOT, chain=BITCOIN, descriptor=DESCRIPTOR) + "birthday = 2020-01-01\n"
    files = {"configs/wallets.toml": wallets + own, f"configs/chains/{BITCOIN}.toml": chain + _FEES}
    keep, signer = ("keys", "set", _HOT, "--replace"), {"name": _HOT, "kind": "signer"}
    yield Step("The words of a Bitcoin wallet go into the keyring", keep, 0, signer, files, stdin=f"{WORDS}\n")
    watches = {"0.said": "watches it already"}
    yield Step("The node watches its coins, and has no key", ("wallet", "import", _HOT), 0, watches)
    _fund(node)
    yield from _sent(node)
    yield from _settled(node)


def _sent(node: Bitcoind) -> Iterator[Step]:
    """Asked for, paid together, and sped up."""
    asked = "".join(f"{json.dumps(_request(node, name, amount))}\n" for name, amount in _AMOUNTS.items())
    submit = ("withdraw", "submit", "--input", "batch.jsonl", "--operator", "alice")
    allowed = {f"{place}.state": "approved" for place in range(len(_AMOUNTS))}
    title = "Five requests; what nodes relay is looked at when they are paid"
    yield Step(title, submit, 0, allowed, {"batch.jsonl": asked})
    run = ("withdraw", "run")
    sent = {"state": "broadcast", "vout": 1, "payouts.0.attempts.0.sent": 1}
    sent |= {f"payouts.0.requests.{place}": name for place, name in enumerate(BATCH)} | {"payouts.0.requests.4": None}
    yield Step("As many wait as a batch is to have: one transaction pays four", run, 0, sent, told_by=_show("b-2"))
    held = {"state": "held", "decision.outcome": "hold", "payouts": []}
    yield Step("The fifth is too little to be relayed, and keeps no other from being paid", _show(DUST), 0, held)
    bump = ("withdraw", "bump", "b-2", "--operator", "alice")
    twice = {"payouts.0.attempts.1.kind": "pay", "payouts.0.attempts.1.sent": 1, "payouts.0.attempts.2": None}
    yield Step("A higher fee for all four, from the same coins", bump, 0, twice, told_by=_show("b-3"))


def _settled(node: Bitcoind) -> Iterator[Step]:
    """Final, proven, and in the books."""
    node.mine(3)
    final: dict[str, Any] = {"state": "final", "vout": 3, "payouts.0.counts": 2}
    yield Step("Three blocks later all four are final", ("withdraw", "run"), 0, final, told_by=_show("b-4"))
    fee = _fee(node)
    share = {"fee.base_units": str(fee), "fee_share.base_units": str(fee_share(fee, len(BATCH), 1))}
    proven = {"base_units": "2000000", "vout": 1, "attempts.0.counts": False, "attempts.1.counts": True, "before": []}
    receipt = ("withdraw", "receipt", "b-2")
    yield Step("The receipt of one output, with its share of the fee", receipt, 0, share | proven)
    yield Step("Ledger and chains agree, to the satoshi", ("reconcile",), 0, {"0": None})


def _fund(node: Bitcoind) -> None:
    """Give the wallet coins, as deep as what is spent has to be."""
    for _ in range(2):
        home = node.rpc("getnewaddress", "", "bech32", wallet=_HOT)
        node.rpc("sendtoaddress", home, "0.2", wallet=WALLET)
    node.mine(3)


def _request(node: Bitcoind, name: str, amount: str) -> Mapping[str, str]:
    """A request for an address that is paid for the first time."""
    to = node.rpc("getnewaddress", "", "bech32", wallet=WALLET)
    facts = {"request_id": name, "customer": f"c-{name}", "asset": "BTC", "chain": BITCOIN, "amount": amount}
    return facts | {"destination": to}


def _fee(node: Bitcoind) -> int:
    """What the batch cost, in satoshis, as the node that watches the wallet has it."""
    sent = node.rpc("listtransactions", "*", 50, 0, True, wallet=_HOT)
    (fee,) = {int(-each["fee"] * 10**8) for each in sent if each["category"] == "send" and each["confirmations"] > 0}
    return fee


def _show(name: str) -> tuple[str, ...]:
    return "withdraw", "show", name
