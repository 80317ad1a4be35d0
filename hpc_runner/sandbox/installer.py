"""The programs that resolve and audit packages: uv or pip, and pip-audit.

They run on the host with what they need of its environment.  Arguments from a
corpus have been checked to be names of packages before they get here.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc_runner.errors import DependencyError
from hpc_runner.sandbox.local import base_interpreter

__all__ = ["Target", "audit", "compile_tree", "index_settings", "install"]

RESOLVE_S = 900.0
COMPILE_S = 600.0
AUDIT_S = 120.0
PROBE_S = 20.0

_PASSED = (
    "PATH", "HOME", "USER", "TMPDIR", "LANG", "LC_ALL", "NETRC", "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE", "http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY",
    "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
)  # fmt: skip
_PASSED_PREFIXES = ("UV_", "PIP_", "XDG_", "SSL_")
_INDEX = (
    "UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS",
    "UV_NO_INDEX", "UV_CONFIG_FILE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS",
    "PIP_NO_INDEX", "PIP_CONFIG_FILE",
)  # fmt: skip
_MANYLINUX = ("2_28", "2_17")
"""What every image of ours can run: its glibc is newer."""


@dataclass(frozen=True)
class Target:
    """The Python that packages are for.

    ``version``: for example "3.11.2".  ``interpreter``: an interpreter of this host;
    the one itself, or with ``image`` any that can run the resolver.  ``image``: the
    candidates run in a glibc image of this machine's architecture.
    """

    version: str
    interpreter: str
    image: bool = False

    @property
    def platform(self) -> str:
        return f"{platform.machine()}-manylinux_{_MANYLINUX[0]}" if self.image else "host"

    @property
    def feature_version(self) -> str:
        return ".".join(self.version.split(".")[:2])


def index_settings() -> str:
    """Hex digest of the variables that say where packages come from (they may hold passwords)."""
    settings = {name: os.environ[name] for name in _INDEX if name in os.environ}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def install(requirements: Sequence[str], target: Target, tree: Path, wheelhouse: str | None) -> str:
    """Install wheels for ``requirements`` and what they need into the new directory ``tree``.

    Returns name and version of the program that did it.  Raises ``DependencyError``.
    """
    program, version = _resolver()
    arguments = (_uv if version.startswith("uv ") else _pip)(target, tree, wheelhouse)
    done = _call([*program, *arguments, *requirements], RESOLVE_S, wheelhouse)
    if done.returncode != 0:
        raise DependencyError(_said(done))
    (tree / ".lock").unlink(missing_ok=True)
    tree.mkdir(exist_ok=True)  # a marker may have left nothing to install
    return version


def compile_tree(tree: Path, target: Target) -> None:
    """Add bytecode, which the sandbox couldn't keep; compiling executes nothing of it.

    Without an interpreter of the same version here there is none, and imports are slower.
    """
    probe = "import sys; print('%d.%d' % sys.version_info[:2])"
    same = _call([target.interpreter, "-I", "-S", "-c", probe], PROBE_S)
    if same.stdout.strip() != target.feature_version:
        return
    options = ["-q", "-q", "--invalidation-mode", "unchecked-hash", "-s", str(tree)]
    # What doesn't compile (templates, tests of a package) is no matter.
    _call([target.interpreter, "-I", "-S", "-m", "compileall", *options, str(tree)], COMPILE_S)


def audit(directories: Sequence[Path]) -> list[str]:
    """Known vulnerabilities of installed packages, a sentence each; nothing without pip-audit.

    When pip-audit fails, that is what the one sentence says.
    """
    program = _beside_us("pip-audit") or shutil.which("pip-audit")
    if program is None or not directories:
        return []
    paths = [part for directory in directories for part in ("--path", str(directory))]
    try:
        done = _call(
            [program, "--format", "json", "--progress-spinner", "off", *paths],
            AUDIT_S,
        )
        packages = json.loads(done.stdout)["dependencies"]
        return sorted(
            {
                f"{package['name']} {package['version']} has the known vulnerability "
                f"{found['id']}{_fixed(found.get('fix_versions') or [])}"
                for package in packages
                for found in package.get("vulns", ())
            }
        )
    except DependencyError as error:
        return [f"pip-audit failed: {error}"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return [f"pip-audit failed: {_said(done)}"]


def _fixed(versions: Sequence[str]) -> str:
    return f", fixed in {', '.join(versions)}" if versions else ""


def _resolver() -> tuple[list[str], str]:
    """The command, and its name and version.  Raises ``DependencyError`` when there is none."""
    uv = [found for found in (_beside_us("uv"), shutil.which("uv")) if found]
    pythons = dict.fromkeys((sys.executable, base_interpreter()))
    commands = [[found] for found in uv] + [[python, "-m", "pip"] for python in pythons]
    for command in commands:
        # A version manager's stub answers for a program that it has not installed.
        done = _call([*command, "--version"], PROBE_S)
        if done.returncode == 0:
            return command, " ".join(done.stdout.split()[:2])
    raise DependencyError("there is neither uv nor pip here; install one of them")


def _beside_us(name: str) -> str | None:
    """A program of our own virtual environment."""
    path = Path(sys.executable).with_name(name)
    return str(path) if os.access(path, os.X_OK) else None


def _uv(target: Target, tree: Path, wheelhouse: str | None) -> list[str]:
    arguments = [
        "pip", "install", "--target", str(tree), "--python", target.interpreter,
        "--only-binary", ":all:", "--link-mode", "copy", "--no-python-downloads", "--no-progress",
        "--color", "never", "--quiet",
    ]  # fmt: skip
    if target.image:
        arguments += ["--python-version", target.version, "--python-platform", target.platform]
    if wheelhouse is not None:
        arguments += ["--no-config", "--offline", "--no-index", "--find-links", wheelhouse]
    return arguments


def _pip(target: Target, tree: Path, wheelhouse: str | None) -> list[str]:
    arguments = [
        "install", "--target", str(tree), "--only-binary", ":all:", "--no-compile",
        "--disable-pip-version-check", "--no-input", "--quiet", "--no-color",
        "--root-user-action", "ignore", "--implementation", "cp",
        "--python-version", target.version,
    ]  # fmt: skip
    if target.image:
        for glibc in _MANYLINUX:
            arguments += ["--platform", f"manylinux_{glibc}_{platform.machine()}"]
    if wheelhouse is not None:
        arguments += ["--no-index", "--find-links", wheelhouse]
    return arguments


def _call(
    argv: Sequence[str], deadline_s: float, wheelhouse: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Raises ``DependencyError`` when the program can't be started or doesn't end."""
    try:
        return subprocess.run(
            argv,
            cwd="/",  # no directory of a corpus or a package, which `python -m` would import from
            env=_environment(wheelhouse),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline_s,
        )
    except OSError as error:
        raise DependencyError(f"{argv[0]} can't be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise DependencyError(f"{argv[0]} didn't end within {deadline_s:.0f} s") from error


def _environment(wheelhouse: str | None) -> Mapping[str, str]:
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    }
    if wheelhouse is not None:
        # Nothing but the wheelhouse: no other place, and no file that names one.
        passed = {name: value for name, value in passed.items() if name not in _INDEX}
        passed["PIP_CONFIG_FILE"] = os.devnull
    return passed


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """What a program said, on one line and without passwords."""
    text = re.sub(r"[^\S ]+|[╰─▶×│├]+", " ", done.stderr or done.stdout)
    text = re.sub(r"://[^/\s@]+@", "://...@", text)
    return " ".join(text.split())[:500] or f"exit code {done.returncode}"
