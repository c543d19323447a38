"""Where the settings folder and the data folder are, what `init` writes, and who may write there."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptosupport.domain.errors import BadInput, BadSettings
from cryptosupport.settings.chains import chain_names, meant
from cryptosupport.settings.reading import is_there

PRESETS = Path(__file__).parents[1] / "configs"
"""The folder inside the package: chains only."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FILES = ("desk.toml", "wallets.toml", "policy.toml", "operators.toml")


def find_folder(option: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The settings folder: the option, $CRYPTOSUPPORT_CONFIGS, the user's, the machine's, or the package's presets.

    Raises `BadSettings` when the option or the variable names no folder, or this user may not look for one: then the
    presets must not answer in its place.
    """
    named = option or environment.get("CRYPTOSUPPORT_CONFIGS")
    if named:
        if not _is_folder(Path(named)):
            raise BadSettings(f"{named} is not a folder: make one with `cryptosupport init {named}`")
        return Path(named)
    for folder in (_at_home(".config"), Path("/etc/cryptosupport")):
        if folder is not None and _is_folder(folder):
            return folder
    return PRESETS


def folder_to_write(option: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Where a new settings folder belongs, so that `find_folder` finds it: the option, the variable, or the user's.

    Raises `BadSettings` when none is named and the user has no home.
    """
    return _named_or_at_home(option or environment.get("CRYPTOSUPPORT_CONFIGS"), ".config", "name the folder to write")


def data_folder(option: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder for data, which need not be there: the option, $CRYPTOSUPPORT_DATA, or the user's.

    Raises `BadSettings` when none is named and the user has no home.
    """
    advice = "name a folder for data with --data DIR"
    return _named_or_at_home(option or environment.get("CRYPTOSUPPORT_DATA"), ".local/share", advice)


def refuse_writable_by_others(folder: Path, further: Sequence[Path] = ()) -> None:
    """Raise `BadSettings` when a group or others can write the settings folder or a file that says who is paid how.

    ``further`` files, such as those of prices, may be elsewhere, and may be missing. A link counts as what it leads to.
    The package's presets name no wallet, and are left alone.
    """
    status = _status(folder)
    if status is not None and os.path.samestat(status, PRESETS.stat()):
        return
    chains = folder / "chains"
    inside = [folder / name for name in _FILES]
    for path in (folder, *inside, chains, *(chains / f"{name}.toml" for name in chain_names(folder))):
        status = _status(path)
        if status is not None and status.st_mode & _OTHERS_WRITE:
            raise _open_to_others(path)
    for path in further:
        if others_write(path):
            raise _open_to_others(path)


def others_write(path: Path) -> bool:
    """Whether others than its owner can write it, or what it leads to; not for what is not there or not to be seen."""
    try:
        return bool(path.stat().st_mode & _OTHERS_WRITE)
    except OSError:  # told where the file is read
        return False


def _open_to_others(path: Path) -> BadSettings:
    advice = f"run `chmod go-w {shlex.quote(str(path))}`"
    return BadSettings(f"{path} can be written by others than its owner, so no money moves: {advice}")


def _status(path: Path) -> os.stat_result | None:
    """What the system knows of it, or of what it leads to; None where nothing has this name."""
    try:
        return path.stat() if is_there(path) else None
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}") from error


def _named_or_at_home(named: str | None, below: str, advice: str) -> Path:
    folder = Path(named) if named else _at_home(below)
    if folder is None:
        raise BadSettings(f"this user has no home folder: {advice}")
    return folder


def _at_home(where: str) -> Path | None:
    """Our folder below the user's home, None for a user who has no home (a container's, or a service's)."""
    try:
        return Path.home() / where / "cryptosupport"
    except RuntimeError:
        return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}") from error


def write_presets(folder: Path, chains: Sequence[str] = ()) -> tuple[list[Path], list[Path]]:
    """Copy the presets into ``folder``, of the chains only ``chains`` if any are named: (files written, files kept).

    A file that is there stays as it is. Files are for their owner alone. Raises `BadInput` when ``folder`` is a file or
    a chain has no preset, `BadSettings` when it cannot be written.
    """
    presets = chain_names(PRESETS)
    for name in chains:
        if name not in presets:
            raise BadInput(f"no preset {name!r}; {meant(name, presets)}")
    names = [*_FILES, *(f"chains/{name}.toml" for name in chains or presets)]
    written: list[Path] = []
    kept: list[Path] = []
    try:
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"{folder} is a file: name a folder")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "chains").mkdir(mode=0o700, exist_ok=True)
        for name in names:
            (written if _copy_new(PRESETS / name, folder / name) else kept).append(folder / name)
    except OSError as error:
        raise BadSettings(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    return written, kept


def _copy_new(source: Path, target: Path) -> bool:
    """Copy a file unless something of that name is there, be it a link that leads nowhere."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(source.read_bytes())
    return True
