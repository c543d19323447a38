"""Look up transactions: find the chain, ask its nodes, remember what was seen."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Self, TypeVar

from cryptosupport.domain.errors import BadInput, Interrupted, NodesFailed
from cryptosupport.domain.identifiers import Explorer, Pasted, parse_txid, shortened
from cryptosupport.domain.ports import Chain, Clock, Memory
from cryptosupport.domain.transactions import (
    BadLine,
    Confirmed,
    Confirming,
    Detail,
    Dropped,
    Failed,
    NotFound,
    Pending,
    Replaced,
    TxReport,
    Unknown,
)

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")

_RANK: dict[type, int] = {Confirmed: 0, Confirming: 0, Failed: 0, Pending: 1, Replaced: 2, Dropped: 3}
"""Which of several hits is told first: one in a block, one waiting, one that memory knows."""

_NO_INDEX = ("no_index", "indexing")
"""Codes of nodes that cannot look transactions up by id, and yet know blocks."""

_GRACE = 0.5
"""Seconds that a look which is under way when the time is up may still take."""


@dataclass(slots=True)
class Question:
    """What is asked about every id: of which chains, how much, with which memory."""

    chains: Sequence[Chain]
    explorers: Iterable[Explorer]
    memory: Memory
    clock: Clock
    detail: Detail = Detail.FULL
    named: bool = False  # the user named the chain: ids in another chain's form are taken as this one's


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again until all is final, for at most ``timeout`` seconds; ``changed`` hears of each new state."""

    timeout: float | None
    changed: Callable[[TxReport], None]


def tell(
    texts: Iterable[str],
    question: Question,
    *,
    single: bool,
    wait: Wait | None = None,
    ready: Callable[[], bool] = lambda: True,
) -> Iterator[TxReport | BadLine]:
    """Say what happened to each of ``texts``; a bad one is a `BadLine`, or when it is the only one raises
    `NotATxid`.
    """
    if wait is not None:
        yield from watch(texts, question, wait, single=single)
    elif single:
        (text,) = texts
        yield look_up(text, question)
    else:
        yield from look_up_all(texts, question, ready)


def look_up(text: str, question: Question) -> TxReport:
    """Say what happened to one transaction, asking all chains at once that it can be on.

    Raises `NotATxid` when ``text`` is no transaction id, and `BadInput` when no configured chain has such ids.
    """
    pasted = parse_txid(text, question.explorers)
    first, then = _candidates(pasted, question)
    with _Threads(sum(chain.connections for chain in question.chains)) as threads:
        report = _merge(pasted, _ask_each(first, pasted, question, threads))
        if then and isinstance(report.status, NotFound | Unknown):
            report = _merge(pasted, [report, *_ask_each(then, pasted, question, threads)])
        if question.detail is not Detail.BRIEF:
            report = _recognise(pasted, report, [*first, *then])
    return report


def look_up_all(
    lines: Iterable[str], question: Question, ready: Callable[[], bool] = lambda: True
) -> Iterator[TxReport | BadLine]:
    """Say what happened to each line's transaction, in the order of the lines, in memory that does not grow with them.

    Lines are taken in windows; a repeat within a window is looked up once, and while one window is being told the
    next is asked.
    ``ready`` says whether another line can be had at once: what is known is told before a line is waited for.
    """
    numbered = enumerate(lines, 1)
    connections = max((chain.connections for chain in question.chains), default=1)
    chunk = min((chain.lookups_per_call for chain in question.chains), default=1)
    with _Threads(sum(chain.connections for chain in question.chains)) as threads:
        under_way: deque[_Window] = deque()
        while taken := list(_at_hand(numbered, chunk * connections, ready)):
            under_way.append(_Window(taken, question))
            under_way[-1].start(threads, chunk)
            while len(under_way) > 1 or (under_way and not ready()):
                yield from under_way.popleft().results(threads, chunk)
        while under_way:
            yield from under_way.popleft().results(threads, chunk)


def _at_hand(lines: Iterator[T], most: int, ready: Callable[[], bool]) -> Iterator[T]:
    """The next line, waited for, and those after it that are there already."""
    for line in islice(lines, most):
        yield line
        if not ready():
            return


def watch(
    texts: Iterable[str], question: Question, wait: Wait, *, single: bool = False
) -> Iterator[TxReport | BadLine]:
    """Look again until every transaction is final or the time is up, then tell how they are.

    What is final already is not asked again. Interrupted, it tells what is known and raises `Interrupted`. A ``single``
    one that is no id raises `BadInput`.
    """
    clock, lines = question.clock, list(texts)
    until = math.inf if wait.timeout is None else clock.monotonic() + wait.timeout
    clock.ends_at = until + _GRACE
    pause = min((chain.poll_seconds for chain in question.chains), default=1.0)
    known: dict[int, TxReport | BadLine] = {}
    interrupted = False
    try:
        while not _look_again(lines, known, question, wait, single):
            left = until - clock.monotonic()
            if left <= 0:
                break
            clock.sleep(min(pause, left))
        clock.ends_at = math.inf
    except KeyboardInterrupt:
        interrupted = True  # `ends_at` stays: nobody waits for what is still being asked
    yield from (known[index] for index in sorted(known))
    if interrupted:
        raise Interrupted


