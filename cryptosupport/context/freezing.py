"""Freezes: the file of this machine and the ledger, which say the same as soon as both can be reached."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cryptosupport.context.changing import WithChanges
from cryptosupport.domain.errors import BadInput, BadSettings, SupportError
from cryptosupport.domain.operators import Role

if TYPE_CHECKING:
    from cryptosupport.context.signing import Hand
    from cryptosupport.domain.books import Ledger
    from cryptosupport.domain.freezes import Freeze, Scope


class WithFreezes(WithChanges):
    """What is frozen, and how that changes."""

    def freeze(
        self, scopes: Sequence[str], reason: str, expires: float | None, operator: str | None, hand: Hand
    ) -> list[dict[str, Any]]:
        """Freeze: first by the file of this machine, then in the ledger; as records.

        One of the two is enough. Raises `BadInput` for what is no scope or covers nothing by the settings.
        """
        from secrets import token_hex

        from cryptosupport.desk.freeze import as_record
        from cryptosupport.domain.freezes import Freeze, line_of, read_scope

        now = self.clock.milliseconds()
        by_key = {scope.key: scope for scope in map(self._checked, map(read_scope, scopes))}
        until = None if expires is None else now + int(expires * 1000)
        freezes = [
            Freeze(token_hex(8), scope, reason, operator or "somebody", False, now, "operator", until)
            for scope in by_key.values()
        ]
        written = self._write_lines([line_of(each) for each in freezes])
        try:
            made = self._record(freezes, operator, hand)
        except SupportError as error:
            if not written:
                said = "NOTHING IS FROZEN: neither the freeze file nor the ledger takes it. Stop the jobs by hand"
                self.warn(said, always=True)
                raise
            self._hear(error, operator)
            self.warn(f"the ledger does not know of it yet: {error.message}. It counts on this machine, by its file")
            made = freezes
        return [as_record(each, now) for each in made]

    def _checked(self, scope: Scope) -> Scope:
        """The scope with an address in normal form. Raises `BadInput` for one that covers nothing by the settings."""
        try:
            address, why = self._known(scope)
        except BadSettings as error:  # who wants to stop things is not kept waiting by that
            self.warn(f"whether {scope.text} covers anything cannot be told: {error.message}")
            return scope
        if why:
            raise BadInput(
                f"{why}, and would freeze nothing: nothing was frozen. Where it is known elsewhere all the same, write "
                f"{scope.text} into {self.freeze_file}"
            )
        return scope if address is None else replace(scope, value=address)

    def _known(self, scope: Scope) -> tuple[str | None, str]:
        """An address in normal form; and why the scope covers nothing by the settings, "" where it may cover something.

        Raises `BadSettings`.
        """
        from cryptosupport.domain.identifiers import shortened
        from cryptosupport.settings.values import nearest

        known: Collection[str]
        match scope.kind:
            case "destination":
                address = self._normal(scope.value)
                return address, "" if address else f"no configured chain reads {shortened(scope.value)} as an address"
            case "chain":
                known = [each.name for each in self._all_chains()]
            case "asset":
                known = {symbol for each in self._all_chains() for symbol in each.by_symbol}
            case "wallet":
                known = self.wallets
            case _:
                return None, ""
        if scope.value in known:
            return None, ""
        return None, f"{scope.text} is in no settings of this desk{nearest(scope.value, known)}"

    def _normal(self, text: str) -> str | None:
        """An address in normal form, None where no configured chain reads it as one."""
        for chain in self._all_chains():
            try:
                address = self._address_reader(chain)(text)
            except BadInput:  # of this chain it would be a bad one; another may know it
                continue
            if address is not None:
                return address.text
        return None

    def _write_lines(self, lines: Sequence[str]) -> bool:
        """Write them into the freeze file; say whether that could be done."""
        from cryptosupport.outside.freezefile import append

        try:
            append(self.freeze_file, lines)
        except BadSettings as error:
            self.warn(f"{error.message}: it can count by the ledger alone")
            return False
        return True

    def _record(self, freezes: Sequence[Freeze], operator: str | None, hand: Hand) -> list[Freeze]:
        """Have the ledger know them; what was frozen before already needs no line of its own in the file."""
        from cryptosupport.desk.freeze import freeze_all_of
        from cryptosupport.domain.freezes import line_of

        made = freeze_all_of(self.ledger(), self._proven(freezes, operator, hand))
        needless = {each.id for each in freezes} - {each.id for each in made}
        if needless and self._write_lines([line_of(each) for each in made if each.id not in self._ids_in_file()]):
            self._forget(needless)
        return made

    def _ids_in_file(self) -> set[str]:
        return {line.freeze_id for line in self.freeze_lines()}

    def _proven(self, freezes: Sequence[Freeze], operator: str | None, hand: Hand) -> list[Freeze]:
        """The freezes with a signature where there is one: without it they count all the same."""
        from cryptosupport.domain.errors import Unreachable

        try:
            _, proven = self.prove(operator, hand, frozenset(Role), "freeze")
        except Unreachable:
            raise
        except SupportError as error:
            self._hear(error, operator)
            self.warn(f"it is not proven who freezes: {error.message}")
            proven = False
        return [replace(each, proven=proven) for each in freezes]

    def _hear(self, error: SupportError, operator: str | None) -> None:
        """A freeze counts whatever was found meanwhile, and what was found is written down."""
        if error.audited:
            self.write_down(error, "cryptosupport freeze add", "", operator)

    @abstractmethod
    def write_down(self, error: SupportError, command: str, about: str, by: str | None) -> None:
        """Write into the audit log that ``command`` was refused."""

    def lift(self, scopes: Sequence[str], operator: str, hand: Hand) -> list[dict[str, Any]]:
        """Lift freezes, and take those that are lifted out of this machine's file; as records."""
        from cryptosupport.desk.freeze import as_record, lift
        from cryptosupport.domain.freezes import read_scope

        wanted = [read_scope(scope) for scope in scopes]
        done = lift(self._with_file(), self.people, wanted, operator, hand)
        self._forget({each.freeze.id for each in done if not each.missing})
        return [as_record(each.freeze, self.clock.milliseconds(), each.by) for each in done]

    def _forget(self, ids: set[str]) -> None:
        from cryptosupport.outside.freezefile import forget

        try:
            forget(self.freeze_file, ids)
        except BadSettings as error:  # the ledger knows that they are lifted, and goes by that
            self.warn(f"{error.message}: take out yourself what was lifted")

    def freeze_records(self, lifted: bool) -> list[dict[str, Any]]:
        """What is frozen, as records; what only the file says is taken into the ledger first."""
        from cryptosupport.desk.freeze import list_freezes

        ledger = self._with_file()
        self.warn_of_freezes(ledger)
        return list_freezes(ledger, lambda: self.people_in_force, lifted)

    def _with_file(self) -> Ledger:
        """The ledger, which knows what the freeze file says."""
        from cryptosupport.desk.freeze import take_file

        lines = self.freeze_lines()
        ledger = self.ledger(make=bool(lines))
        if lines:
            with ledger.act() as records:
                take_file(records, lines)
        return ledger

    def warn_of_freezes(self, ledger: Ledger) -> None:
        """Warn of freezes that count longer than was thought, and of those that cover nothing by the settings."""
        from cryptosupport.desk.freeze import overdue

        with ledger.look() as records:
            freezes, now = records.freezes(), records.now
        for warning in overdue(freezes, now):
            self.warn(warning)
        for scope in {each.scope.key: each.scope for each in freezes}.values():
            try:
                _, why = self._known(scope)
            except BadSettings as error:
                why = f"whether {scope.text} covers anything cannot be told: {error.message}"
            if why:
                self.warn(f"{why}: this freeze may cover nothing")

    def freezes_told(self) -> tuple[list[str], list[str]]:
        """What is frozen, in words, and what to warn of beside; nothing is written."""
        from cryptosupport.desk.freeze import overdue, told

        freezes: list[Freeze] = []
        now = 0
        if not self._no_ledger_yet():
            with self.ledger(make=False).look() as records:
                freezes, now = records.freezes(lifted=True), records.now
        counting, known = [each for each in freezes if each.lifted_at is None], {each.id for each in freezes}
        lines = [each for each in self.freeze_lines() if not known & {each.freeze_id, each.said_id}]
        in_file = [f"{each.scope.text} by the freeze file: {each.reason}" for each in lines]
        return [*map(told, counting), *in_file], overdue(counting, now)
