"""Who works at the desk, as settings and ledger have it, and who is proven to give a command."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cryptosupport.context.ledgers import WithLedger
from cryptosupport.domain.errors import BadInput, BadSettings, Edited

if TYPE_CHECKING:
    from cryptosupport.context.signing import Hand
    from cryptosupport.desk.people import People
    from cryptosupport.domain.freezes import FileLine
    from cryptosupport.domain.operators import Change, Operator, Operators, Role


class WithPeople(WithLedger):
    """Operators, signatures and the freeze file."""

    @cached_property
    def operators_file(self) -> dict[str, Operator] | None:
        """The people of operators.toml, None without any. Raises `BadSettings`."""
        from cryptosupport.settings.operators import load_operators

        return load_operators(self.folder)

    @cached_property
    def _versions(self) -> tuple[Operators, list[Operators], list[Change]]:
        """The operators in force, all that were, and the policies that were signed, proven along their chains."""
        from cryptosupport.desk.people import operators_of, policies_of
        from cryptosupport.domain.operators import Operators

        if self._no_ledger_yet():
            return Operators({}), [], []
        from cryptosupport.context.signing import fault

        with self.ledger(make=False).look() as records:
            operators, versions = operators_of(records, fault)
            return operators, versions, policies_of(records, versions, fault)

    @cached_property
    def people(self) -> People:
        """The operators in force, whom operators.toml has to name. Raises `Tampered`, and `BadSettings` for a file
        that is not what two of them signed.
        """
        from cryptosupport.desk.people import agree

        operators, versions, _ = self._versions
        with self.as_signed("operators.toml"):
            file = self.operators_file
        warning = agree(operators, versions, file, str(self.folder / "operators.toml"))
        if warning:
            self.warn(warning)
        return self.people_in_force

    @cached_property
    def people_in_force(self) -> People:
        """The operators in force, whatever operators.toml says: for those who set it right."""
        from cryptosupport.context.signing import fault, same_key
        from cryptosupport.desk.people import People

        keys = {name: self.secret(key) for name, key in self.desk.intake.keys.items()}
        operators, versions, _ = self._versions
        return People(operators, fault, same_key, self.desk.approvals.fresh_ms, keys, versions=versions)

    @contextmanager
    def as_signed(self, file: str) -> Iterator[None]:
        """Read a ``file`` that two people signed. Raises `Edited` where there are people, since one that cannot be read
        is not what they signed.
        """
        try:
            yield
        except BadSettings as error:
            if not self._versions[0]:
                raise
            raise Edited(error.message, file=file) from error

    def signed_policies(self) -> list[Change]:
        """The policies that two signed, the one in force last; none while there are no operators."""
        return self._versions[2] if self.people.operators else []

    def hand(self, key: str | None = None, statement: str | None = None, write: str | None = None) -> Hand:
        """What signs for an operator."""
        from cryptosupport.context.signing import Hand
        from cryptosupport.outside import keyrings

        def secret(name: str) -> str | None:
            keyrings.refuse_weak(self.desk.keys.allow_backends)
            return keyrings.password(name)

        paths = [None if each is None else Path(each) for each in (key, statement, write)]
        return Hand(secret, *paths)

    def prove(
        self, operator: str | None, hand: Hand, roles: Collection[Role], action: str, about: Sequence[str] = ()
    ) -> tuple[str, bool]:
        """Who gives a command, as the audit log names them, and whether a signature showed it.

        The signature is bound to what the command is ``about``; without that it counts this once, and can only be made
        at once. Without operators anybody is whom they say. Raises `Refused` for an operator who does not sign,
        `BadInput` for a signature from elsewhere that would not be bound to anything.
        """
        from cryptosupport.domain.audit import PROGRAM
        from cryptosupport.domain.statements import Statement

        if operator is None:
            return PROGRAM, False
        people = self.people
        if not people.operators:
            return f"{operator} (unproven)", False
        people.person(operator, roles)
        if hand.elsewhere and not about:
            raise BadInput(f"to {action} is signed at once: sign with --key FILE, or with a key in the keyring")
        subject = _subject(about)
        with self.ledger().look() as records:
            signed = hand.sign(Statement(action, subject, operator, records.now, records.ledger_id))
        with self.ledger().look() as records:
            people.speaks(signed, action, subject, records, roles)
        return f"operator {operator}", True

    def revealing(self, asked: tuple[str, str] | None, hand: Hand) -> tuple[str, str] | None:
        """Who looks at personal data, as the audit log names them, and why; None where nobody asked to."""
        from cryptosupport.domain.operators import Role

        if asked is None:
            return None
        roles = frozenset({Role.SUPPORT, Role.COMPLIANCE, Role.OPS, Role.APPROVER})
        return self.prove(asked[0], hand, roles, "reveal")[0], asked[1]

    @property
    def freeze_file(self) -> Path:
        """The freeze file of this machine."""
        return self.desk.freeze.path(self.data_folder)

    def freeze_lines(self) -> list[FileLine]:
        """What the freeze file says now."""
        from cryptosupport.outside.freezefile import read

        return read(self.freeze_file)


def _subject(about: Sequence[str]) -> str:
    """What a statement is bound to: the hash of what it is about, or something that never was and will not be again."""
    from hashlib import sha256
    from secrets import token_hex

    from cryptosupport.domain.withdrawals import canonical

    return sha256(canonical(list(about))).hexdigest() if about else token_hex(32)
