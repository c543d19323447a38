"""A signer whose store is let go of in the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.signers.signerkit import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A signer with a store of its own."""
    made = Bench(tmp_path / "keys" / "signer.db")
    yield made
    made.store.close()
