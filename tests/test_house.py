"""The rules of the house: who imports whom, what a --help may load, how long a file may be, what a package holds."""

from __future__ import annotations

import ast
import configparser
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from cryptosupport import __version__

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cryptosupport"
SOURCES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {"web3", "eth_account", "sqlalchemy", "httpx2", "httpcore2", "keyring"}

LONGEST_FILE = 500
LONGEST_FUNCTION = 50

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python(*arguments: str, cwd: Path = ROOT, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, check=False)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# -- who imports whom ------------------------------------------------------------------------------------------------


def test_the_import_contracts_of_setup_cfg_hold() -> None:
    done = python("-c", "from importlinter.cli import lint_imports_command as run; run(['--no-logo', '--no-cache'])")
    assert done.returncode == 0, done.stdout


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name_of(path)}: a relative import"
            yield node.module or ""


def test_the_domain_imports_the_standard_library_and_itself_only() -> None:
    for path in (PACKAGE / "domain").rglob("*.py"):
        for module in imported(path):
            own = module.startswith("cryptosupport.domain")
            assert own or module.split(".")[0] in sys.stdlib_module_names, f"{name_of(path)} imports {module}"


def test_the_domain_knows_no_clock_and_no_network() -> None:
    forbidden = {"time", "socket", "http", "random", "secrets", "os", "sqlite3", "subprocess", "threading"}
    for path in (PACKAGE / "domain").rglob("*.py"):
        modules = set(imported(path)) - {"urllib.parse"}
        assert not (forbidden | {"urllib"}) & {module.split(".")[0] for module in modules}, name_of(path)


def test_every_library_that_is_imported_is_one_that_setup_cfg_names() -> None:
    names = configparser.ConfigParser()
    names.read(ROOT / "setup.cfg", encoding="utf-8")
    named = {_plain(re.split(r"[<>=~!\[]", line)[0]) for line in names["options"]["install_requires"].split()}
    modules = {module.split(".")[0] for path in SOURCES for module in imported(path)}
    homes = packages_distributions()
    foreign = {module: homes.get(module, []) for module in modules - sys.stdlib_module_names - {"cryptosupport"}}
    assert {module for module, owners in foreign.items() if not named & set(map(_plain, owners))} == set()
    used = {_plain(owner) for owners in foreign.values() for owner in owners}
    by_name = {"psycopg"}  # SQLAlchemy imports it when a url says postgresql+psycopg
    assert named - used - by_name == set(), "named in setup.cfg, imported nowhere"


def _plain(name: str) -> str:
    """The name of a distribution in its one spelling (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


# -- what a --help loads ---------------------------------------------------------------------------------------------

WALK = """
import json, click
from cryptosupport.commands import root
def walk(command, path):
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from walk(command.get_command(context, name), [*path, name])
print(json.dumps(list(walk(root, []))))
"""

LOADED = """
import json, os, sys
from cryptosupport.commands import run
def loaded(arguments):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 1)
        code = run(arguments)
        print("\\n" + json.dumps([code, sorted(sys.modules)]), flush=True)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said
print(json.dumps([loaded(each) for each in json.load(sys.stdin)]))
"""
"""Each command line in a process of its own, forked from one that has loaded what all of them do."""


@pytest.fixture(scope="module")
def commands() -> list[list[str]]:
    done = python("-c", WALK)
    assert done.returncode == 0, done.stderr
    found: list[list[str]] = json.loads(done.stdout)
    assert ["tx", "status"] in found
    return found


def loaded(*lines: list[str]) -> Iterator[tuple[str, set[str]]]:
    """What each command line prints, and the modules that it has loaded by then."""
    done = python("-W", "error", "-c", LOADED, stdin=json.dumps(lines))
    assert done.returncode == 0, done.stderr
    for said in json.loads(done.stdout):
        text, _, last = said.rpartition("\n[")
        code, modules = json.loads("[" + last)
        assert code == 0, text
        yield text, set(modules)


def test_the_version_loads_no_heavy_module() -> None:
    ((text, modules),) = loaded(["--version"])
    assert __version__ in text
    assert not modules & HEAVY


def test_every_help_page_loads_no_heavy_module_and_shows_an_example(commands: list[list[str]]) -> None:
    pages = [[*path, flag] for path in commands for flag in ("--help", "-h")]
    for page, (text, modules) in zip(pages, loaded(*pages), strict=True):
        assert not modules & HEAVY, f"{' '.join(page)} loads {modules & HEAVY}"
        assert "Example" in text, f"{' '.join(page)} shows no example"


def test_a_status_of_a_chain_never_loads_web3_or_keyring() -> None:
    checked = ["address", "check", "--offline", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "--json"]
    ((_, modules),) = loaded(checked)
    assert not modules & {"web3", "eth_account", "sqlalchemy", "keyring"}


# -- how it reads ----------------------------------------------------------------------------------------------------


def overload(function: Function) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "overload" for each in function.decorator_list)


def functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """The functions of a module and the methods of its classes, by dotted name."""
    for node in tree.body:
        if isinstance(node, Function):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{part.name}", part) for part in node.body if isinstance(part, Function))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_everything_public_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "the module has no docstring"
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"class {node.name} has no docstring"
    for name, function in functions(tree):
        if not any(part.startswith("_") for part in name.split(".")) and not overload(function):
            assert ast.get_docstring(function), f"{name} has no docstring"


def test_no_file_and_no_function_is_too_long() -> None:
    written = [*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") < LONGEST_FILE, f"{name_of(path)} has {text.count(chr(10))} lines"
        for name, function in functions(ast.parse(text)):
            lines = (function.end_lineno or 0) - function.lineno + 1
            assert lines < LONGEST_FUNCTION, f"{name_of(path)}: {name} has {lines} lines"


# -- how it is installed ---------------------------------------------------------------------------------------------


def test_the_program_runs_from_a_checkout() -> None:
    done = python("-W", "error", str(ROOT / "cli.py"), "--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"cryptosupport {__version__}")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str]]:
    """The names in the sdist, and in the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("built")
    tree = folder / "tree"
    tree.mkdir()
    for name in ("cryptosupport", "configs"):
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, tree)
    build = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"
    done = python("-c", build, "build_sdist", str(folder), cwd=tree)
    assert done.returncode == 0, done.stderr
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder / "sdist", filter="data")
        names = {name.partition("/")[2] for name in archive.getnames()}
    done = python("-c", build, "build_wheel", str(folder), cwd=next((folder / "sdist").iterdir()))
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        return names, set(packed.namelist())


def test_the_presets_and_all_modules_land_in_sdist_and_wheel(built: tuple[set[str], set[str]]) -> None:
    wanted = {f"cryptosupport/{path.relative_to(PACKAGE)}" for path in SOURCES} | {"cryptosupport/py.typed"}
    presets = [path for path in (ROOT / "configs").rglob("*") if path.is_file()]
    assert any(path.name == "bitcoin.toml" for path in presets)
    wanted |= {f"cryptosupport/configs/{path.relative_to(ROOT / 'configs')}" for path in presets}
    for names in built:
        assert wanted <= names, sorted(wanted - names)


def test_nothing_but_the_package_is_installed(built: tuple[set[str], set[str]]) -> None:
    tops = {name.split("/")[0] for name in built[1]}
    assert tops == {"cryptosupport", f"cryptosupport-{__version__}.dist-info"}
