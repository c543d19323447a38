"""A pass of cron: alone on this machine, and told to those who watch the desk."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from cryptosupport.domain.errors import BadSettings, Locked, SupportError
from cryptosupport.domain.identifiers import without_secrets

if TYPE_CHECKING:
    from cryptosupport.context import Context
    from cryptosupport.desk.cases import Premises
    from cryptosupport.desk.pay import Paid
    from cryptosupport.domain.books import Ledger
    from cryptosupport.domain.metrics import Gauge, LastRun


@dataclass(frozen=True, slots=True)
class Job:
    """What cron has done: its ``lock`` keeps a second pass away, its ``file`` remembers the last one, its ``metric`` is
    how metrics call it.
    """

    lock: str
    file: str
    metric: str


WITHDRAW_RUN = Job("withdraw-run", "last-run.json", "run")
SWEEP_RUN = Job("sweep-run", "last-sweep.json", "sweep_run")

_UNEXPECTED = 1


@dataclass
class Noted:
    """What a pass leaves for those who watch: the ledger that it opened, and what was paid."""

    ledger: Ledger | None = None
    paid: Paid | None = None


def one_pass(
    context: Context, books: AbstractContextManager[tuple[Ledger, Premises]], dry_run: bool, metrics: Path | None
) -> list[dict[str, Any]]:
    """Do one pass in ``books``; the records of the withdrawals that moved, as they are now.

    See `at_work`. Raises `Locked` when another pass is at it.
    """
    from cryptosupport.desk.left_behind import left_behind
    from cryptosupport.desk.pay import Paid, pay
    from cryptosupport.desk.payout_record import paid_records
    from cryptosupport.desk.run_once import run_once

    with at_work(context, WITHDRAW_RUN, dry_run, metrics) as noted, books as (ledger, premises):
        noted.ledger = ledger
        moved = {each.id: each for each in run_once(ledger, premises, context.alarms)}
        context.warn_of_freezes(ledger)
        if not dry_run:
            wallets = context.paying_wallets
            noted.paid = pay(context.paying(ledger, premises), wallets, context.till) if wallets else Paid()
            moved |= noted.paid.moved
            noted.paid.errors += left_behind(ledger, context.paying_sources)
            context.tell_paid(noted.paid)
        if not dry_run:
            context.tell_hooks()
        return list(paid_records(ledger, moved.values(), context.coin))


def passes(
    context: Context, books: Callable[[Context], AbstractContextManager[tuple[Ledger, Premises]]], metrics: Path | None,
    every: float,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Do one pass after another, with ``every`` seconds between, until SIGTERM or Ctrl-C; tell what each moved.

    The pass under way then comes to its end; a second signal stops it. Settings are read anew for each. What stops one
    pass is a warning, and the next one tries again; while another run is at it there is none. For the main thread.
    """
    stop = threading.Event()
    with _set_by_signals(stop):
        while not stop.is_set():
            context = context.anew()
            try:
                context.guard_settings()
                yield from one_pass(context, books(context), False, metrics)
                context.part()
            except Locked as locked:
                context.note(locked.message)
            except SupportError as error:
                _hear(context, error)
            finally:
                context.close()
            stop.wait(every)


def _hear(context: Context, error: SupportError) -> None:
    """What stopped a pass is told, and written down where it may be an attack."""
    if error.audited:
        context.write_down(error, "cryptosupport withdraw run", "", None)
    context.warn(f"this pass was stopped: {without_secrets(error.message)}")


@contextmanager
def _set_by_signals(event: threading.Event) -> Iterator[None]:
    """Meanwhile the first SIGTERM or SIGINT sets ``event``; one after that does what it did before."""
    before: dict[signal.Signals, Any] = {}

    def told(number: int, frame: FrameType | None) -> None:
        event.set()
        restore()

    def restore() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    for each in (signal.SIGTERM, signal.SIGINT):
        before[each] = signal.signal(each, told)
    try:
        yield
    finally:
        restore()


@contextmanager
def at_work(context: Context, job: Job, dry_run: bool, metrics: Path | None) -> Iterator[Noted]:
    """Do a job, alone on this machine, and tell how it ended, whatever ends it; stopped by a person it has no end.

    How it ended is remembered in the data folder and, where ``metrics`` is a file, told there; not of a dry run. Raises
    `Locked` when another pass is at it.
    """
    noted = Noted()
    with context.run_lock(job.lock):
        try:
            yield noted
        except Locked:
            raise
        except Exception as error:
            if not dry_run:
                code = error.exit_code if isinstance(error, SupportError) else _UNEXPECTED
                _tell(context, job, noted, code, metrics)
            raise
        if not dry_run:
            _tell(context, job, noted, context.exit_code_by_now, metrics)


def _tell(context: Context, job: Job, noted: Noted, exit_code: int, metrics: Path | None) -> None:
    """Remember it, and write the metrics. What cannot be written is a warning, and stays as it was."""
    from cryptosupport.desk.measure import ended
    from cryptosupport.outside import lastrun

    path = context.data_folder / job.file
    try:
        before = lastrun.read(path)
    except BadSettings as error:
        context.warn(error.message)
        before = None
    run = ended(before, exit_code, context.clock.milliseconds())
    try:
        lastrun.write(path, run)
    except BadSettings as error:
        context.warn(error.message)
    if metrics is not None:
        _write(context, job, noted, run, metrics)


def _write(context: Context, job: Job, noted: Noted, run: LastRun, path: Path) -> None:
    from cryptosupport.desk.measure import gauges_of_run
    from cryptosupport.outside.metrics import write

    try:
        write(path, [*gauges_of_run(run, job.metric), *_gauges(context, noted, run.at)])
    except BadSettings as error:
        context.warn(error.message)


def _gauges(context: Context, noted: Noted, now: int) -> list[Gauge]:
    """What the pass found in ledger and wallets; of a pass that failed, what can still be told."""
    from cryptosupport.desk.measure import gauges_of_hooks, gauges_of_ledger, gauges_of_wallets, waiting
    from cryptosupport.ledger.schema import status

    if noted.ledger is None:
        return []
    wallets = [context.wallets[name] for name in context.paying_wallets]
    gauges: list[Gauge] = []
    try:
        states = status(context.ledger_engine())["withdrawals"]
        gauges += gauges_of_ledger(waiting(noted.ledger, states), wallets, now)
        gauges += gauges_of_hooks(context.standings(), now)
        chains = {each.name: each for it in wallets for each in context.chain_settings(it.chain)}
        assets = {name: each.by_symbol for name, each in chains.items()}
        gauges += gauges_of_wallets(wallets, {} if noted.paid is None else noted.paid.holds, assets)
    except SupportError as error:
        context.warn(f"the metrics are not whole: {error.message}")
    return gauges
