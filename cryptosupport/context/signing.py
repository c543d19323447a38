"""Signs for an operator: with a key in the keyring, with ssh-keygen, or with a signature that was made elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptosupport.domain.errors import BadInput, BadSettings, Refused, Waits
from cryptosupport.domain.statements import SIGNED, Signed, Statement, read_statement

KEY_NAME = "operator-{}"
"""What the keyring knows the private key of an operator by."""


@dataclass(frozen=True)
class Hand:
    """Signs in the way that was asked for (`desk.people.Hand`).

    ``secret`` reads the keyring, None for nothing there. ``key`` is a file for ssh-keygen; ``statement`` one with what
    was signed elsewhere, with the signature beside it in FILE.sig; ``write`` one to write what is to be signed to.
    """

    secret: Callable[[str], str | None]
    key: Path | None = None
    statement: Path | None = None
    write: Path | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether it is signed elsewhere: by another call of the same command, or on another machine."""
        return self.statement is not None or self.write is not None

    def at(self, now: int) -> int:
        """When it signs: ``now``, or the time of the statement that was signed elsewhere. Raises `BadInput`."""
        return now if self.statement is None else _statement_in(self.statement).at

    def sign(self, statement: Statement) -> Signed:
        """The statement signed, or the one that was signed elsewhere in its stead. Raises `Refused`, `BadInput`."""
        if self.write is not None:
            self._write(self.write, statement)
        if self.statement is not None:
            return _signed_elsewhere(self.statement, statement)
        from cryptosupport.outside.sshsig import sign_with_ssh_keygen

        if self.key is not None:
            return Signed(statement, sign_with_ssh_keygen(self.key, statement.signed))
        return Signed(statement, self._from_keyring(statement))

    def _from_keyring(self, statement: Statement) -> str:
        from cryptosupport.outside.sshkeys import private_key
        from cryptosupport.outside.sshsig import sign

        name = KEY_NAME.format(statement.operator)
        secret = self.secret(name)
        if secret is None:
            raise Refused(
                f"{statement.operator} has to sign this: the keyring holds no {name}. Sign with --key FILE (an OpenSSH "
                "key, also one of a FIDO2 token), or elsewhere: --write-statement FILE says how"
            )
        return sign(private_key(secret), statement.signed)

    @staticmethod
    def _write(path: Path, statement: Statement) -> None:
        try:
            path.write_bytes(statement.signed)
        except OSError as error:
            raise BadInput(f"{path} cannot be written: {error.strerror}") from error
        raise Waits(
            f"{path} is what {statement.operator} has to sign: `ssh-keygen -Y sign -n cryptosupport -f KEY {path}` "
            f"writes {path}.sig; then the same command with --statement {path}"
        )


def _content(path: Path) -> str:
    from cryptosupport.settings.reading import content

    try:
        return content(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadInput(f"{path} cannot be read: {said}") from error


def _statement_in(path: Path) -> Statement:
    text = _content(path)
    if not text.startswith(SIGNED.decode()):
        raise BadInput(f"{path} is no statement: have it written with --write-statement {path}")
    return read_statement(text.removeprefix(SIGNED.decode()))


def _signed_elsewhere(path: Path, wanted: Statement) -> Signed:
    told, signature = _statement_in(path), _content(Path(f"{path}.sig")).replace("\r\n", "\n")
    if told.operator != wanted.operator:
        raise Refused(f"{path} is a statement of {told.operator}, not of {wanted.operator}")
    return Signed(told, signature)


def fault(key: str, message: bytes, signature: str) -> str | None:
    """What is wrong with a signature of the key on a line; None when it is good."""
    from cryptosupport.outside.sshkeys import PublicKey
    from cryptosupport.outside.sshsig import fault as fault_of

    try:
        return fault_of(PublicKey.read(key), message, signature)
    except BadSettings:
        return "the public key cannot be read"


def same_key(one: str, other: str) -> bool:
    """Whether two lines are one key, whatever kind each says that it is; a key may be 64 hex digits too."""
    from cryptosupport.outside.sshkeys import PublicKey

    return PublicKey.read(_line(one)).same_key_as(PublicKey.read(_line(other)))


def _line(key: str) -> str:
    if len(key) != 64 or " " in key:
        return key
    from base64 import b64encode

    from cryptosupport.outside.sshkeys import wire

    return f"ssh-ed25519 {b64encode(wire(b'ssh-ed25519', bytes.fromhex(key))).decode()}"
