"""The ledger as the program makes it."""

from __future__ import annotations

import pytest

from cryptosupport.ledger import schema
from tests.ledger import steps


@pytest.fixture(autouse=True)
def tables_by_alembic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alembic makes every ledger."""
    monkeypatch.setattr(schema, "_migrate", steps.by_alembic)