def _look_again(
    lines: Sequence[str], known: dict[int, TxReport | BadLine], question: Question, wait: Wait, single: bool
) -> bool:
    """One look at all that is open; whether nothing is open any more."""
    still_open = [index for index in range(len(lines)) if not _settled(known.get(index))]
    texts = [lines[index] for index in still_open]
    for index, row in zip(still_open, tell(texts, question, single=single), strict=True):
        before = known.get(index)
        if isinstance(row, BadLine):
            known[index] = replace(row, line=index + 1)
            continue
        cut_short = row.state == "unknown" and question.clock.monotonic() >= question.clock.ends_at
        if cut_short and isinstance(before, TxReport):
            continue  # what the look before saw is what is known
        if not isinstance(before, TxReport) or before.state != row.state:
            wait.changed(row)
        known[index] = row
    return all(_settled(row) for row in known.values())


def _settled(row: TxReport | BadLine | None) -> bool:
    return isinstance(row, BadLine) or (isinstance(row, TxReport) and row.final)


# -- which chains ----------------------------------------------------------------------------------------------------


def _candidates(pasted: Pasted, question: Question) -> tuple[list[Chain], list[Chain]]:
    """The chains to ask first, and those to ask when these know nothing (an id that lost its 0x)."""
    chains = [chain for chain in question.chains if pasted.chain in (None, chain.name)]
    if not chains and pasted.chain is not None:
        raise BadInput(f"this link is of {pasted.chain}, which is not asked: use --chain {pasted.chain}")
    able = [chain for chain in chains if chain.txid(pasted.text) is not None]
    first = [chain for chain in able if chain.native(pasted.text)]
    named = question.named or pasted.chain is not None
    then = [] if pasted.text.startswith("0x") and not named else [chain for chain in able if chain not in first]
    if not first and not then:
        names = ", ".join(chain.name for chain in question.chains) or "none"
        raise BadInput(f"no chain that may be asked has ids like {shortened(pasted.text)}; asked may be: {names}")
    return (first, then) if first else (then, [])


# -- one id ----------------------------------------------------------------------------------------------------------


def _ask_each(chains: Sequence[Chain], pasted: Pasted, question: Question, threads: _Threads) -> list[TxReport]:
    """Ask all of them at once about one id."""
    asked = [threads.submit(_ask, chain, [_own_form(chain, pasted)], question) for chain in chains[1:]]
    here = _ask(chains[0], [_own_form(chains[0], pasted)], question)
    return [*here, *(report for future in asked for report in future.result())]


def _own_form(chain: Chain, pasted: Pasted) -> str:
    return chain.txid(pasted.text) or pasted.text


def _ask(chain: Chain, txids: Sequence[str], question: Question) -> list[TxReport]:
    """Ask one chain, with what is remembered, and remember what it says. Never raises for its nodes."""
    memory = question.memory.recall(chain.name, txids)
    try:
        reports = chain.look_up(txids, question.detail, memory)
    except NodesFailed as error:
        reason = error.failures[0].reason if error.failures else "no_endpoint"
        nodes = tuple(failure.node for failure in error.failures)
        status = Unknown(reason, error.message, nodes)
        return [TxReport(txid, chain.name, status, question.clock.now()) for txid in txids]
    question.memory.remember([report.remember for report in reports if report.remember is not None])
    return reports


def _merge(pasted: Pasted, reports: Sequence[TxReport]) -> TxReport:
    """One report out of what several chains said: found anywhere is found; not found needs all of them to say so.

    So does dropped: it may be on the chain that could not be asked.
    """
    if len(reports) == 1:
        (report,) = reports
        lost = type(report.status) is NotFound and report.chain is not None
        return replace(report, chain=None, asked=(report.chain or "",)) if lost else report
    found = [report for report in reports if not isinstance(report.status, NotFound | Unknown)]
    unknown = [report for report in reports if isinstance(report.status, Unknown)]
    if found:
        best = min(found, key=lambda report: _RANK[type(report.status)])
        there = [report for report in found if not isinstance(report.status, Replaced | Dropped)]
        if not unknown or not isinstance(best.status, Dropped):
            others = tuple(report.chain for report in there if report is not best and report.chain)
            return replace(best, also_on=others)
    asked = tuple(name for report in reports for name in (report.asked or ((report.chain,) if report.chain else ())))
    as_of = max(report.as_of for report in reports)
    if unknown:
        parts = [report.status for report in unknown if isinstance(report.status, Unknown)]
        nodes = tuple(dict.fromkeys(node for part in parts for node in part.nodes))
        status = Unknown(parts[0].code, "; ".join(part.message for part in parts), nodes)
        return TxReport(pasted.text, None, status, as_of, asked=asked)
    nodes = tuple(node for report in reports if isinstance(report.status, NotFound) for node in report.status.nodes)
    return TxReport(pasted.text, None, NotFound(nodes), as_of, asked=asked)


