"""Opens the ledger, and says where a run may work."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cryptosupport.context.privacy import Privacy

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from cryptosupport.domain.books import Ledger
    from cryptosupport.ledger.verifying import SqlAuditLog


class WithLedger(Privacy):
    """The ledger, when it is first asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._engine: Engine | None = None
        self._passing: TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """Let go of what was opened; whoever is still asking a node gives up."""
        super().close()
        if self._engine is not None:
            self._engine.dispose()
        if self._passing is not None:
            self._passing.cleanup()

    def guard_settings(self) -> None:
        """Refuse to decide about money by the presets, or by settings that others than their owner can write.

        Raises `BadSettings`.
        """
        from cryptosupport.domain.errors import BadSettings
        from cryptosupport.settings import PRESETS, refuse_writable_by_others

        if self.folder == PRESETS:
            raise BadSettings("there is no settings folder: `cryptosupport init` writes one, with policy.toml to edit")
        refuse_writable_by_others(self.folder, self._told_by_others())

    def _told_by_others(self) -> list[Path]:
        """The files that the desk's own programs write, and that decide about money too."""
        balances = self.desk.intake.balances_file(self.folder)
        return [*self.desk.prices.paths(self.folder), *([] if balances is None else [balances]), *self.desk.programs]

    def ledger_engine(self) -> Engine:
        """The database of the ledger, as it is."""
        from cryptosupport.ledger.engine import open_engine

        if self._engine is None:
            url = self.desk.ledger.url
            resolved = self.secret(url)
            self._engine = open_engine(resolved, self.data_folder, from_reference=resolved != url)
        return self._engine

    def has_file_of_ledger(self) -> bool:
        """Whether there may be a ledger; of a SQLite file it is looked for, without loading what reads one."""
        from cryptosupport.settings import PRESETS
        from cryptosupport.settings.reading import is_there

        if self.folder == PRESETS:
            return False
        scheme, _, name = self.desk.ledger.url.partition(":///")
        return scheme != "sqlite" or is_there(self.data_folder / name)

    def ledger(self, make: bool = True) -> Ledger:
        """The ledger, ready to work with: an empty database gets its tables. Raises `BadSettings`, `Unreachable`.

        Who only looks does not ``make`` one: where there is no file yet, it is an empty one that is gone afterwards.
        """
        from cryptosupport.ledger.engine import open_engine
        from cryptosupport.ledger.ledger import SqlLedger, time_of
        from cryptosupport.ledger.schema import ready

        engine = self.ledger_engine()
        if not make and self._no_ledger_yet():
            self.warn(f"there is no ledger at {engine.url.database} yet: the first `withdraw submit` makes it")
            self._passing = TemporaryDirectory(prefix="cryptosupport-")
            self._engine = engine = open_engine("sqlite:///ledger.db", Path(self._passing.name))
        ready(engine)
        return SqlLedger(engine, time_of(self.clock), self.personal_keys)

    def audit_log(self) -> SqlAuditLog:
        """The audit log, to be read. Raises `BadSettings` where there is no ledger, and `Unreachable`."""
        from cryptosupport.domain.errors import BadSettings
        from cryptosupport.ledger.schema import ready
        from cryptosupport.ledger.verifying import SqlAuditLog

        engine = self.ledger_engine()
        if self._no_ledger_yet():
            raise BadSettings(f"there is no ledger at {engine.url.database}: correct [ledger] url in desk.toml")
        ready(engine)
        return SqlAuditLog(engine)

    def _no_ledger_yet(self) -> bool:
        """Whether the ledger is a SQLite file that is not there."""
        from cryptosupport.ledger.engine import file_of
        from cryptosupport.settings.reading import is_there

        file = file_of(self.ledger_engine())
        return file is not None and not is_there(file)

    def run_lock(self, name: str) -> AbstractContextManager[None]:
        """Be the only run of ``name`` meanwhile. Raises `Locked` when another one holds it."""
        from cryptosupport.outside.locks import lock

        return lock(self.data_folder / f"{name}.lock")
