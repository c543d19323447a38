"""What a holder of a key needs of Bitcoin: signing a plan, and reading what was signed without the library that did.

A plan is believed in nothing: each output that it spends is proven to be ours, with its amount, and its change too.
Sources: BIP 174, BIP 125 (what can be replaced), BIP 143 and 341 (what a signature says of amounts).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from cryptosupport.chains.bitcoin import keys, psbts, sizes, witnesses
from cryptosupport.chains.bitcoin.codec import address_of
from cryptosupport.chains.bitcoin.descriptors import Watched
from cryptosupport.chains.bitcoin.networks import Rules
from cryptosupport.chains.bitcoin.plans import HARDENED, MOST_ADDRESSES, Planned
from cryptosupport.chains.bitcoin.transactions import MOST_SATOSHIS, Tx, decode
from cryptosupport.chains.bitcoin.witnesses import ALL, DEFAULT, Spent
from cryptosupport.domain.errors import BadInput, BadSettings, Refused
from cryptosupport.domain.money import FeeRate
from cryptosupport.domain.paying import Decoded, Paid
from cryptosupport.settings import ChainSettings
from cryptosupport.settings.values import number

REPLACEABLE = 0xFFFFFFFD
"""The sequence of an input that may be replaced and waits for nothing (BIP 125, BIP 68)."""

_HEAVIEST = 400_000  # MAX_STANDARD_TX_WEIGHT in Bitcoin Core's policy/policy.h
_VERSION = 2  # what nodes make: sequences count (BIP 68), and no rules of their own for relaying (BIP 431)


def open_tools(settings: ChainSettings, descriptor: str) -> BitcoinTools:
    """The tools for the wallet of a descriptor. Raises `BadSettings`."""
    network = Rules.of(settings).network.name
    try:
        return BitcoinTools(Watched.of(descriptor, network), _most_rate(settings))
    except BadInput as error:
        raise BadSettings(f"chains/{settings.name}.toml: {error.message}") from error


def _most_rate(settings: ChainSettings) -> int | None:
    """The cap on the fee rate in satoshis per kvB."""
    text = settings.fees.max_feerate
    return None if text is None else number(text.partition(" ")[0], 3).units


class BitcoinTools:
    """Signs and reads for one wallet, whose descriptor is ``watched``; for any thread.

    It signs nothing above ``most_rate`` satoshis per kvB, and twice that for a payment to ourselves alone (M54).
    """

    def __init__(self, watched: Watched, most_rate: int | None = None) -> None:
        self.watched, self._most_rate = watched, most_rate

    def sign(self, text: str, secret: str) -> bytes:
        """The signed transaction of a plan's text, each input signed and checked. Raises `Refused`, `BadSettings`."""
        _check_rate(_spend(text, self.watched), self.watched, self._most_rate)
        account = keys.account_of(secret, self.watched)
        if account is None:
            raise BadSettings(f"the wallet's key is not that of its descriptor {self.watched.source}")
        raw = keys.sign(Planned.of(text).psbt, self.watched, account)
        if self.read(raw, text).source != self.watched.source:
            raise Refused("nothing was signed: an input has no signature")
        return raw

    def address(self, secret: str) -> str:
        """Whose signature the secret makes: the descriptor, or "" where it is of another. Raises `BadSettings`."""
        return "" if keys.account_of(secret, self.watched) is None else self.watched.source

    def read(self, raw: bytes, text: str) -> Decoded:
        """What a transaction does, signed or not, held against the plan that it is of, by code that did not sign it.

        ``source`` is the descriptor where every input is signed, and "" where any is not. Raises `Refused` for what
        cannot be read, is no transaction of the plan, spends what is not proven to be ours, or has a signature that
        does not fit.
        """
        spend = _spend(text, self.watched)
        tx = decode(raw)
        if tx.txid != spend.tx.txid:
            raise Refused(f"these bytes are {tx.txid}, and the plan is {spend.tx.txid}")
        signed = all(tx.has_witness)
        fault = witnesses.fault(tx, self.watched.kind, spend.spent) if signed else None
        if fault is not None:
            raise Refused(f"these bytes are not signed as they have to be: {fault}")
        return Decoded(
            tx.txid,
            self.watched.network,
            self.watched.source if signed else "",
            tuple(each.outpoint for each in tx.spends),
            spend.pays,
            spend.fee,
        )


@dataclass(frozen=True, slots=True)
class _Spend:
    """What a plan does, proven. ``fee`` is in satoshis."""

    tx: Tx
    spent: tuple[Spent, ...]
    pays: tuple[Paid, ...]
    fee: int


