"""The commands.

What each one needs is imported when it is there to run: ``ps`` and ``kill`` are called where
every millisecond is waited for, as they are with the real one.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sarus_double import grammar
from sarus_double.config import LOG, VERSION, Caller, Config, Refused, fail

if TYPE_CHECKING:
    from sarus_double.repository import Image

GO_RUNTIME_BYTES = 1500 * 1000 * 1000
CALLER = "--caller-of-the-double="
NOT_EMULATED = ("device", "mpi", "mpi-type", "ssh", "tty")
PRIVILEGED = ("run", "ps", "kill")


def main(program: str, arguments: list[str]) -> int:
    caller = Caller.own()
    if os.geteuid() == 0 and arguments[:1] and arguments[0].startswith(CALLER):
        caller = Caller.parse(arguments.pop(0)[len(CALLER) :])
    os.umask(0o022)
    try:
        return _main(program, arguments, caller)
    except Refused as refused:
        if refused.plain:
            print(refused, file=sys.stderr, flush=True)
        else:
            LOG.error(str(refused))
        return 1
    except OSError as error:
        LOG.error(str(error))
        return 1


def _main(program: str, arguments: list[str], caller: Caller) -> int:
    given, words = _parsed(arguments, grammar.GLOBAL, "")
    flags = {name for name, _ in given}
    LOG.verbose = bool(flags & {"verbose", "debug"})
    command = "help" if "help" in flags or not words else words[0]
    if "version" in flags and "help" not in flags:
        command = "version"
    if command not in grammar.COMMANDS:
        raise Refused(f"'{command}' is not a Sarus command\nSee 'sarus help'")
    if command in PRIVILEGED:
        _become_root(program, arguments, caller)
    rest = words[1:]
    if command == "version":
        print(VERSION)
        return 0
    if command == "help":
        return _help(rest)
    values, positional = _parsed(rest, grammar.COMMANDS[command], command)
    config = Config.read(program, caller)
    if command == "run":
        return _run(config, caller, values, positional)
    if command in ("ps", "kill"):
        return _containers(config, caller, command, positional)
    from sarus_double.repository import Repository, table

    centralized = any(name == "centralized-repository" for name, _ in values)
    repository = Repository(config, caller, centralized)
    if command == "images":
        _count(positional, 0, 0, command)
        print(table(repository.list(), any(name == "digests" for name, _ in values)), end="")
    elif command == "load":
        _count(positional, 2, 2, command)
        LOG.info(f"Loading image archive {positional[0]}")
        repository.load(Path(positional[0]).absolute(), positional[1], None)
    elif command == "rmi":
        _count(positional, 1, 1, command)
        repository.remove(positional[0])
    elif command == "pull":
        _count(positional, 1, 1, command)
        server, path, tag, digest = grammar.reference(positional[0])
        print(f"# image            : {server}/{path}:{tag or digest}")
        fail(f"failed to reach the registry {server}: a test double of Sarus has no registries")
    return 0


def _containers(config: Config, caller: Caller, command: str, positional: list[str]) -> int:
    from sarus_double import running

    if command == "ps":
        _count(positional, 0, 0, command)
        print(running.table(config, caller), end="")
    else:
        _count(positional, 1, 1, command)
        running.kill(config, caller, positional[0])
    return 0


def _parsed(
    arguments: Sequence[str], options: grammar.Options, command: str
) -> tuple[grammar.Given, list[str]]:
    try:
        return grammar.split(arguments, options)
    except Refused as refused:
        raise Refused(f"{refused}\nSee 'sarus help{command and ' ' + command}'") from None


def _count(positional: list[str], least: int, most: int, command: str) -> None:
    if len(positional) < least or len(positional) > most:
        few = "few" if len(positional) < least else "many"
        raise Refused(f"Too {few} arguments for command '{command}'\nSee 'sarus help {command}'")


def _help(words: list[str]) -> int:
    if len(words) > 1:
        raise Refused("Too many arguments for command 'help'\nSee 'sarus help help'")
    print("This is a test double of Sarus, not Sarus.\n")
    if not words:
        print("Usage: sarus COMMAND\n\nCommands:")
        print("\n".join(f"   {name}" for name in grammar.COMMANDS))
    elif words[0] not in grammar.COMMANDS:
        raise Refused(f"'{words[0]}' is not a Sarus command\nSee 'sarus help'")
    else:
        print(f"Usage: {grammar.USAGE.get(words[0], 'sarus ' + words[0])}\n\nOptions:")
        for name, takes_value in grammar.COMMANDS[words[0]].items():
            dashes = "-" if len(name) == 1 else "--"
            print(f"   {dashes}{name}{' arg' if takes_value else ''}")
    return 0


def _become_root(program: str, arguments: list[str], caller: Caller) -> None:
    """As a setuid program is; see the docstring of ``tests/bin/sarus``."""
    if os.geteuid() == 0:
        return
    effective = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if "CapEff" in line
    )
    if not int(effective.split()[1], 16) >> 7 & 1:  # CAP_SETUID
        return
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    command = [sys.executable, "-I", "-S", program, f"{CALLER}{caller}", *arguments]
    os.execv(sys.executable, command)  # noqa: S606


def _run(config: Config, caller: Caller, values: grammar.Given, positional: list[str]) -> int:
    import resource

    from sarus_double import running
    from sarus_double.container import Plan
    from sarus_double.repository import Repository

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft not in (resource.RLIM_INFINITY, -1) and soft < GO_RUNTIME_BYTES:
        raise Refused("fatal error: failed to reserve page summary memory\n\nruntime stack:")
    host_environment = dict(os.environ)
    name, mounts, environment = "", [], {}
    private = init = centralized = False
    workdir: str | None = None
    entrypoint: list[str] | None = None
    if not positional:
        _count(positional, 1, 1, "run")
    for option, value in values:
        if option in NOT_EMULATED:
            raise Refused(f"a test double of Sarus doesn't emulate --{option}")
        if option == "centralized-repository":
            centralized = True
        elif option == "init":
            init = True
        elif option == "name":
            name = value
        elif option == "entrypoint":
            entrypoint = value.split()
        elif option == "workdir":
            workdir = value
            if not value.startswith("/"):
                raise Refused(
                    f"The working directory '{value}' is invalid, it needs to be an absolute path."
                    "\nSee 'sarus help run'"
                )
        elif option == "pid":
            if value not in ("host", "private"):
                raise Refused(
                    f"Incorrect value provided for --pid option: '{value}'. Supported values:"
                    " 'host', 'private'.\nSee 'sarus help run'"
                )
            private = value == "private"
        elif option == "env":
            key, equals, text = value.partition("=")
            if not key:
                raise Refused(f"Error parsing environment variable requested from CLI '{value}'")
            if equals:
                environment[key] = text
            elif key in host_environment:
                environment[key] = host_environment[key]
        elif option == "mount":
            mounts.append(grammar.mount(value, config.userMounts))
    image, rootfs = Repository(config, caller, centralized).find(positional[0])
    LOG.info(f"Successfully verified that image {image.text} is available")
    time.sleep(config.startDelay)
    plan = Plan(
        rootfs=rootfs,
        argv=_command(image, entrypoint, positional[1:]),
        env={**host_environment, **image.env, **environment},
        workdir=workdir or image.workdir or "/",
        mounts=mounts,
        private=private,
        init=init,
        caller=caller,
        bundle=Path(config.OCIBundleDir),
    )
    if init:
        plan.env["TINI_SUBREAPER"] = "1"
    code = running.run(config, plan, name)
    LOG.info("Successfully executed run command" if code == 0 else f"runc exited with code {code}")
    return code


def _command(image: Image, entrypoint: list[str] | None, words: list[str]) -> list[str]:
    if entrypoint is None:
        return [*image.entrypoint, *(words or image.cmd)]
    return [*entrypoint, *(words or ([] if entrypoint else image.cmd))]
