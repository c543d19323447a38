"""The part of `doctor` that looks at cron: do its jobs still do their work?"""

from __future__ import annotations

from collections.abc import Callable

from cryptosupport.desk.verdicts import Verdict, bad_settings, ok
from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.metrics import LastRun
from cryptosupport.domain.policy.periods import duration
from cryptosupport.domain.withdrawal_record import moment


def examine_cron(job: str, every: str, last_run: Callable[[], LastRun | None], now: int, overdue: int) -> Verdict:
    """Whether a pass of ``job`` (the words of its command) has succeeded within ``overdue``; both are milliseconds.

    ``every`` is how often cron is to run it, in words.
    """
    see = f"see what cron says of `cryptosupport {job}`, and run it by hand"
    try:
        run = last_run()
    except BadSettings as error:
        return bad_settings(job, error.message, see)
    if run is None:
        return bad_settings(job, "no pass has ever ended on this machine", f"have cron run it {every}")
    ended = f"the last pass ended at {moment(run.at)} with exit code {run.exit_code}"
    if run.succeeded_at is None:
        return bad_settings(job, f"{ended}; none has ever succeeded", see)
    ago = max(now - run.succeeded_at, 0)
    if ago > overdue:
        said = f"no pass has succeeded for {duration(ago)}, and one should every {duration(overdue)}; {ended}"
        return bad_settings(job, said, see)
    return ok(job, f"{ended}; one succeeded {duration(ago)} ago")