def _recognise(pasted: Pasted, report: TxReport, chains: Sequence[Chain]) -> TxReport:
    """Say that an id that finds nothing is a block hash or a wtxid, where a node can tell."""
    status = report.status
    if isinstance(status, NotFound) or (isinstance(status, Unknown) and status.code in _NO_INDEX):
        for chain in chains:
            hint = chain.recognise(_own_form(chain, pasted))
            if hint is not None:
                return replace(report, chain=chain.name, status=NotFound(status.nodes, hint[0], hint[1]))
    return report


# -- many ------------------------------------------------------------------------------------------------------------


class _Window:
    """A piece of the input that is asked about while the piece before it is told."""

    def __init__(self, lines: Sequence[tuple[int, str]], question: Question) -> None:
        self.size = len(lines)
        self._question = question
        self._rows: list[Pasted | BadLine] = []
        self._first: dict[tuple[str, ...], dict[str, Pasted]] = {}
        self._chains = {chain.name: chain for chain in question.chains}
        self._routes: dict[tuple[bool, str | None], tuple[list[Chain], list[Chain]]] = {}
        self._chunks: dict[Pasted, list[tuple[Future[list[TxReport]], int]]] = {}
        for number, text in lines:
            self._rows.append(self._take(number, text))

    def _take(self, number: int, text: str) -> Pasted | BadLine:
        try:
            pasted = parse_txid(text.rstrip("\r\n"), self._question.explorers)
            if pasted in self._chunks:
                return pasted
            form = (pasted.text.startswith("0x"), pasted.chain)
            if form not in self._routes:
                self._routes[form] = _candidates(pasted, self._question)
        except BadInput as error:
            return BadLine(number, shortened(text.rstrip("\r\n")), error)
        first = self._routes[form][0]
        asked = self._first.setdefault(tuple(chain.name for chain in first), {})
        same = asked.setdefault(pasted.text, pasted)  # a link to an id that stands here bare is the same question
        self._chunks[pasted] = self._chunks.setdefault(same, [])
        return pasted

    def start(self, threads: _Threads, chunk: int) -> None:
        """Ask about all ids of the window, a chunk a call, each chain that they can be on."""
        for names, asked in self._first.items():
            self._submit([self._chains[name] for name in names], list(asked.values()), threads, chunk)

    def _submit(self, chains: Sequence[Chain], asked: Sequence[Pasted], threads: _Threads, chunk: int) -> None:
        for start in range(0, len(asked), chunk):
            piece = asked[start : start + chunk]
            for chain in chains:
                txids = [_own_form(chain, pasted) for pasted in piece]
                future = threads.submit(_ask, chain, txids, self._question)
                for index, pasted in enumerate(piece):
                    self._chunks[pasted].append((future, index))

    def results(self, threads: _Threads, chunk: int) -> Iterator[TxReport | BadLine]:
        """What was found out, in the order of the lines."""
        merged = {pasted: self._merged(pasted) for pasted in self._chunks}
        self._ask_the_others(merged, threads, chunk)
        for row in self._rows:
            yield row if isinstance(row, BadLine) else merged[row]

    def _merged(self, pasted: Pasted) -> TxReport:
        chunks = self._chunks[pasted]
        return _merge(pasted, [future.result()[index] for future, index in chunks])

    def _ask_the_others(self, merged: dict[Pasted, TxReport], threads: _Threads, chunk: int) -> None:
        """Ids that their own form's chains do not know may have lost their 0x: ask the others about these."""
        again: dict[tuple[str, ...], list[Pasted]] = {}
        for pasted, report in merged.items():
            then = self._routes[pasted.text.startswith("0x"), pasted.chain][1]
            if then and isinstance(report.status, NotFound | Unknown):
                again.setdefault(tuple(chain.name for chain in then), []).append(pasted)
        for names, asked in again.items():
            for pasted in asked:
                self._chunks[pasted] = []
            self._submit([self._chains[name] for name in names], asked, threads, chunk)
        for asked in again.values():
            for pasted in asked:
                merged[pasted] = _merge(pasted, [merged[pasted], self._merged(pasted)])


class _Threads:
    """A pool that starts its threads, and imports what makes them, only when there is more than one thing to ask."""

    def __init__(self, most: int) -> None:
        self._most = max(1, min(most, 16))
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is not None:  # interrupted: nobody waits for what the others are still asking
            self._pool.shutdown(wait=kind is None, cancel_futures=True)

    def submit(
        self,
        ask: Callable[[Chain, Sequence[str], Question], list[TxReport]],
        chain: Chain,
        txids: Sequence[str],
        q: Question,
    ) -> Future[list[TxReport]]:
        """Ask in another thread."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._most, thread_name_prefix="look-up")
        return self._pool.submit(ask, chain, txids, q)
