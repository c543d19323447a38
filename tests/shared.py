"""Recorded answers that may lie beside the project; a test that wants one skips, saying so, when it is absent."""

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "shared"


def fixture(name: str) -> Any:
    """The recorded answer `name`, such as "ethereum/receipt_failed_status0.json"."""
    path = FOLDER / "fixtures" / name
    if not path.is_file():
        pytest.skip(f"the recorded answer {name} is not on this machine")
    return json.loads(path.read_text(encoding="utf-8"))
