"""Hooks: who is told of changes, with its secrets, and what is due to it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cryptosupport.context.paying import WithPaying, is_gone
from cryptosupport.domain.errors import BadSettings, SupportError

if TYPE_CHECKING:
    from cryptosupport.desk.verdicts import Verdict
    from cryptosupport.domain.events import Receiver, Standing
    from cryptosupport.ledger.outbox import SqlOutbox


class WithHooks(WithPaying):
    """What tells hooks of changes."""

    def tell_hooks(self) -> None:
        """Tell the hooks of the settings what they have not taken yet, for a limited time. All faults are warnings."""
        from cryptosupport.desk.tell import Listener, Worker, tell

        hooks = [Listener(name, hook.wanted, partial(self._receiver, name)) for name, hook in self.desk.hooks.items()]
        tell(self._outbox(), hooks, Worker(self.holder, is_gone, self.clock, self.warn))

    def standings(self) -> dict[str, Standing]:
        """How the hooks of the settings stand. Raises `BadSettings`, `Unreachable`."""
        from cryptosupport.domain.events import Standing
        from cryptosupport.ledger.schema import ready

        if not self.desk.hooks:
            return {}
        nothing = {name: Standing() for name in self.desk.hooks}
        if self._no_ledger_yet():
            return nothing
        ready(self.ledger_engine())
        return nothing | self._outbox().standings(list(self.desk.hooks))

    def hook_verdicts(self) -> list[Verdict]:
        """Whether each hook takes what it is told."""
        from cryptosupport.desk.diagnose_hooks import examine_hooks
        from cryptosupport.desk.verdicts import unreachable

        try:
            return examine_hooks(self.standings(), self.clock.milliseconds())
        except SupportError as error:
            return [unreachable("hooks", f"what is due to them is not known: {error.message}", "see the ledger")]

    def _outbox(self) -> SqlOutbox:
        from cryptosupport.ledger.ledger import time_of
        from cryptosupport.ledger.outbox import SqlOutbox

        return SqlOutbox(self.ledger_engine(), time_of(self.clock), self.personal_keys)

    def _receiver(self, name: str) -> Receiver:
        from cryptosupport.outside.telling import Told

        hook = self.desk.hooks[name]
        try:
            hook = self._resolved(hook, "url")
        except ValueError as error:  # what a reference stands for can be as wrong as what is written out
            raise BadSettings(f"desk.toml [hooks.{name}]: {error}") from error
        header, key = (None if text is None else self.secret(text) for text in (hook.header, hook.secret))
        return Told(hook, header, key, self.clock)
