"""Metrics for the text file collector of Prometheus: one file, which is always whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.metrics import Gauge

_READABLE = 0o644
"""The collector runs under a user of its own."""


def write(path: Path, gauges: Iterable[Gauge]) -> None:
    """Put ``gauges`` in the file's place, whole or not at all. Raises `BadSettings`: then the file is as it was."""
    try:
        text = _text(gauges)
    except ValueError as error:  # a float of wallets.toml is any text
        raise BadSettings(f"the metrics file {path} is not written: {error}") from error
    name = None
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(number, "wb") as file:
            file.write(text)
            os.fchmod(number, _READABLE)
        os.replace(name, path)
    except OSError as error:
        if name is not None:
            with suppress(OSError):
                os.unlink(name)
        raise BadSettings(f"the metrics file {path} cannot be written: {error.strerror}") from error


def _text(gauges: Iterable[Gauge]) -> bytes:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client import Gauge as Collected

    registry = CollectorRegistry()
    for gauge in gauges:
        collected = Collected(gauge.name, gauge.help, gauge.labels, registry=registry)
        for labels, value in gauge.values.items():
            (collected.labels(*labels) if labels else collected).set(float(value))
    return generate_latest(registry)
