"""Changes of operators, policy and cold set: what they need opened, and the files that they leave behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptosupport.context.policies import WithPolicies
from cryptosupport.domain.errors import BadInput, BadSettings
from cryptosupport.domain.operators import COLD, OPERATORS, POLICY, Operator, Role

if TYPE_CHECKING:
    from cryptosupport.context.signing import Hand
    from cryptosupport.desk.change_desk import Stand
    from cryptosupport.desk.cold_set import ColdSet
    from cryptosupport.desk.people import People
    from cryptosupport.domain.coldset import Cold
    from cryptosupport.domain.operators import Change


class WithChanges(WithPolicies):
    """Who and what counts, and how that changes."""

    # -- operators

    def public_key(self, name: str, given: str) -> str:
        """A public key as a line: as it is given, from a file, or of a private key that the keyring holds or gets.

        Raises `BadInput` for a name or key that cannot be used, `BadSettings` where the keyring keeps it in clear.
        """
        _refuse_name(name)
        from cryptosupport.context.signing import KEY_NAME
        from cryptosupport.outside import keyrings
        from cryptosupport.outside.sshkeys import PublicKey, private_key, public_line
        from cryptosupport.settings.reading import content

        if given == "keyring":
            from secrets import token_hex

            keyrings.refuse_weak(self.desk.keys.allow_backends)
            secret = keyrings.password(KEY_NAME.format(name))
            if secret is None:
                secret = token_hex(32)
                keyrings.set_password(KEY_NAME.format(name), secret)
            return public_line(private_key(secret))
        try:
            text = given if " " in given else content(Path(given)).decode().strip()
            return PublicKey.read(text).line
        except (OSError, UnicodeDecodeError, BadSettings):  # what stands there may be a private key
            hint = 'write "ssh-ed25519 AAAA...", or name a file with such a line, or write keyring'
        raise BadInput(f"--public-key is no public key that can be used: {hint}")

    def with_operator(self, name: str, roles: Sequence[str], key: str) -> dict[str, Operator]:
        """The operators with a new one, or a changed one; first of all those of a file that nobody signed yet."""
        from cryptosupport.context.signing import same_key
        from cryptosupport.desk.change_desk import with_operator

        _refuse_name(name)
        new = Operator(name, frozenset(map(Role, roles)), key)
        return with_operator(self._people_to_change(), new, same_key, self.people_in_force.intake)

    def _people_to_change(self) -> Mapping[str, Operator]:
        """Those in force; before the first ones are, those that are proposed."""
        from cryptosupport.desk.change_desk import standing
        from cryptosupport.domain.operators import people_of

        people = self.people_in_force
        if people.operators or self._no_ledger_yet():
            return people.operators.people
        with self.ledger(make=False).look() as records:
            proposed = standing(records, OPERATORS, people.fault).proposed
        return {} if proposed is None else people_of(proposed.content)

    def propose_operators(self, people: People, after: Mapping[str, Operator], by: str, hand: Hand) -> Stand:
        """Propose ``after`` as the operators."""
        from cryptosupport.desk.change_desk import draft_of, propose
        from cryptosupport.settings.operators import operators_text

        before = people.operators.people
        draft = draft_of(before, after, operators_text(after.values()))
        return propose(self.ledger(), people, draft, by, hand, self.desk.approvals.lock_ms)

    def sign_operators(self, by: str, hand: Hand) -> Stand:
        """Sign the operators that are proposed; where none are, and none were ever, those of operators.toml."""
        from cryptosupport.desk.change_desk import sign, standing

        people = self.people_in_force
        with self.ledger().look() as records:
            proposed = standing(records, OPERATORS, people.fault).proposed
        if proposed is None and not people.operators and self.operators_file:
            self._refuse_shared_keys(self.operators_file)
            return self.propose_operators(people, self.operators_file, by, hand)
        return sign(self.ledger(), people, OPERATORS, by, hand, self.desk.approvals.lock_ms)

    def _refuse_shared_keys(self, people: Mapping[str, Operator]) -> None:
        from cryptosupport.context.signing import same_key
        from cryptosupport.desk.change_desk import with_operator

        checked: dict[str, Operator] = {}
        for each in people.values():
            checked = with_operator(checked, each, same_key, self.people_in_force.intake)

    def operator_records(self) -> list[dict[str, Any]]:
        """The operators in force, and those that a proposed change adds, as records."""
        from cryptosupport.desk.change_desk import standing
        from cryptosupport.desk.people import signers
        from cryptosupport.domain.operators import people_of

        people = self.people_in_force
        rows = [_operator(each, "active") for each in people.operators.people.values()]
        if self._no_ledger_yet():
            return rows
        with self.ledger(make=False).look() as records:
            stands = standing(records, OPERATORS, people.fault)
            if stands.proposed is None:
                return rows
            who = signers(records, stands.proposed, stands.by, stands.roles, people.fault)
        after = people_of(stands.proposed.content)
        before = people.operators.people
        for name in sorted(after.keys() | before.keys()):
            if after.get(name) != before.get(name):
                state = "proposed" if name in after else "to be removed"
                by = f"{state}, signed by {', '.join(who) or 'nobody'}"
                rows.append(_operator(after.get(name) or before[name], by))
        return rows

    # -- policy

    def propose_policy(self, path: Path, by: str, hand: Hand) -> tuple[Stand, tuple[str, ...]]:
        """Propose the policy in a file; say what differs from the one in force."""
        from cryptosupport.desk.change_desk import Draft, propose
        from cryptosupport.desk.people import policy_content
        from cryptosupport.settings.reading import content

        people = self.people
        people.need()
        try:
            text = content(path).decode()
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise BadInput(f"{path} cannot be read: {said}") from error
        hash, loosens, differences = self._compared(text, str(path))
        draft = Draft(POLICY, policy_content(hash), text, loosens)
        return propose(self.ledger(), people, draft, by, hand, self.desk.approvals.lock_ms), differences

    def proposed_policy(self) -> tuple[Change | None, tuple[str, ...]]:
        """The policy that is proposed, None without one, and what differs from the one in force."""
        from cryptosupport.desk.change_desk import standing

        people = self.people
        people.need()
        with self.ledger().look() as records:
            proposed = standing(records, POLICY, people.fault).proposed
        return proposed, () if proposed is None else self._compared(proposed.file, "the policy proposed")[2]

    def sign_policy(self, by: str, hand: Hand) -> Stand:
        """Sign the policy that is proposed, when it says all that it loosens as this machine sees it."""
        from cryptosupport.desk.change_desk import sign

        def loosens(change: Change) -> tuple[str, ...]:
            return self._compared(change.file, "the policy proposed")[1]

        return sign(self.ledger(), self.people, POLICY, by, hand, self.desk.approvals.lock_ms, loosens)

    def _compared(self, text: str, where: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """The hash of the policy in a text, what it loosens, and all that differs from the one in force."""
        from cryptosupport.desk.people import hash_of_policy
        from cryptosupport.domain.policy.compare import differences, loosens
        from cryptosupport.domain.policy.rules import Policy
        from cryptosupport.settings.policy import policy_of_toml

        timezone, signed = self.desk.desk.timezone, self.signed_policies()
        after = self._with_addresses(policy_of_toml(text, where, timezone), where)
        if not signed:
            return after.hash, loosens(Policy(()), after), differences(Policy(()), after)
        before = policy_of_toml(signed[-1].file, "the policy in force", timezone)
        # The same text is another policy where the desk's time zone, which calendar limits go by, was changed.
        moved = before.hash != hash_of_policy(signed[-1])
        said = (f"[desk] timezone in desk.toml was changed to {timezone} since the policy was signed",) if moved else ()
        before = self._with_addresses(before, None)
        return after.hash, (*said, *loosens(before, after)), (*said, *differences(before, after))

    # -- the cold set

    @property
    def named_cold(self) -> dict[str, Cold]:
        """The cold wallets of wallets.toml, by name."""
        from cryptosupport.domain.coldset import Cold

        colds = (wallet for wallet in self.wallets.values() if wallet.role == "cold")
        return {it.name: Cold(it.name, it.chain, it.address, it.descriptor) for it in colds}

    def cold_set(self) -> ColdSet:
        """The cold set in force. Raises `Tampered`."""
        from cryptosupport.desk.cold_set import cold_set

        with self.ledger().look() as records:
            return cold_set(records, self._versions[1], self.people.fault)

    def propose_cold(self, by: str, hand: Hand) -> tuple[Stand, tuple[str, ...]]:
        """Propose the cold wallets of wallets.toml; say what differs from the set in force."""
        from cryptosupport.desk.change_desk import propose
        from cryptosupport.desk.cold_set import draft_of_cold
        from cryptosupport.domain.screening import key_of

        self.people.need()
        self._refuse_no_addresses()
        wallets = ((name, it.known_by) for name, it in self.wallets.items() if it.role != "cold")
        others = {key_of(known_by): name for name, known_by in wallets if known_by is not None}
        draft, differences = draft_of_cold(self.cold_set(), self.named_cold, others)
        return propose(self.ledger(), self.people, draft, by, hand, self.desk.approvals.lock_ms), differences

    def _refuse_no_addresses(self) -> None:
        """Raise `BadSettings` for a cold wallet whose address is none of its chain."""
        for cold in self.named_cold.values():
            (settings,) = self.chain_settings(cold.chain)
            try:
                read = None if cold.address is None else self._address_reader(settings)(cold.address)
            except BadInput as error:
                raise BadSettings(f"wallets.toml [{cold.name}]: address: {error.message}") from error
            if cold.address is not None and read is None:
                raise BadSettings(f"wallets.toml [{cold.name}]: address: {cold.address} is none of {cold.chain}")

    def proposed_cold(self) -> tuple[Change | None, tuple[str, ...]]:
        """The cold set that is proposed, None without one, and what differs from the one in force."""
        from cryptosupport.desk.cold_set import proposed_cold

        self.people.need()
        with self.ledger().look() as records:
            return proposed_cold(records, self.people, self.cold_set())

    def sign_cold(self, by: str, hand: Hand) -> Stand:
        """Sign the cold set that is proposed, when it says all that it loosens as this machine sees it."""
        from cryptosupport.desk.change_desk import sign
        from cryptosupport.desk.cold_set import loosened_by

        before = self.cold_set()
        lock = self.desk.approvals.lock_ms
        return sign(self.ledger(), self.people, COLD, by, hand, lock, lambda change: loosened_by(change, before))

    def cold_records(self) -> Iterator[dict[str, Any]]:
        """The cold set, what is proposed, and what wallets.toml names beside it, as records."""
        from cryptosupport.desk.change_desk import standing
        from cryptosupport.desk.cold_set import cold_records

        with self.ledger().look() as records:
            proposed = standing(records, COLD, self.people.fault).proposed
        return cold_records(self.cold_set(), proposed, self.named_cold)

    # -- files

    def settled(self, stand: Stand) -> Stand:
        """Where a change is in force, see that its settings file says so; the cold set has none."""
        change = stand.change
        if change.active_at is not None and change.kind != COLD:
            name = {OPERATORS: "operators.toml", POLICY: "policy.toml"}[change.kind]
            path = self.folder / name
            try:
                _write(path, change.file)
            except OSError as error:
                group = "operator" if change.kind == OPERATORS else "policy"
                again = f"`cryptosupport {group} activate`"
                self.warn(f"{path} cannot be written ({error.strerror}): see to that, and have it written by {again}")
        return stand


def _refuse_name(name: str) -> None:
    from cryptosupport.settings.operators import name_fault

    if (fault := name_fault(name)) is not None:
        raise BadInput(f"{name!r} cannot be the name of an operator: {fault}")


def _operator(person: Operator, state: str) -> dict[str, Any]:
    from cryptosupport.outside.sshkeys import PublicKey

    key = PublicKey.read(person.key)
    roles = sorted(person.roles)
    return {"name": person.name, "roles": roles, "key": person.key, "fingerprint": key.fingerprint, "state": state}


def _write(path: Path, text: str) -> None:
    """Write a settings file whole or not at all, for its owner alone."""
    import os
    import tempfile

    if path.is_file() and path.read_bytes() == text.encode():
        return
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(number, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    os.replace(name, path)