@lru_cache(maxsize=8)  # it is signed, read, and read again
def _spend(text: str, watched: Watched) -> _Spend:
    """What a plan's text does. Raises `Refused`."""
    planned = Planned.of(text)
    psbt = psbts.read(planned.raw)
    tx = psbt.tx
    weight = _signed_weight(tx, watched)
    if weight > _HEAVIEST:
        raise Refused(f"the plan has {weight} weight units when signed, and above {_HEAVIEST} no node passes on any")
    if tx.version != _VERSION or tx.locktime:
        raise Refused(
            f"the plan is of version {tx.version} and waits for {tx.locktime}: it is to be of version {_VERSION}, and "
            "to wait for nothing (its locktime 0)"
        )
    if any(each.sequence != REPLACEABLE for each in tx.spends):
        raise Refused(f"an input has another sequence than {REPLACEABLE:#x}: it could not be replaced (BIP 125)")
    made: dict[bytes, Tx] = {}  # many inputs can spend one transaction
    spent = tuple(_spent(psbt, number, watched, made) for number in range(len(tx.spends)))
    comes, goes = sum(each.satoshis for each in spent), sum(satoshis for _, satoshis in tx.outputs)
    if not goes <= comes <= MOST_SATOSHIS:
        raise Refused(f"the plan spends {comes} satoshis and pays {goes}")
    return _Spend(tx, spent, _pays(planned, tx, watched), comes - goes)


def _signed_weight(tx: Tx, watched: Watched) -> int:
    """The weight of a transaction with its signatures, at most."""
    return sizes.weight(watched.kind, len(tx.spends), [script for script, _ in tx.outputs])


def _check_rate(spend: _Spend, watched: Watched, most: int | None) -> None:
    """Raise `Refused` where a plan costs more for its size than is allowed.

    What is too little for an output goes to the fee, and may come beside that.
    """
    if most is None:
        return
    tx, ours = spend.tx, all(each.destination == watched.source for each in spend.pays)
    allowed = sizes.fee_for(_signed_weight(tx, watched), 2 * most if ours else most)
    if spend.fee > allowed + 1 + sizes.dust(watched.script(True, 0)):
        raise Refused(
            f"the plan costs {spend.fee} satoshis, and this signer pays at most {allowed} for its size: "
            f"{FeeRate(most)}, or twice that to take a payment back",
            fee=spend.fee, most=allowed,
        )  # fmt: skip


def _pays(planned: Planned, tx: Tx, watched: Watched) -> tuple[Paid, ...]:
    pays = []
    for script, satoshis in tx.outputs:
        destination = address_of(script, watched.network) or f"script:{script.hex()}"
        pays.append(Paid(destination, None, satoshis))
    if planned.change is not None:
        vout, index = planned.change
        if index >= MOST_ADDRESSES:
            raise Refused(f"change goes to address {index} of the wallet, where nobody would find it again")
        if vout >= len(pays) or tx.outputs[vout][0] != watched.script(True, index):
            raise Refused(f"output {vout} is not the change address {index} of the wallet")
        pays[vout] = Paid(watched.source, None, pays[vout].base_units)
    return tuple(pays)


def _spent(psbt: psbts.Psbt, number: int, watched: Watched, made: dict[bytes, Tx]) -> Spent:
    """The output that an input spends, proven to be ours and of that amount. Raises `Refused`.

    The signature of taproot covers the amounts (BIP 341); that of P2WPKH only its own, so that a lie in two plans could
    make a fee of what is not told: there the whole transaction has to be, which has the id that is spent.
    """
    coin, spends = psbt.coins[number], psbt.tx.spends[number]
    if coin.sighash not in ((None, ALL, DEFAULT) if watched.kind == "tr" else (None, ALL)):
        raise Refused(f"input {number} asks for a signature that does not cover all that is done")
    output = coin.output
    if coin.previous is not None:
        if coin.previous not in made:
            made[coin.previous] = decode(coin.previous)
        previous = made[coin.previous]
        if previous.txid != spends.txid or spends.vout >= len(previous.outputs):
            raise Refused(f"what is said to have made the output that input {number} spends is another transaction")
        proven = previous.outputs[spends.vout]
        if output not in (None, proven):
            raise Refused(f"of the output that input {number} spends, two things are said")
        output = proven
    if output is None or (coin.previous is None and watched.kind != "tr"):
        raise Refused(f"the transaction that made the output that input {number} spends is missing")
    script, satoshis = output
    if not 0 <= satoshis <= MOST_SATOSHIS:
        raise Refused(f"the output that input {number} spends holds {satoshis} satoshis, which none does")
    return Spent(script, satoshis, _key(coin, script, number, watched))


def _key(coin: psbts.Coin, script: bytes, number: int, watched: Watched) -> bytes:
    """The key of an output of ours: what the PSBT says of it is where to look, and no more. Raises `Refused`."""
    hint = coin.hints[0] if len(coin.hints) == 1 else None
    if hint is not None and (hint.fingerprint, hint.path[:-2]) == (watched.fingerprint, watched.path):
        branch, index = (-1, -1, *hint.path)[-2:]
        if branch in (0, 1) and 0 <= index < HARDENED and watched.script(branch == 1, index) == script:
            key = watched.public_key(branch == 1, index)
            if hint.key in (key, key[1:]) and coin.internal in (None, key[1:]):
                return key
    raise Refused(f"the output that input {number} spends is not proven to be one of the wallet")
