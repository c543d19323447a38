"""From what a node says to the record of a look-up: transfers, fee, state, and what is to be remembered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cryptosupport.chains.bitcoin import wire
from cryptosupport.chains.bitcoin.networks import Rules
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.money import Amount, Asset
from cryptosupport.domain.transactions import Sighting, Transfer, TxReport, TxStatus


@dataclass(frozen=True, slots=True)
class Absent:
    """A node does not have a transaction. ``code`` is None when that proves that it is nowhere in the chain that the
    node sees; else it says why it proves nothing, as `Unknown.code`."""

    node: str
    code: str | None = None
    message: str = "does not know it"


Finding = TxReport | Absent


@dataclass(frozen=True, slots=True)
class Reporter:
    """Makes the reports of one node's answers in one look-up."""

    rules: Rules
    node: str
    as_of: int

    def report(
        self,
        txid: str,
        status: TxStatus,
        state: str,
        fee: Amount | None = None,
        transfers: tuple[Transfer, ...] = (),
        coinbase: bool = False,
        block_hash: str | None = None,
        height: int | None = None,
        inputs: tuple[str, ...] = (),
        seen: bool = True,
    ) -> TxReport:
        """One report; ``seen`` False when the transaction itself was not, only what took its place."""
        rules, now = self.rules, self.as_of
        kept = Sighting(rules.chain, txid, now, now, state, block_hash, height, None, None, inputs) if seen else None
        link = rules.link(txid)
        return TxReport(txid, rules.chain, status, now, self.node, fee, transfers, None, coinbase, True, link, kept)


def transfers(tx: wire.Tx, coin: Asset, node: str) -> tuple[Transfer, ...]:
    """One transfer for each output that holds money. Raises `NodeFailed` naming ``node`` for amounts that cannot be.

    ``sender`` is the one address that all inputs share. An output to the script of an input is change; a block reward
    has none.
    """
    scripts, sender = _payers(tx)
    nobody = False if tx.coinbase else None
    found = []
    try:
        for out in tx.vout:
            value = wire.satoshis(out.value)
            if value > 0:
                script = out.script
                change = True if script.hex in scripts else nobody
                found.append(Transfer(Amount(value, coin), sender, address(script), out.n, change))
            elif value < 0:
                raise ValueError("a negative amount where none can be")
    except ValueError as error:
        raise NodeFailed(node, "bad_answer", str(error)) from None
    return tuple(found)


def _payers(tx: wire.Tx) -> tuple[set[str], str | None]:
    """The scripts of the inputs, and the one address that they all share, if they do and all are known."""
    if len(tx.vin) == 1:
        prevout = tx.vin[0].prevout
        return (set(), None) if prevout is None else ({prevout.script.hex}, address(prevout.script))
    scripts: set[str] = set()
    senders: set[str | None] = set()
    for vin in tx.vin:
        if vin.prevout is None:
            senders.add(None)
        else:
            scripts.add(vin.prevout.script.hex)
            senders.add(address(vin.prevout.script))
    scripts.discard("")
    return scripts, senders.pop() if len(senders) == 1 else None


def address(script: wire.Script) -> str | None:
    """The address of a script, or None; what is no address (it would be printed) does not pass for one."""
    text = script.address
    if not text:
        if len(script.addresses) != 1:
            return None
        text = script.addresses[0]
    return text if text.isalnum() and text.isascii() and len(text) <= 100 else None


def fee(tx: wire.Tx, coin: Asset, node: str) -> Amount | None:
    """The fee, as the node says or from the outputs that the inputs spend.

    None where neither is known, and for a coinbase.
    """
    if tx.coinbase:
        return None
    try:
        if bytes(tx.fee):
            satoshis = wire.satoshis(tx.fee)
        else:
            spent = [wire.satoshis(vin.prevout.value) for vin in tx.vin if vin.prevout is not None]
            if len(spent) < len(tx.vin):
                return None
            satoshis = sum(spent) - sum(wire.satoshis(out.value) for out in tx.vout)
        if satoshis < 0:
            raise ValueError("a transaction that pays out more than it has")
    except ValueError as error:
        raise NodeFailed(node, "bad_answer", str(error)) from None
    return Amount(satoshis, coin)


def outpoints(vins: Iterable[wire.Vin | wire.BriefVin]) -> tuple[str, ...]:
    """What a transaction spends, as it is remembered: "txid:vout". A coinbase spends nothing."""
    return tuple([f"{vin.txid}:{vin.vout}" for vin in vins if vin.txid])


def remembered_inputs(sighting: Sighting | None) -> list[tuple[str, int]]:
    """The outpoints that were remembered; what is none of the form "txid:vout" is left out."""
    found = []
    for text in () if sighting is None else sighting.inputs:
        txid, _, vout = text.partition(":")
        if wire.HASH.fullmatch(txid) and vout.isascii() and vout.isdigit() and len(vout) <= 10:
            found.append((txid, int(vout)))
    return found


def check_hash(text: str, node: str) -> str:
    """``text`` itself when it is a txid or block hash. Raises `NodeFailed`."""
    if not wire.HASH.fullmatch(text):
        raise NodeFailed(node, "bad_answer", "a hash that is none")
    return text
