"""Taking in what a signer elsewhere has signed: a file that was carried here, for a request that waits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptosupport.domain.errors import BadInput, BadSettings, NoSuchRecord, Refused, Unsigned

if TYPE_CHECKING:
    from cryptosupport.context import Context
    from cryptosupport.settings import ChainSettings, WalletSettings
    from cryptosupport.signers.papers import Paper


def import_signed(context: Context, file: Path) -> dict[str, Any]:
    """Put a signed PSBT to the request that it answers, where every signature is good; what was done, as a record.

    Raises `BadInput` for what is no PSBT, `NoSuchRecord` where no request waits for it, `Refused` where it is of
    anything else than was asked or is signed by another key, `Unsigned` where signatures are missing.
    """
    from cryptosupport.signers.papers import Folder, read_returned

    content = read_returned(file)
    folders = []
    for wallet in context.wallets.values():
        if wallet.psbt_folder is None:
            continue
        (settings,) = context.chain_settings(wallet.chain)
        papers = context.papers(settings)
        folders.append(str(wallet.psbt_folder))
        wanted = _transaction(papers, content, file)
        for paper in Folder(wallet.psbt_folder, wallet.name).waiting():
            if papers.transaction_of(paper.request()) == wanted:
                return _take(context, wallet, settings, paper, content, file)
    if not folders:
        raise BadSettings('no wallet of wallets.toml is signed for with PSBTs: signer = "psbt:/FOLDER"')
    raise NoSuchRecord(
        f"no request in {', '.join(dict.fromkeys(folders))} waits for the transaction of {file}: it is of an older "
        "attempt, it was changed, or its signature is known already"
    )


def _transaction(papers: Any, content: bytes, file: Path) -> bytes:
    try:
        found: bytes = papers.transaction_of(content)
    except (Unsigned, Refused) as error:
        raise BadInput(f"{file} is no whole PSBT: {error.message}") from error
    return found


def _take(
    context: Context, wallet: WalletSettings, settings: ChainSettings, paper: Paper, content: bytes, file: Path
) -> dict[str, Any]:
    papers = context.papers(settings)
    asked = paper.request()
    try:
        decoded = context.tools(wallet, settings).read(papers.merged(asked, content), papers.plan_of(asked))
    except Unsigned as error:
        raise Unsigned(f"{file}: {error.message}") from error
    except Refused as error:
        raise Refused(f"{file} is not taken: {error.message}") from error
    paper.bring(content)
    return {"wallet": wallet.name, "txid": decoded.txid, "request": str(paper.path), "signed": str(paper.signed)}
