"""The part of `doctor` that looks at cron: does `withdraw run` still do its work?"""

from __future__ import annotations

from collections.abc import Callable

from cryptosupport.desk.verdicts import Verdict, bad_settings, ok
from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.metrics import LastRun
from cryptosupport.domain.policy.periods import duration
from cryptosupport.domain.withdrawal_record import moment

_NAME = "withdraw run"
_SEE = "see what cron says of `cryptosupport withdraw run`, and run it by hand"


def examine_cron(last_run: Callable[[], LastRun | None], now: int, overdue: int) -> Verdict:
    """Whether a pass has succeeded within ``overdue``; both are milliseconds."""
    try:
        run = last_run()
    except BadSettings as error:
        return bad_settings(_NAME, error.message, _SEE)
    if run is None:
        return bad_settings(_NAME, "no pass has ever ended on this machine", "have cron run it every minute")
    ended = f"the last pass ended at {moment(run.at)} with exit code {run.exit_code}"
    if run.succeeded_at is None:
        return bad_settings(_NAME, f"{ended}; none has ever succeeded", _SEE)
    ago = max(now - run.succeeded_at, 0)
    if ago > overdue:
        said = f"no pass has succeeded for {duration(ago)}, and one should every {duration(overdue)}; {ended}"
        return bad_settings(_NAME, said, _SEE)
    return ok(_NAME, f"{ended}; one succeeded {duration(ago)} ago")
