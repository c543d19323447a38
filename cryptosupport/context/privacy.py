"""Opens the keys of personal data, when there is something to seal or to open."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from cryptosupport.context.opening import Opening
from cryptosupport.domain.errors import BadSettings

if TYPE_CHECKING:
    from cryptosupport.outside.personal import KeptKeys


class Privacy(Opening):
    """What keeps personal data, and who may look at it."""

    @cached_property
    def personal_keys(self) -> KeptKeys:
        """The keys of personal data; no keyring is asked before the first text that is to be sealed or opened."""
        from cryptosupport.outside.personal import KeptKeys

        def in_clear() -> None:
            self.warn("note and beneficiary are kept in clear: run `cryptosupport keys set personal-data --random`")

        return KeptKeys(self._personal_secret, self._keep_personal_secret, in_clear)

    @property
    def reveals_per_hour(self) -> int:
        """How often an operator may look at personal data."""
        return self.desk.privacy.reveals_per_hour

    @property
    def _personal_key(self) -> str:
        return self.desk.privacy.key

    def _personal_secret(self) -> str | None:
        """What the keys are kept as, None where there are none. A keyring that cannot be read is no empty one."""
        from cryptosupport.outside import keyrings

        scheme, _, name = self._personal_key.partition(":")
        if scheme != "keyring":
            return self.secret(self._personal_key)
        if not keyrings.backends():
            return None
        keyrings.refuse_weak(self.desk.keys.allow_backends)
        return keyrings.password(name)

    def _keep_personal_secret(self, secret: str) -> None:
        from cryptosupport.outside import keyrings

        scheme, _, name = self._personal_key.partition(":")
        if scheme != "keyring":
            raise BadSettings(
                f"[privacy] key is {scheme}:{name}, where this program cannot write: put a new key there in front of "
                'the others, or keep them in the keyring as "keyring:NAME"'
            )
        keyrings.set_password(name, secret)
