"""Many runs of this program, each in a process of its own that does not have to load it first (`commands.warmed`)."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_LONGEST = 300.0


class Warmed:
    """Runs the program in ``folder``, with these ``variables`` beside ours."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self._files = [folder / name for name in ("stdin", "stdout", "stderr")]
        checkout = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, (checkout, os.environ.get("PYTHONPATH"))))
        environment = os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"} | dict(variables)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cryptosupport.commands.warmed"], cwd=folder, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", start_new_session=True,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        """The process that has the program loaded; runs are its children."""
        return self._process.pid

    def run(self, arguments: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
        """Run it to its end: exit code, what it said, what it complained of. Raises `RuntimeError` where it hangs."""
        asked, said, complained = self._files
        asked.write_text(stdin, encoding="utf-8")
        orders, answers = self._process.stdin, self._process.stdout
        assert orders is not None
        assert answers is not None
        orders.write(json.dumps([list(arguments), *map(str, self._files)]) + "\n")
        orders.flush()
        ready, *_ = select.select([answers], [], [], _LONGEST)
        code = answers.readline() if ready else ""
        if not code:
            raise RuntimeError(f"cryptosupport {' '.join(arguments)} has not ended")
        return int(code), said.read_text(encoding="utf-8"), complained.read_text(encoding="utf-8")

    def stop(self) -> None:
        """End it, and whatever runs for it."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@contextmanager
def warmed(folder: Path, variables: Mapping[str, str]) -> Iterator[Warmed]:
    """The program, ready to be run; ended with the block."""
    program = Warmed(folder, variables)
    try:
        yield program
    finally:
        program.stop()
