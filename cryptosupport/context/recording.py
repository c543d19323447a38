"""What each operator's nodes say of a transaction that somebody made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptosupport.domain.errors import BadInput, NodesFailed
from cryptosupport.domain.identifiers import parse_txid, shortened
from cryptosupport.domain.transactions import Detail, Unknown

if TYPE_CHECKING:
    from cryptosupport.context import Context
    from cryptosupport.domain.handmade import Claimed, Shown
    from cryptosupport.domain.ports import Chain


def claimed(context: Context, chain: str, text: str) -> Claimed:
    """The transaction that somebody pasted as ``text``, an id or a link. Raises `BadInput`, `BadSettings`."""
    from msgspec.structs import replace

    from cryptosupport.domain.handmade import Claimed

    (settings,) = context.chain_settings(chain)
    pasted = parse_txid(text, context.question(chain, False, False, Detail.FULL).explorers)
    opened = {
        name: context.open_chain(replace(settings, endpoints=nodes)) for name, nodes in settings.by_operator.items()
    }
    reader = next(iter(opened.values()), None) or context.open_chain(settings)
    txid = reader.txid(pasted.text)
    if txid is None or pasted.chain not in (None, chain):
        raise BadInput(f"{shortened(text)} is no transaction of {chain}, where the withdrawal is to be paid")
    return Claimed(txid, settings.quorum, lambda: [_shown(name, each, txid) for name, each in opened.items()])


def _shown(operator: str, chain: Chain, txid: str) -> Shown:
    from cryptosupport.domain.handmade import Shown

    try:
        (report,) = chain.look_up([txid], Detail.FULL, {})
    except NodesFailed as failure:
        return Shown(operator, None, failure.message)
    if isinstance(report.status, Unknown):
        return Shown(operator, None, report.status.message)
    return Shown(operator, report)
