"""A desk on a real, empty ledger, once on SQLite and once on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from cryptosupport.domain.policy.rules import Policy
from cryptosupport.ledger.engine import open_engine
from cryptosupport.ledger.schema import ready
from tests.desk.deskkit import Desk, Turned, ledger_in


@pytest.fixture
def engine(ledger_url: str, tmp_path: Path) -> Iterator[Engine]:
    """A database with empty tables."""
    engine = open_engine(ledger_url, tmp_path / "data")
    ready(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def desk_with(engine: Engine) -> Callable[..., Desk]:
    """Open a desk with a policy; all desks of a test have the same ledger and clock."""
    clock = Turned()
    ledger = ledger_in(engine, clock)

    def open_desk(policy: Policy, **facts: Any) -> Desk:
        return Desk(ledger, clock, policy, **facts)

    return open_desk
