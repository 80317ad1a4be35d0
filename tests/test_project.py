"""What holds for the package as a whole: its layers, its errors, its imports, its wheel."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import hpc_runner
from hpc_runner import errors

PACKAGE = Path(hpc_runner.__file__).parent
AGENT = PACKAGE / "sandbox" / "agent.py"

ALL = {module.name for module in pkgutil.walk_packages([str(PACKAGE)], "hpc_runner.")}
MODULES = sorted(ALL - {"hpc_runner.__main__"})  # importing that one runs the command

# What a worker must never load: each costs a second or a hundred megabytes, or
# belongs to the coordinator alone.
NOT_IN_A_WORKER = {
    "litellm", "openai", "anthropic", "mcp", "fastmcp", "altair", "textual", "polars",
    "submitit", "typer", "rich", "duckdb",
    "hpc_runner.refine", "hpc_runner.export", "hpc_runner.report", "hpc_runner.cli",
}  # fmt: skip


def python(code: str, *, cwd: Path | None = None) -> str:
    """stdout of ``code`` in a new interpreter that finds this checkout."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Layers


def layers(checkout: Path) -> list[set[str]]:
    with (checkout / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    ordered = next(item for item in contracts if item["type"] == "layers")["layers"]
    return [set(re.findall(r"hpc_runner[.\w]*", layer)) for layer in ordered]


def test_imports_follow_the_layers(checkout: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_stands_in_exactly_one_layer(checkout: Path) -> None:
    named = layers(checkout)
    packages = {name for name in ALL if (PACKAGE.parent / name.replace(".", "/")).is_dir()}
    for module in ALL - packages:
        homes = [
            index
            for index, layer in enumerate(named)
            if any(module == name or module.startswith(f"{name}.") for name in layer)
        ]
        assert len(homes) == 1, f"{module} stands in {len(homes)} layers of pyproject.toml"


def test_the_layers_name_only_what_exists(checkout: Path) -> None:
    assert set().union(*layers(checkout)) <= ALL


# The agent


def test_the_agent_imports_the_standard_library_only() -> None:
    imported = set()
    for node in ast.walk(ast.parse(AGENT.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import, and it must stand alone"
            imported.add((node.module or "").partition(".")[0])
    other_versions = {"_sha2", "_sha256"}  # the one from 3.12 on, the other before
    assert imported - sys.stdlib_module_names - other_versions == set()


def test_the_agent_is_in_the_syntax_of_python_3_8() -> None:
    ast.parse(AGENT.read_text(), feature_version=(3, 8))
    if python3_8 := shutil.which("python3.8"):
        code = f"compile(open({str(AGENT)!r}).read(), 'agent.py', 'exec')"
        done = subprocess.run([python3_8, "-c", code], capture_output=True, text=True, check=False)
        # A version manager's stub answers for a Python that it has not installed.
        assert done.returncode == 0 or "SyntaxError" not in done.stderr, done.stderr


# The error tree


def test_the_error_tree_is_told_in_full() -> None:
    classes = {
        name: cls
        for name, cls in vars(errors).items()
        if inspect.isclass(cls) and cls.__module__ == errors.__name__
    }
    told: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^    ([│├└─ ]*)([A-Z]\w+)( |$)", line):
            depth = len(match[1]) // 4
            told[match[2]] = path[depth - 1] if depth else None
            path[depth:] = [match[2]]
    told["RowError"] = "CorpusError"  # told in the paragraph below the tree
    assert "``RowError``" in (errors.__doc__ or "")
    root = told.pop("HpcRunnerError", "absent")
    assert root is None
    assert told == {
        name: cls.__bases__[0].__name__ for name, cls in classes.items() if name != "HpcRunnerError"
    }


def test_every_error_has_an_exit_code() -> None:
    pairs = {
        name: cls.exit_code
        for name, cls in vars(errors).items()
        if inspect.isclass(cls) and issubclass(cls, errors.HpcRunnerError)
    }
    for name, code in pairs.items():
        mistake = issubclass(getattr(errors, name), errors.UserError)
        assert code == (2 if mistake else 1), name


def test_no_exception_is_defined_elsewhere() -> None:
    for module in MODULES:
        for name, cls in vars(importlib.import_module(module)).items():
            if inspect.isclass(cls) and issubclass(cls, errors.HpcRunnerError):
                assert cls.__module__ == "hpc_runner.errors", f"{module}.{name}"


# Imports


def test_importing_does_nothing(tmp_path: Path) -> None:
    """No output, no write, no process, no socket, and no look at the environment."""
    spy = f"""
import importlib, os, sys
ours = {str(PACKAGE)!r}
others = [
    importlib.import_module(name)
    for name in ("duckdb", "pyarrow.parquet", "pyarrow.dataset", "pyarrow.compute", "pydantic",
                 "rich.console", "rich.live", "rich.table", "rich.progress", "typer", "typer.main")
]
seen = []

def from_us():
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith(ours):
            return frame.f_code.co_filename
        if "importlib" not in frame.f_code.co_filename:
            return None
        frame = frame.f_back

class Spy(dict):
    def __getitem__(self, key):
        if from_us(): seen.append(("environ", key))
        return dict.__getitem__(self, key)
    def get(self, key, default=None):
        if from_us(): seen.append(("environ", key))
        return dict.get(self, key, default)

WATCHED = {{"os.mkdir", "os.rename", "os.remove", "os.fork", "os.exec", "os.posix_spawn",
           "os.system", "subprocess.Popen", "socket.connect", "socket.bind"}}

def audit(event, args):
    if event in WATCHED:
        seen.append((event, args))
    elif event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR):
        seen.append((event, args[0]))

os.environ = Spy(os.environ)
sys.addaudithook(audit)
for name in {MODULES!r}:
    importlib.import_module(name)
print(seen)
"""
    assert python(spy, cwd=tmp_path) == "[]\n"
    assert list(tmp_path.iterdir()) == []


def test_the_package_itself_loads_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import hpc_runner, hpc_runner.errors, json;"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    loaded = {name.partition(".")[0] for name in json.loads(python(code))}
    assert loaded - sys.stdlib_module_names == {"hpc_runner"}


def test_what_the_package_offers_is_there_and_told(checkout: Path) -> None:
    told = (checkout / "docs" / "api.md").read_text()
    for name in hpc_runner.__all__:
        assert getattr(hpc_runner, name) is not None
        assert f"`{name}" in told or name == "__version__", f"docs/api.md is silent about {name}"
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    (listed,) = [node.value for node in stub.body if isinstance(node, ast.Assign)]
    assert ast.literal_eval(listed) == hpc_runner.__all__ == sorted(hpc_runner.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = hpc_runner.nonsense  # type: ignore[attr-defined]


def test_a_worker_loads_only_what_it_needs() -> None:
    code = "import hpc_runner.sandbox.worker, json, sys; print(json.dumps(list(sys.modules)))"
    loaded = json.loads(python(code))
    unwanted = {
        name
        for name in loaded
        if any(name == other or name.startswith(f"{other}.") for other in NOT_IN_A_WORKER)
    }
    assert unwanted == set()


# What is packaged


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return next(target.glob("*.whl"))


def test_the_wheel_holds_what_the_checkout_holds(wheel: Path, checkout: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    ours = {
        str(path.relative_to(checkout))
        for path in (checkout / "hpc_runner").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert ours - packed == set()
    assert {"hpc_runner/py.typed", "hpc_runner/examples/corpus.jsonl"} <= packed
    assert not [name for name in packed if name.startswith(("tests/", "benchmarks/", "docs/"))]


def test_the_version_is_told_once(wheel: Path, checkout: Path) -> None:
    assert wheel.name == f"hpc_runner-{hpc_runner.__version__}-py3-none-any.whl"
    assert f"## [{hpc_runner.__version__}]" in (checkout / "CHANGELOG.md").read_text()


def test_the_lock_file_is_portable(checkout: Path) -> None:
    """No private mirror, no path of a machine, and a hash for every file."""
    lock = tomllib.loads((checkout / "uv.lock").read_text())
    for package in lock["package"]:
        source = package["source"]
        if package["name"] == "hpc-runner":
            assert source == {"editable": "."}
            continue
        assert source == {"registry": "https://pypi.org/simple"}, package["name"]
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files, package["name"]
        for file in files:
            assert file["url"].startswith("https://files.pythonhosted.org/"), file["url"]
            assert file["hash"].startswith("sha256:"), file["url"]


# The documents


def test_links_between_documents_lead_somewhere(checkout: Path) -> None:
    documents = [*checkout.glob("*.md"), *checkout.glob("docs/**/*.md")]
    assert documents
    for document in documents:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text()):
            if not re.match(r"[a-z]+:", target):
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_files_are_short(checkout: Path) -> None:
    """At most about 400 lines; docs/decisions says which file may be longer, and why."""
    allowed = {"hpc_runner/sandbox/agent.py"}
    scripts = [checkout / "slurm" / "testcluster", *checkout.glob("slurm/**/*.py")]
    for path in [*scripts, *checkout.glob("hpc_runner/**/*.py")]:
        name = str(path.relative_to(checkout))
        lines = len(path.read_text().splitlines())
        assert lines <= 420 or name in allowed, f"{name} has {lines} lines"


def test_no_two_modules_of_tests_have_one_name(checkout: Path) -> None:
    """pytest imports them by their bare names."""
    files = [*(checkout / "tests").rglob("test_*.py")]
    names = [path.name for path in files]
    assert sorted(set(names)) == sorted(names)
