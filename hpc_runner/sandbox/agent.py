"""The agent: runs and judges one execution after another, inside any container.

One file, the standard library only, the syntax of Python 3.8: it is started by
a runtime as ``python3 -I -B agent.py --slots N --require LEVEL`` and spoken to
over stdin and stdout, one JSON object a line.  It ends when stdin ends, and
nothing that it started outlives it.

    worker ── stdin/stdout ── supervisor ── one zygote per slot ── judge, candidate

* The **supervisor** (this process) reads requests, collects output, watches
  limits from outside, compares what programs printed, and answers.
* A **zygote** is a warm interpreter inside the slot's namespaces, pid 1 of its
  own pid namespace and with a minimal root.  It forks what an execution needs
  into a new pid namespace with an empty workspace, waits, and cleans up.  It
  never reads a program or a test: these travel in memory files from the
  supervisor straight to the process that is meant to have them.
* The **judge** is pid 1 of the execution's namespace.  It runs the tests and
  never a line of the candidate; calls cross a socket as plain data.
* The **candidate** process runs the candidate, without privileges, capabilities,
  environment or network.  In the ``inline`` judge it runs the tests as well.

Requests and answers are described at ``Supervisor``; what each isolation level
holds and what it doesn't stands in docs/security.md.
"""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]
import atexit
import builtins
import copy
import ctypes
import enum
import errno
import fcntl
import functools
import gc
import getopt
import importlib
import io
import itertools
import json
import linecache
import marshal
import math
import os
import platform
import re
import resource
import select
import signal
import socket
import stat
import struct
import sys
import time
import traceback
import types
from typing import Any, Callable, Dict, Iterator, List, NoReturn, Optional, Sequence, Set, Tuple

try:
    from _sha2 import sha256  # type: ignore[import-not-found]
except ImportError:  # before Python 3.12
    from _sha256 import sha256  # type: ignore[import-not-found]
# Not from hashlib: OpenSSL's pages would double what a fork costs.  For the same reason
# neither threading nor random nor anything that imports them is loaded before a fork.

CODE = sys._getframe().f_code
"""This file, compiled."""

AGENT_VERSION = "3"
PROTOCOL = 1


class Verdict(str, enum.Enum):
    """The closed result of an execution.  Only ``INTERNAL_ERROR`` is ours."""

    ACCEPTED = "accepted"
    WRONG_ANSWER = "wrong_answer"
    RUNTIME_ERROR = "runtime_error"
    COMPILE_ERROR = "compile_error"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    EARLY_EXIT = "early_exit"
    POLICY_VIOLATION = "policy_violation"
    INTERNAL_ERROR = "internal_error"


DEFAULT_LIMITS: Dict[str, float] = {
    "wall_s": 10.0,
    "cpu_s": 0.0,
    "memory_bytes": 256 << 20,
    "output_bytes": 8 << 20,
    "processes": 64,
    "file_bytes": 64 << 20,
    "open_files": 256,
}

PERTURBATION: Dict[str, Any] = {
    "hash": 0,
    "tz": "",
    "locale": "",
    "temp": "",
    "env": 0,
    "memory": 0,
    "threads": 0,
    "cpus": 0,
    "clock": 0,
    "load": 0,
}
"""What can be made different around a program that must not depend on it, and the neutral value of
each; docs/perturbation.md says what the others do."""

LEVELS = ("limits", "filtered", "full")
"""Isolation from weakest to strongest."""

TAIL_BYTES = 4096
MESSAGE_CHARS = 500
REPORT_BYTES = 8 << 20
TICK_S = 0.025
GRACE_S = 0.25
BOX_PARENT = "/sandbox"
"""Landlock's rule stands on it, once for all the file systems that are mounted on the box."""
BOX = BOX_PARENT + "/box"

# --------------------------------------------------------------------------- kernel

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE_VM = 0x00000100
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_NEWCGROUP, CLONE_NEWTIME = 0x02000000, 0x00000080
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 38, 22
KEEP_FLAGS = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | 1 << 10 | 1 << 11 | 1 << 21

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, "%s: %s" % (what, os.strerror(code)))
    return result


def _syscall(what: str, number: int, *args: Any) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *args), what)


def _prctl(option: int, value: int, pointer: Any = 0) -> None:
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(option, ctypes.c_ulong(value), pointer or zero, zero, zero), "prctl")


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    _check(
        _libc.mount(
            source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
        ),
        "mount %s" % target,
    )


def _umount(target: str) -> None:
    if _libc.umount2(target.encode(), 0) < 0:
        _check(_libc.umount2(target.encode(), MNT_DETACH), "umount %s" % target)


def _unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def _close_from(first: int) -> None:
    try:
        _syscall("close_range", 436, ctypes.c_uint(first), ctypes.c_uint(0xFFFFFFFF), 0)
    except OSError:
        os.closerange(first, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


# What no candidate needs and an attacker might: name → number on x86_64 and aarch64.
# fmt: off
DENIED_SYSCALLS: Dict[str, Tuple[int, int]] = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142),
    "sethostname": (170, 161), "setdomainname": (171, 162), "init_module": (175, 105),
    "delete_module": (176, 106), "finit_module": (313, 273), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "bpf": (321, 280), "perf_event_open": (298, 241),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264), "unshare": (272, 97), "setns": (308, 268),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "acct": (163, 89),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "iopl": (172, -1), "ioperm": (173, -1),
    "modify_ldt": (154, -1), "personality": (135, 92), "vhangup": (153, 58), "syslog": (103, 116),
    "move_pages": (279, 239), "migrate_pages": (256, 238), "mbind": (237, 235),
    "set_mempolicy": (238, 237), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42), "uselib": (134, -1), "shmget": (29, 194), "shmat": (30, 196),
    "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191),
    "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188),
    "msgctl": (71, 187), "mq_open": (240, 180), "mq_unlink": (241, 181),
    "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274), "ioprio_set": (251, 30),
}
CHECKED_SYSCALLS: Dict[str, Tuple[int, int]] = {
    "clone": (56, 220), "clone3": (435, 435), "socket": (41, 198), "prlimit64": (302, 261),
    "setpriority": (141, 140), "ioctl": (16, 29),
}
# fmt: on
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_NEW_NAMESPACE = (
    CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET
    | CLONE_NEWCGROUP
)  # fmt: skip
LAST_SYSCALL = 462  # newer system calls than were known when the list was made do not exist


# fmt: off
ATTRIBUTE_SYSCALLS: Dict[str, Tuple[int, int]] = {
    "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, -1), "fchown": (93, 55), "lchown": (94, -1), "fchownat": (260, 54),
    "utime": (132, -1), "utimes": (235, -1), "futimesat": (261, -1), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
}
"""What Landlock doesn't look at.  Without namespaces, where the files are the host's, these calls
succeed and change nothing."""
# fmt: on
ZYGOTE_NEEDS = ("mount", "umount2", "unshare", "setns")


def seccomp_programs(sockets: bool) -> Tuple[bytes, bytes]:
    """The filters as BPF instructions: a long one that the zygote installs once and hands
    down, and a short one that each execution adds, which takes away what the zygote needs.

    ``sockets``: local and internet sockets may be made (in a network namespace of their own
    they reach nobody).  Raises OSError on machines whose system calls are not in the table.
    """
    if platform.machine() not in _MACHINES:
        raise OSError(errno.ENOSYS, "no system call table for " + platform.machine())
    column, audit_arch = _MACHINES[platform.machine()]
    load, jump_eq, jump_set, jump_gt, ret = 0x20, 0x15, 0x45, 0x25, 0x06
    allow, kill = 0x7FFF0000, 0x80000000
    deny, absent = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
    out: List[Tuple[int, int, int, int]] = [
        (load, 0, 0, 4), (jump_eq, 1, 0, audit_arch), (ret, 0, 0, kill),
        (load, 0, 0, 0), (jump_gt, 0, 1, LAST_SYSCALL), (ret, 0, 0, absent),
    ]  # fmt: skip
    last = [(load, 0, 0, 0)]

    def number(name: str) -> int:
        return (CHECKED_SYSCALLS.get(name) or DENIED_SYSCALLS[name])[column]

    def argument(index: int) -> Tuple[int, int, int, int]:
        return (load, 0, 0, 16 + 8 * index)

    for name in DENIED_SYSCALLS:
        if number(name) >= 0:
            action = absent if name.startswith("memfd") else deny
            rule = [(jump_eq, 0, 1, number(name)), (ret, 0, 0, action)]
            if name in ZYGOTE_NEEDS:
                last += rule
            else:
                out += rule
    out += [(jump_eq, 0, 1, number("clone3")), (ret, 0, 0, absent)]
    out += [
        (jump_eq, 0, 4, number("clone")), argument(0), (jump_set, 0, 1, _NEW_NAMESPACE),
        (ret, 0, 0, deny), (ret, 0, 0, allow),
    ]  # fmt: skip
    for program, name, index, harmless in ((last, "prlimit64", 0, 0), (out, "setpriority", 1, 0)):
        program += [
            (jump_eq, 0, 4, number(name)), argument(index), (jump_eq, 0, 1, harmless),
            (ret, 0, 0, allow), (ret, 0, 0, deny),
        ]  # fmt: skip
    out += [
        (jump_eq, 0, 5, number("ioctl")), argument(1), (jump_eq, 1, 0, 0x5412),  # TIOCSTI
        (jump_eq, 0, 1, 0x541C), (ret, 0, 0, deny), (ret, 0, 0, allow),  # TIOCLINUX
    ]  # fmt: skip
    families = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6) if sockets else ()
    out += [(jump_eq, 0, 2 + 2 * len(families), number("socket")), argument(0)]
    for family in families:
        out += [(jump_eq, 0, 1, int(family)), (ret, 0, 0, allow)]
    out += [(ret, 0, 0, deny), (ret, 0, 0, allow)]
    if not sockets:  # no namespaces: the files are the host's
        for numbers in ATTRIBUTE_SYSCALLS.values():
            if numbers[column] >= 0:
                last += [(jump_eq, 0, 1, numbers[column]), (ret, 0, 0, 0x00050000)]
    last += [(ret, 0, 0, allow)]

    def assemble(instructions: List[Tuple[int, int, int, int]]) -> bytes:
        return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)

    return assemble(out), assemble(last)


class Seccomp:
    """A filter, ready to be installed by one system call."""

    def __init__(self, program: bytes) -> None:
        self._program = ctypes.create_string_buffer(program, len(program))
        address = ctypes.addressof(self._program)
        header = struct.pack("=HxxxxxxQ", len(program) // 8, address)
        self._header = ctypes.create_string_buffer(header, len(header))
        self._pointer = ctypes.c_void_p(ctypes.addressof(self._header))

    def install(self) -> None:
        _prctl(PR_SET_SECCOMP, 2, self._pointer)


_LANDLOCK_READ = 0b1101  # execute, read file, read directory
_LANDLOCK_FILE = 0b1000000000000111 | 1 << 14  # of these, what a file can have


def landlock_version() -> int:
    """The ABI of the running kernel; 0 where there is no Landlock."""
    try:
        return _syscall("landlock", 444, None, ctypes.c_size_t(0), 1)
    except OSError:
        return 0


def landlock_ruleset(abi: int, readable: Sequence[str], writable: Sequence[str]) -> int:
    """A descriptor of these rules: nothing but ``readable`` can be read and executed, nothing
    but ``writable`` changed; no TCP, and no signals and abstract sockets to the outside where
    the ABI has them."""
    every = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)) - 1
    attributes = struct.pack("=QQQ", every, 3, 3)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    ruleset = _syscall("landlock", 444, attributes, ctypes.c_size_t(len(attributes)), 0)
    for paths, rights in ((readable, _LANDLOCK_READ), (writable, every)):
        for path in paths:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            if not stat.S_ISDIR(os.fstat(handle).st_mode):
                rights_here = rights & _LANDLOCK_FILE & every
            else:
                rights_here = rights & every
            rule = struct.pack("=Qi", rights_here, handle)
            _syscall("landlock_add_rule", 445, ruleset, 1, rule, 0)
            os.close(handle)
    return ruleset


def install_landlock(ruleset: int) -> None:
    """Puts the rules in force for this process and closes their descriptor."""
    _syscall("landlock_restrict_self", 446, ruleset, 0)
    os.close(ruleset)


def drop_capabilities() -> None:
    header = struct.pack("=Ii", 0x20080522, 0)
    _check(_libc.capset(header, bytes(24)), "capset")


# ----------------------------------------------------------------------- plain data


class CannotCross(BaseException):
    """A value, name or import that has no meaning in another process.  Not an
    ``Exception``, so that no test swallows it."""


class CandidateExit(BaseException):
    """The candidate ended, or asked to end, before the tests did."""


def _in_one_process(name: str) -> Callable[..., Any]:
    def refuse(self: Any, *_: Any) -> Any:
        raise CannotCross("%s of a %s" % (name, object.__getattribute__(self, "_name")))

    return refuse


class Opaque:
    """A candidate's object that is no plain data: equal to nothing but itself.  Any other use
    needs the process that it lives in."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return "<opaque %s>" % self._name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise CannotCross("attribute %r of a %s" % (name, self._name))

    for _use in (
        "call len iter next getitem setitem contains bool str int float index lt le gt ge add radd"
        " sub rsub mul rmul truediv rtruediv floordiv mod pow neg abs round and or xor enter"
    ).split():
        locals()["__%s__" % _use] = _in_one_process(_use)


class _Kept:
    """Mixed into plain types for objects of their subclasses: the content crosses, the rest
    needs the process that they live in."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise CannotCross("attribute %r of an object of its own" % name)


_SCALARS = frozenset((type(None), bool, int, float, str))
_BASES: Tuple[type, ...] = (int, float, str, tuple, list, dict, set, frozenset, bytes, bytearray)
MAX_DEPTH = 200
MAX_ITEMS = 10_000
"""So much of an iterator crosses; whoever wants more needs the candidate's own process."""


def pack(value: Any, depth: int = 0) -> Any:
    """Plain data as what JSON can carry without loss: None, bool, int, float, str and
    list as themselves, everything else tagged.  Raises ``CannotCross`` for what is nested
    too deeply.

    An object of a subclass is packed as its base, whatever it says of its equality; an
    iterator as what it yields; what has no content of these types is opaque.
    """
    kind: Any = type(value)
    if kind in _SCALARS:
        return value
    if depth > MAX_DEPTH:
        raise CannotCross("data nested deeper than %d, or in a circle" % MAX_DEPTH)
    if kind is list:
        if _SCALARS.issuperset(map(type, value)):
            return value
        return [pack(item, depth + 1) for item in value]
    if kind is tuple or kind is set or kind is frozenset:
        return {"t": kind.__name__, "v": [pack(item, depth + 1) for item in value]}
    if kind is dict:
        items = [[pack(k, depth + 1), pack(v, depth + 1)] for k, v in value.items()]
        return {"t": "dict", "v": items}
    if kind is bytes or kind is bytearray:
        return {"t": kind.__name__, "v": value.decode("latin-1")}
    if kind is complex:
        return {"t": "complex", "v": [value.real, value.imag]}
    return _pack_other(value, kind, depth)


def _pack_other(value: Any, kind: Any, depth: int) -> Any:
    for base in _BASES:
        if isinstance(value, base):
            content = pack(base(value), depth + 1)
            return content if base is bytearray else {"t": "kept", "v": [base.__name__, content]}
    home, name = str(kind.__module__), str(kind.__name__)[:100]
    if (home, name) in _VALUES:
        return {"t": name, "v": [pack(part, depth + 1) for part in _VALUES[home, name][0](value)]}
    if home == "numpy" and hasattr(value, "item") and not getattr(value, "shape", None):
        return pack(value.item(), depth + 1)
    if hasattr(kind, "__next__") and iter(value) is value:
        items = [pack(item, depth + 1) for item in itertools.islice(value, MAX_ITEMS + 1)]
        return {"t": "iterator", "v": items}
    return {"t": "opaque", "v": name}


# Values of the standard library that are equal by content: how to take them apart, and how
# the parts are put together again.
_VALUES: Dict[Tuple[str, str], Tuple[Callable[[Any], Any], Callable[..., Any]]] = {
    ("decimal", "Decimal"): (lambda v: [str(v)], lambda text: _library("decimal").Decimal(text)),
    ("fractions", "Fraction"): (
        lambda v: [v.numerator, v.denominator],
        lambda above, below: _library("fractions").Fraction(above, below),
    ),
    ("builtins", "range"): (lambda v: [v.start, v.stop, v.step], range),
    ("collections", "deque"): (list, lambda *items: _library("collections").deque(items)),
    ("datetime", "date"): (
        lambda v: [v.year, v.month, v.day], lambda *parts: _library("datetime").date(*parts)
    ),
    ("datetime", "timedelta"): (
        lambda v: [v.days, v.seconds, v.microseconds],
        lambda *parts: _library("datetime").timedelta(*parts),
    ),
    ("datetime", "datetime"): (
        lambda v: [v.isoformat()], lambda text: _library("datetime").datetime.fromisoformat(text)
    ),
}  # fmt: skip
_KEPT: Dict[str, type] = {
    base.__name__: type(base.__name__, (_Kept, base), {})
    for base in _BASES
    if base is not bytearray
}
_MAKERS = {name: make for (_, name), (_, make) in _VALUES.items()}


def _library(name: str) -> Any:
    return importlib.import_module(name)


def unpack(data: Any) -> Any:
    """The inverse of ``pack``: makes exactly these types and runs nothing of the sender's.
    Raises ValueError for anything else."""
    kind = type(data)
    if kind in _SCALARS:
        return data
    if kind is list:
        return [unpack(item) for item in data]
    if kind is not dict or set(data) != {"t", "v"}:
        raise ValueError("not plain data")
    tag, body = data["t"], data["v"]
    if tag in ("bytes", "bytearray", "opaque"):
        if type(body) is not str:
            raise ValueError("not plain data")
        if tag == "opaque":
            return Opaque(body)
        raw = body.encode("latin-1")
        return raw if tag == "bytes" else bytearray(raw)
    if type(body) is not list or type(tag) is not str:
        raise ValueError("not plain data")
    try:
        return _unpack_tagged(tag, body)
    except (TypeError, ArithmeticError) as error:
        raise ValueError("not plain data") from error


def _unpack_tagged(tag: str, body: List[Any]) -> Any:
    if tag == "dict":
        return {unpack(k): unpack(v) for k, v in body}
    items = [unpack(item) for item in body]
    if tag == "tuple":
        return tuple(items)
    if tag == "set":
        return set(items)
    if tag == "frozenset":
        return frozenset(items)
    if tag == "iterator":
        return _replay(items) if len(items) > MAX_ITEMS else iter(items)
    if tag == "complex":
        return complex(*map(float, items))
    if tag in _MAKERS:
        return _MAKERS[tag](*items)
    if tag == "kept" and len(items) == 2 and items[0] in _KEPT:
        return _KEPT[items[0]](items[1])
    raise ValueError("not plain data")


def _replay(items: List[Any]) -> Iterator[Any]:
    yield from items[:MAX_ITEMS]
    raise CannotCross("more than %d items of an iterator" % MAX_ITEMS)


def update_in_place(old: Any, new: Any) -> None:
    """Gives the mutable ``old`` the content of ``new``, keeping inner objects where they match."""
    if isinstance(old, list):
        if len(old) == len(new):
            for index, item in enumerate(new):
                if type(old[index]) is type(item) and isinstance(item, (list, dict, set)):
                    update_in_place(old[index], item)
                else:
                    old[index] = item
        else:
            old[:] = new
    elif isinstance(old, dict):
        kept = dict(old)
        old.clear()  # so that the order is the new one's, too
        for key, item in new.items():
            mine = kept.get(key)
            if type(mine) is type(item) and isinstance(item, (list, dict, set)):
                update_in_place(mine, item)
                item = mine
            old[key] = item
    elif isinstance(old, set):
        old.intersection_update(new)
        old.update(new)
    elif isinstance(old, bytearray):
        old[:] = new
    elif isinstance(old, tuple) and len(old) == len(new):
        for mine, item in zip(old, new):
            if type(mine) is type(item):
                update_in_place(mine, item)


def _any_digits(convert: Callable[[Any], Any], data: Any) -> Any:
    """``convert(data)``, where integers may have any number of digits."""
    try:
        return convert(data)
    except ValueError:
        most = getattr(sys, "get_int_max_str_digits", lambda: 0)()
        if not most:
            raise
        sys.set_int_max_str_digits(0)
        try:
            return convert(data)
        finally:
            sys.set_int_max_str_digits(most)


class Channel:
    """JSON messages between judge and candidate over a stream socket, length first."""

    MAX_BYTES = 16 << 20

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def send(self, message: Any) -> None:
        try:
            data = _any_digits(json.dumps, message).encode("ascii")
        except (ValueError, RecursionError) as error:
            raise CannotCross(str(error)) from error
        if len(data) > self.MAX_BYTES:
            raise CannotCross("data of %d bytes" % len(data))
        self._socket.sendall(struct.pack("=I", len(data)) + data)

    def receive(self) -> Any:
        """Raises EOFError when the other side is gone, ValueError for what isn't JSON."""
        (size,) = struct.unpack("=I", self._exactly(4))
        if size > self.MAX_BYTES:
            raise ValueError("a message of %d bytes" % size)
        try:
            return _any_digits(json.loads, self._exactly(size))
        except RecursionError as error:
            raise ValueError("data nested too deeply") from error

    def _exactly(self, size: int) -> bytes:
        chunks = []
        while size:
            try:
                chunk = self._socket.recv(min(size, 1 << 20))
            except OSError as error:
                raise EOFError from error
            if not chunk:
                raise EOFError
            chunks.append(chunk)
            size -= len(chunk)
        return b"".join(chunks)


# --------------------------------------------------------------------- running tests

SOLUTION = "solution"
SOLUTION_FILE = "solution.py"
TEST_FILES = TESTS_FILE, CASE_FILE = "tests.py", "test"

_NOISE = (
    (re.compile(r"0x[0-9a-fA-F]{4,}"), "0x..."),
    (re.compile(r"/[\w./+-]{3,}"), "PATH"),
    (re.compile(r"\bline \d+"), "line N"),
    (re.compile(r"\s+"), " "),
)


def normalise_message(text: str) -> str:
    """An error message without what differs from run to run: addresses, paths, line numbers."""
    text = text[: 4 * MESSAGE_CHARS]
    for pattern, replacement in _NOISE:
        text = pattern.sub(replacement, text)
    return text.strip()[:MESSAGE_CHARS]


def describe(error: BaseException) -> Tuple[str, str]:
    """(type, message) of an exception; never raises, whatever its class does."""
    try:
        return type(error).__name__[:100], normalise_message(str(error))
    except BaseException:
        return "Exception", "an exception that can't be printed"


class Report:
    """What the process that runs the tests tells the supervisor: JSON lines on a pipe.

    Every line carries the nonce.  Where the candidate shares the process (inline), that
    keeps it from being taken for a judge by chance or by printing; not more.
    """

    def __init__(self, descriptor: int, nonce: str) -> None:
        self._descriptor = descriptor
        self._nonce = nonce

    def send(self, **message: Any) -> None:
        message["nonce"] = self._nonce
        data = (json.dumps(message) + "\n").encode("ascii")
        while data:
            data = data[os.write(self._descriptor, data) :]

    def test(self, name: str, outcome: Verdict, started: float, message: str) -> None:
        wall_s = time.monotonic() - started
        self.send(test=[name, outcome.value, wall_s, message[:MESSAGE_CHARS]])

    def done(self, verdict: Verdict, error: Optional[Tuple[str, str]] = None) -> None:
        self.send(done=verdict.value, error=error)


def outcome_of(error: BaseException) -> Verdict:
    """The verdict for an exception that ended a test."""
    if isinstance(error, AssertionError):
        return Verdict.WRONG_ANSWER
    if isinstance(error, MemoryError):
        return Verdict.MEMORY_LIMIT
    if isinstance(error, (CandidateExit, SystemExit, KeyboardInterrupt)):
        return Verdict.EARLY_EXIT
    return Verdict.RUNTIME_ERROR


def equal(expected: Any, actual: Any, tolerance: Optional[float]) -> bool:
    """Equality of a call's result and the value expected: tuples equal lists, keys of
    dictionaries that came through JSON are compared as text, floats within ``tolerance``."""
    if isinstance(actual, tuple):
        actual = list(actual)
    if isinstance(expected, (list, tuple)):
        return (
            isinstance(actual, list)
            and len(actual) == len(expected)
            and all(equal(e, a, tolerance) for e, a in zip(expected, actual))
        )
    if isinstance(expected, dict):
        if not isinstance(actual, dict) or len(actual) != len(expected):
            return False
        by_text = {str(key): value for key, value in actual.items()}
        return set(by_text) == set(expected) and all(
            equal(value, by_text[key], tolerance) for key, value in expected.items()
        )
    if (
        tolerance is not None
        and isinstance(expected, (int, float))
        and isinstance(actual, (int, float))
        and not isinstance(expected, bool)
        and not isinstance(actual, bool)
    ):
        return math.isclose(expected, actual, rel_tol=tolerance, abs_tol=tolerance)
    return bool(expected == actual)


Call = Callable[[str, List[Any], Dict[str, Any]], Any]


Ending = Tuple[Verdict, Optional[Tuple[str, str]]]
"""A verdict, and the signature of the error that led to it."""


def run_tests(
    tests: Dict[str, Any], names: Dict[str, Any], call: Call, report: Report, every: bool
) -> Ending:
    """Runs assertion scripts, calls or unittest classes and reports the outcome of each.

    ``names`` is the namespace that the tests are executed in; ``call`` calls the
    candidate's entry point.  Stops at the first failure unless ``every``.  Raises
    ``CannotCross`` when the tests need more than plain data from the candidate.
    """
    kind = tests["kind"]
    first: Optional[Ending] = None
    ran = 0
    for name, run in _TESTS[kind](tests, names, call):
        ran += 1
        started = time.monotonic()
        try:
            run()
        except CannotCross:
            raise
        except BaseException as error:
            verdict, cause = outcome_of(error), describe(error)
            message = cause[1] or _failed_line(error)
            report.test(name, verdict, started, "%s: %s" % (cause[0], message))
            first = first or (verdict, cause)
            if not every or verdict in (Verdict.EARLY_EXIT, Verdict.MEMORY_LIMIT):
                break
        else:
            report.test(name, Verdict.ACCEPTED, started, "")
    if not ran:
        return Verdict.RUNTIME_ERROR, ("NoTests", "there is no test in the tests")
    return first or (Verdict.ACCEPTED, None)


def _failed_line(error: BaseException) -> str:
    """The line of the tests that raised an error without a message."""
    line, frame = "", error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename in TEST_FILES:
            line = linecache.getline(frame.tb_frame.f_code.co_filename, frame.tb_lineno)
        frame = frame.tb_next
    return line.strip()


def _assertion_tests(
    tests: Dict[str, Any], names: Dict[str, Any], call: Call
) -> Iterator[Tuple[str, Callable[[], None]]]:
    prepared: List[bool] = []

    def prepare() -> None:
        if not prepared:
            prepared.append(True)
            if tests["code"]:
                _remember(TESTS_FILE, tests["code"])
                exec(compiled(tests["code"], TESTS_FILE), names)

    def run(index: int, case: str) -> None:
        prepare()
        _remember(CASE_FILE, case)
        exec(compiled(case, CASE_FILE), names)

    for index, case in enumerate(tests["cases"]):
        yield str(index), functools.partial(run, index, case)


def _call_tests(
    tests: Dict[str, Any], names: Dict[str, Any], call: Call
) -> Iterator[Tuple[str, Callable[[], None]]]:
    def run(case: Dict[str, Any]) -> None:
        # The expected value is only compared here, after the call has come back.
        actual = call(tests["entry_point"], case["args"], case["kwargs"])
        if not equal(case["expected"], actual, tests["tolerance"]):
            raise AssertionError("expected %.200r, got %.200r" % (case["expected"], actual))

    for index, case in enumerate(tests["cases"]):
        yield str(index), functools.partial(run, case)


def _unittest_tests(
    tests: Dict[str, Any], names: Dict[str, Any], call: Call
) -> Iterator[Tuple[str, Callable[[], None]]]:
    import unittest

    _remember(TESTS_FILE, tests["code"])
    before = dict(names)
    try:
        exec(compiled(tests["code"], TESTS_FILE), names)
    except Exception as error:
        failure = error

        def fail() -> None:
            raise failure

        yield TESTS_FILE, fail
        return
    loader = unittest.TestLoader()
    for name, item in list(names.items()):
        if before.get(name) is item or not (
            isinstance(item, type) and issubclass(item, unittest.TestCase)
        ):
            continue
        for method in loader.getTestCaseNames(item):
            yield "%s.%s" % (name, method), functools.partial(_run_case, item, method)


def _run_case(item: Any, method: str) -> None:
    import unittest

    class Result(unittest.TestResult):
        caught: List[BaseException] = []

        def addError(self, test: Any, error: Any) -> None:
            self.caught.append(error[1])

        def addFailure(self, test: Any, error: Any) -> None:
            self.caught.append(error[1])

        def addSubTest(self, test: Any, subtest: Any, error: Any) -> None:
            if error is not None:
                self.caught.append(error[1])

        def addSkip(self, test: Any, reason: str) -> None:
            # By the tests' own decorators it may be skipped, not by what it calls.
            if not any(
                getattr(what, "__unittest_skip__", False) for what in (item, getattr(item, method))
            ):
                self.caught.append(unittest.SkipTest(reason))

    result = Result()
    result.caught = []
    unittest.TestSuite([item(method)]).run(result)
    if result.caught:
        raise result.caught[0]
    if result.unexpectedSuccesses:
        raise AssertionError("a test that should fail succeeded")


_TESTS: Dict[str, Callable[..., Iterator[Tuple[str, Callable[[], None]]]]] = {
    "assertions": _assertion_tests,
    "calls": _call_tests,
    "unittest": _unittest_tests,
}
_OUTCOMES = {verdict.value for verdict in Verdict} - {"internal_error", "policy_violation"}
PROGRAM_KINDS = ("stdio", "expected_output", "none")


@functools.lru_cache(maxsize=None)
def compiled(code: str, name: str) -> types.CodeType:
    """``code``, compiled once in the life of a process."""
    return compile(code, name, "exec", dont_inherit=True)


def names_in(tests: Dict[str, Any]) -> Set[str]:
    """Every name that the tests use.  Raises SyntaxError or ValueError as ``compile`` does."""
    found: Set[str] = set()
    todo = []
    if tests["kind"] in ("assertions", "unittest"):
        todo.append(compiled(tests["code"], TESTS_FILE))
        todo += [compiled(case, CASE_FILE) for case in tests.get("cases", ())]
    while todo:
        code = todo.pop()
        found.update(code.co_names)
        todo += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return found


def _remember(name: str, code: str) -> None:
    """Lets tracebacks and ``inspect.getsource`` find code that is in no file."""
    linecache.cache[name] = (len(code), None, code.splitlines(True), name)


# --------------------------------------------------------------------- other languages

ENDING = "HPC_RUNNER_ENDING"
"""Variable: a word, a space, and the file that a program writes it to when it has got to the end
of its tests.  An exit code would be said by ``exit(0)``, too."""
SEARCHED = 1 << 16
"""Bytes at each end of an output that are searched for how a program has failed."""


def build(payload: Dict[str, Any], report: Report) -> NoReturn:
    """Writes the sources, runs one compiler after the other, and packs what is to be kept into
    descriptor 5: a line of JSON, [[path, mode, bytes], ...], then the contents."""
    for name, text in payload["files"]:
        if "/" in name:
            os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
            file.write(text)
    for argv in payload["steps"]:
        pid = os.fork()
        if not pid:
            become(argv, payload["variables"], report)
        status = os.waitpid(pid, 0)[1]
        if status:
            by_signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            report.send(built=[by_signal, os.WEXITSTATUS(status)])
            os._exit(1)
    import fnmatch

    kept: List[Tuple[str, int, int]] = []
    for folder, _, names in os.walk("."):
        for name in sorted(names):
            path = os.path.join(folder, name)[2:]
            found = os.lstat(path)
            if stat.S_ISREG(found.st_mode) and any(
                fnmatch.fnmatchcase(path, pattern) for pattern in payload["keep"]
            ):
                kept.append((path, found.st_mode & 0o755, found.st_size))
    os.write(5, json.dumps(kept).encode("ascii") + b"\n")
    for path, _, size in kept:
        with open(path, "rb") as content:
            while size > 0:
                size -= os.sendfile(5, content.fileno(), None, size) or size
    report.send(built=[0, 0])
    os._exit(0)


def run_native(payload: Dict[str, Any], report: Report) -> NoReturn:
    """Unpacks what ``build`` has packed into the working directory and becomes the program."""
    with open(5, "rb") as packed:
        packed.seek(0)
        for path, mode, size in json.loads(packed.readline()):
            if "/" in path:
                os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(packed.read(size))
            os.chmod(path, mode)
    most = payload["file_bytes"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    become(payload["argv"], payload["variables"], report)


def name_itself(program: str, path: str) -> None:
    """Says at /proc/self/exe, where no other /proc is, what the loader, rustc and the JVM ask it:
    which program this is."""
    found = [os.path.join(folder, program) for folder in path.split(":")]
    exe = next((name for name in found if os.access(name, os.X_OK)), program)
    try:
        os.makedirs("../tmp/.proc/self", exist_ok=True)
        if os.path.lexists("../tmp/.proc/self/exe"):
            os.unlink("../tmp/.proc/self/exe")
        os.symlink(os.path.realpath(exe), "../tmp/.proc/self/exe")
    except OSError:
        pass  # a compiler before has made something else of it


def become(argv: List[str], variables: List[Tuple[str, str]], report: Report) -> NoReturn:
    """Executes another program.  One that isn't there is no fault of the candidate's."""
    os.set_inheritable(4, False)
    name_itself(argv[0], dict(variables)["PATH"])
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGINT):
        _signal.signal(number, _signal.SIG_DFL)
    try:
        os.execvpe(argv[0], argv, dict(variables))
    except OSError as error:
        if "/" not in argv[0]:
            report.send(missing="%s: %s" % (argv[0], error.strerror))
        os.write(2, ("%s: %s\n" % (argv[0], error.strerror)).encode("utf-8", "replace"))
    os._exit(127)


# ------------------------------------------------------------------ candidate process


def load_solution(code: str, name: str) -> types.ModuleType:
    """Executes a candidate as the module ``name``.  Raises whatever it raises."""
    _remember(SOLUTION_FILE, code)
    program = compiled(code, SOLUTION_FILE)
    module = types.ModuleType(name)
    module.__file__ = SOLUTION_FILE
    module.__dict__["__builtins__"] = builtins
    sys.modules[name] = module
    exec(program, module.__dict__)
    return module


def compiles(code: str) -> Optional[Tuple[str, str]]:
    """None, or why ``code`` doesn't compile."""
    try:
        compiled(code, SOLUTION_FILE)
    except (SyntaxError, ValueError, RecursionError, OverflowError, MemoryError) as error:
        return describe(error)
    return None


def entry_point(names: Dict[str, Any], name: str) -> Any:
    """The function ``name``, or the method ``name`` of a fresh ``Solution()``."""
    if name not in names and hasattr(names.get("Solution"), name):
        return getattr(names["Solution"](), name)
    if name not in names:
        raise NameError("name %r is not defined" % name)
    return names[name]


def candidate_main(payload: Dict[str, Any], report: Report, channel: Optional[Channel]) -> None:
    """What the candidate's process does, once it is locked in.  Never returns to its caller
    with something to do: the caller leaves by ``os._exit``."""
    code = payload["code"]
    if payload["role"] == "build":
        build(payload, report)
    if payload["role"] == "native":
        run_native(payload, report)
    if payload["role"] == "program":
        run_program(code, report)
    failure = compiles(code)
    if channel is not None:
        serve_calls(code, failure, channel)
    elif failure:
        report.done(Verdict.COMPILE_ERROR, failure)
    else:
        run_inline(code, payload, report)


def run_inline(code: str, payload: Dict[str, Any], report: Report) -> None:
    """Candidate and tests in one process."""
    try:
        module = load_solution(code, SOLUTION)
    except BaseException as error:
        verdict = outcome_of(error)
        if verdict is Verdict.WRONG_ANSWER:
            verdict = Verdict.RUNTIME_ERROR  # its own assertion, not a test's
        report.done(verdict, describe(error))
        return
    names = module.__dict__

    def call(name: str, args: List[Any], kwargs: Dict[str, Any]) -> Any:
        return entry_point(names, name)(*args, **kwargs)

    ending = run_tests(payload["tests"], names, call, report, payload["every"])
    for sign in tampering(payload["tests"]):
        report.send(suspicion=sign)
    report.done(*ending)
    _flush()


def watched() -> Dict[str, Any]:
    """What tests rely on and a candidate has no business to change: name → object."""
    found = {"builtins." + name: item for name, item in vars(builtins).items() if name != "_"}
    for module, names in (
        ("sys", ("exit", "gettrace", "getprofile", "settrace", "excepthook", "displayhook")),
        ("os", ("_exit", "write", "abort", "kill")),
        ("math", ("isclose", "isnan")),
    ):
        for name in names:
            found["%s.%s" % (module, name)] = getattr(sys.modules[module], name, None)
    case = getattr(sys.modules.get("unittest"), "TestCase", None)
    for name in dir(case):
        if name.startswith(("assert", "fail", "run")):
            found["unittest.TestCase." + name] = getattr(case, name)
    return found


AS_FOUND: Dict[str, Any] = {}
"""``watched`` before any candidate: made once, and inherited by every fork."""


def tampering(tests: Dict[str, Any]) -> List[str]:
    """Signs that the tests did not run in the interpreter that they were written for.  In one
    process a candidate that knows of this can hide from it.

    Of the builtins only those that these tests name are looked at: to touch them all would
    double what it costs to fork.
    """
    try:
        named = {"builtins." + name for name in names_in(tests)}
    except (SyntaxError, ValueError):
        named = set()
    whole = tests["kind"] == "unittest"
    looked_at = [
        n for n in AS_FOUND if whole or n in named or n.startswith(("sys.", "os.", "math."))
    ]
    signs = []
    for name in looked_at:
        module, _, attribute = name.rpartition(".")
        home = sys.modules.get(module)
        if module == "unittest.TestCase":
            home = sys.modules["unittest"].TestCase
        if getattr(home, attribute, None) is not AS_FOUND[name]:
            signs.append("replaced: " + name)
    if sys.gettrace() is not None or sys.getprofile() is not None:
        signs.append("traces the tests")
    return signs[:10]


def run_program(code: str, report: Report) -> NoReturn:
    """The candidate as ``__main__``: ends the process as the interpreter would."""
    failure = compiles(code)
    if failure:
        report.send(died=["compile", *failure])
        sys.stderr.write("%s: %s\n" % failure)
        _flush()
        os._exit(1)
    status = 0
    try:
        load_solution(code, "__main__")
    except SystemExit as stop:
        status = _exit_status(stop.code)
    except BaseException as error:
        status = 1
        report.send(died=["run", *describe(error)])
        _print_traceback(error)
    try:
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        atexit._run_exitfuncs()
    except BaseException as error:
        _print_traceback(error)
    if not _flush():
        status = status or 120
    os._exit(status)


def _exit_status(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write("%s\n" % (code,))
    return 1


def _print_traceback(error: BaseException) -> None:
    """The traceback from the candidate's first frame on."""
    try:
        frame = error.__traceback__
        while frame is not None and frame.tb_frame.f_code.co_filename != SOLUTION_FILE:
            frame = frame.tb_next
        traceback.print_exception(type(error), error, frame or error.__traceback__)
    except BaseException as again:
        os.write(2, ("%s: %s\n" % describe(again)).encode("utf-8", "replace"))


def _flush() -> bool:
    done = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            done = False
    return done


def serve_calls(code: str, failure: Optional[Tuple[str, str]], channel: Channel) -> None:
    """Executes the candidate, then answers the judge until the judge is gone.

    ``["names", [...]]`` → what these names are; ``["call", name, args, kwargs]`` → the
    result.  Everything here can be replaced by the candidate: the judge believes nothing
    of it but that it is plain data.
    """
    module: Optional[types.ModuleType] = None
    answer: Dict[str, Any] = {}
    if failure:
        answer = {"compile": failure}
    else:
        try:
            module = load_solution(code, SOLUTION)
        except BaseException as error:
            answer = {"load": [outcome_of(error).value, *describe(error)]}
    values = Globals()
    while True:
        try:
            request = channel.receive()
        except EOFError:
            return
        if module is None:
            reply = answer
        elif request[0] == "names":
            names = module.__dict__
            reply = {"names": {name: _kind(names[name]) for name in request[1] if name in names}}
            values.note(reply["names"])
        else:
            reply = _answer_call(module.__dict__, *request[1:])
            changed = values.changed(module.__dict__)
            if changed:
                reply["globals"] = changed
        _flush()
        try:
            channel.send(reply)
        except CannotCross as error:
            channel.send({"cannot": str(error)})


_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, type(functools.lru_cache(len)))


def _builtin_base(kind: Any) -> Any:
    return next(k for k in kind.__mro__ if getattr(builtins, k.__name__, None) is k)


NAME_BYTES = 1 << 20
"""A larger value of a name stays where it is."""


def _kind(item: Any) -> Any:
    """How a name of the candidate's can stand in the tests' process."""
    home = getattr(item, "__module__", None)
    if isinstance(item, types.ModuleType) and item.__name__ in SPLIT_MODULES:
        return ["module", item.__name__]
    if isinstance(item, type) and home in SPLIT_MODULES:
        return ["class", home, item.__name__]
    if isinstance(item, _FUNCTIONS):
        return ["function"]
    if isinstance(item, type) and issubclass(item, Exception):
        return ["exception", item.__name__, _builtin_base(item).__name__]
    if hasattr(type(item), "__next__"):
        return ["other", "an iterator"]
    try:
        packed = pack(item)
    except CannotCross as error:
        return ["other", str(error)]
    if _has_opaque(packed) or len(_any_digits(json.dumps, packed)) > NAME_BYTES:
        return ["other", "a %s" % type(item).__name__]
    return ["value", packed]


def _answer_call(
    names: Dict[str, Any], name: str, packed_args: Any, packed_kwargs: Any
) -> Dict[str, Any]:
    args, kwargs = unpack(packed_args), unpack(packed_kwargs)
    reply: Dict[str, Any]
    try:
        result = entry_point(names, name)(*args, **kwargs)
        same = [index for index, arg in enumerate(args) if arg is result]
        if same and not isinstance(result, (int, str, float, bytes)):
            reply = {"same": same[0]}
        else:
            reply = {"value": pack(result)}
    except CannotCross as error:
        return {"cannot": str(error)}
    except (SystemExit, KeyboardInterrupt) as error:
        return {"exit": describe(error)}
    except BaseException as error:
        known = _builtin_base(type(error)).__name__
        reply = {"raise": [known, type(error).__name__, _plain_args(error)]}
    places: List[Tuple[Any, Any, Any]] = [
        (index, arg, packed_args[index]) for index, arg in enumerate(args)
    ]
    places += [(name, kwargs[name], before) for name, before in packed_kwargs["v"]]
    changed = []
    for place, arg, before in places:
        if isinstance(arg, (list, dict, set, bytearray, tuple)):
            try:
                after = pack(arg)
            except CannotCross as error:
                return {"cannot": "an argument that was changed: %s" % error}
            if after != before:
                changed.append([place, after])
    if changed:
        reply["changed"] = changed
    return reply


class Globals:
    """The plain values of a candidate's that the tests name: calls may change them."""

    def __init__(self) -> None:
        self._known: Dict[str, Any] = {}

    def note(self, kinds: Dict[str, Any]) -> None:
        plain = {name: kind[1] for name, kind in kinds.items() if kind[0] == "value"}
        self._known = {name: marshal.dumps(packed) for name, packed in plain.items()}

    def changed(self, names: Dict[str, Any]) -> Dict[str, Any]:
        """Name → packed value, for those that are not what they were."""
        found = {}
        for name, before in self._known.items():
            kind = _kind(names.get(name))
            if kind[0] == "value" and marshal.dumps(kind[1]) != before:
                found[name], self._known[name] = kind[1], marshal.dumps(kind[1])
        return found


def _plain_args(error: BaseException) -> Any:
    try:
        return pack(list(error.args))
    except CannotCross:
        return [describe(error)[1]]


# --------------------------------------------------------------------------- the judge

# Modules that mean the same in the tests' process as in the candidate's.
SPLIT_MODULES = frozenset(
    "math cmath typing itertools functools collections re string copy json decimal fractions"
    " heapq bisect operator statistics numbers random time datetime calendar hashlib unittest"
    " dataclasses enum textwrap pprint ast array struct base64 binascii zlib uuid keyword"
    " __future__ collections.abc".split()
)
_NEEDS_ONE_PROCESS = re.compile(
    r"\bseed\s*\(|setstate|\bmock\b|\bpatch\b|assertLogs|assertWarns|\binput\s*\(|globals\s*\("
)


ONE_PROCESS = "the tests need the candidate in their own process"


def needs_one_process(tests: Dict[str, Any]) -> bool:
    """Whether the text of the tests says so."""
    if tests["kind"] not in ("assertions", "unittest"):
        return False
    return any(map(_NEEDS_ONE_PROCESS.search, [tests["code"], *tests.get("cases", ())]))


class Proxy:
    """A function of the candidate's, in the tests' process."""

    __doc__ = property(lambda self: self.__getattr__("__doc__"))

    def __init__(self, judge: Judge, name: str) -> None:
        self.__dict__.update(_judge=judge, _name=name, __name__=name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._judge.call(self._name, list(args), kwargs)

    def __getattr__(self, name: str) -> Any:
        raise CannotCross("attribute %r of %s" % (name, self._name))

    def __setattr__(self, name: str, value: Any) -> None:
        raise CannotCross("assignment to an attribute of %s" % self._name)


class _OtherMeta(type):
    """Any use of a name that can't cross says so."""

    def _refuse(cls, *args: Any, **kwargs: Any) -> Any:
        raise CannotCross("the candidate's %s" % type.__getattribute__(cls, "what"))

    __call__ = __getattr__ = __instancecheck__ = __subclasscheck__ = _refuse
    __iter__ = __len__ = __getitem__ = __contains__ = __eq__ = __bool__ = _refuse
    __hash__ = type.__hash__


def sendable(value: Any) -> Any:
    """``pack`` for what the tests give to the candidate: nothing of it may be lost."""
    packed = pack(value)
    if _has_opaque(packed):
        raise CannotCross("an object that is no plain data")
    return packed


def _has_opaque(packed: Any) -> bool:
    if type(packed) is list:
        return any(map(_has_opaque, packed))
    if type(packed) is dict:
        return packed["t"] in ("opaque", "iterator") or _has_opaque(packed["v"])
    return False


class Judge:
    """Runs the tests against a candidate in another process."""

    def __init__(self, channel: Channel, report: Report) -> None:
        self._channel = channel
        self._report = report
        self.fatal: Optional[BaseException] = None  # survives a test's bare "except:"
        self._names: Dict[str, Any] = {}
        self._exceptions: Dict[str, type] = {}

    def run(self, tests: Dict[str, Any], every: bool) -> None:
        if needs_one_process(tests):
            self._report.send(inline=ONE_PROCESS)
            return
        try:
            wanted = sorted(names_in(tests))
        except (SyntaxError, ValueError):
            wanted = []  # tests that don't compile fail when they are run
        try:
            answer = self._ask(["names", wanted])
            if "compile" in answer:
                self._report.done(Verdict.COMPILE_ERROR, self._signature(answer["compile"]))
                return
            if "load" in answer:
                verdict = Verdict(answer["load"][0])
                if verdict not in (Verdict.EARLY_EXIT, Verdict.MEMORY_LIMIT):
                    verdict = Verdict.RUNTIME_ERROR
                self._report.done(verdict, self._signature(answer["load"][1:]))
                return
            names = self._namespace(answer["names"], wanted, tests.get("entry_point"))
            ending = run_tests(tests, names, self.call, self._report, every)
            if isinstance(self.fatal, CannotCross):
                raise self.fatal
            if self.fatal is not None and ending[0] is Verdict.ACCEPTED:
                # A test that swallowed what ended the candidate doesn't pass for it.
                ending = Verdict.EARLY_EXIT, describe(self.fatal)
            self._report.done(*ending)
        except CannotCross as error:
            self._report.send(inline=str(error)[:MESSAGE_CHARS])
        except CandidateExit as error:
            self._report.done(Verdict.EARLY_EXIT, describe(error))
        except MemoryError as error:
            self._report.done(Verdict.MEMORY_LIMIT, describe(error))
        except Exception as error:  # whatever a candidate that makes its own frames can cause
            self._report.done(Verdict.RUNTIME_ERROR, ("ProtocolError", describe(error)[1]))

    @staticmethod
    def _signature(pair: Any) -> Tuple[str, str]:
        return str(pair[0])[:100], normalise_message(str(pair[1]))

    def _namespace(
        self, kinds: Dict[str, Any], wanted: Sequence[str], entry_point: Optional[str]
    ) -> Dict[str, Any]:
        names = self._names
        names["__name__"] = "tests"
        offered = [name for name in kinds if name in wanted]
        # The words that the tests are written in are not the candidate's to define, unless it
        # is one of them that is tested.
        own = [name for name in offered if not hasattr(builtins, name) or name == entry_point]
        for name in own or offered:
            kind = kinds[name]
            if kind[0] == "function" or name == entry_point:
                names[name] = Proxy(self, name)
            elif kind[0] == "value":
                names[name] = unpack(kind[1])
            elif kind[0] == "exception":
                names[name] = self._exception_class(kind[2], kind[1])
            elif kind[0] == "module" and kind[1] in SPLIT_MODULES:
                names[name] = importlib.import_module(kind[1])
            elif kind[0] == "class" and kind[1] in SPLIT_MODULES:
                names[name] = getattr(importlib.import_module(kind[1]), str(kind[2]))
                if not isinstance(names[name], type):
                    raise ValueError("not a class")
            else:
                names[name] = _OtherMeta("Other", (), {"what": "%s, %s" % (name, kind[1])})
        safe = dict(vars(builtins))
        real_import = builtins.__import__

        def guarded_import(name: str, *args: Any, **kwargs: Any) -> Any:
            # Only what the tests themselves import counts, not what a module then needs.
            caller = sys._getframe(1).f_globals
            if caller is names and name not in SPLIT_MODULES:
                raise self._stop(CannotCross("the tests import %s" % name))
            return real_import(name, *args, **kwargs)

        safe["__import__"] = guarded_import
        names["__builtins__"] = safe
        return names

    def _stop(self, error: BaseException) -> BaseException:
        self.fatal = self.fatal or error
        return error

    def _ask(self, request: Any) -> Dict[str, Any]:
        try:
            self._channel.send(request)
            answer = self._channel.receive()
        except (EOFError, OSError) as error:
            raise self._stop(CandidateExit("the program ended before the tests did")) from error
        except CannotCross as error:
            raise self._stop(error)
        if type(answer) is not dict:
            raise ValueError("not an answer")
        return answer

    def call(self, name: str, args: List[Any], kwargs: Dict[str, Any]) -> Any:
        """A call in the candidate's process; what it raises is raised here by its built-in type."""
        try:
            request = ["call", name, [sendable(arg) for arg in args], sendable(kwargs)]
        except CannotCross as error:
            raise self._stop(CannotCross("an argument of %s: %s" % (name, error)))
        answer = self._ask(request)
        if "cannot" in answer:
            # No reason to believe it more than in its own process: it is equal to nothing.
            self._report.send(
                suspicion="a result that can't cross: %s" % str(answer["cannot"])[:100]
            )
            return Opaque("result that can't cross")
        if "exit" in answer:
            raise self._stop(CandidateExit("%s in %s" % (self._signature(answer["exit"])[0], name)))
        for place, after in list(answer.get("changed", ())):
            mine, new = args[place] if type(place) is int else kwargs[place], unpack(after)
            if type(mine) is not type(new):
                raise ValueError("not plain data")
            update_in_place(mine, new)
        for global_name, packed in dict(answer.get("globals", {})).items():
            self._update_global(global_name, unpack(packed))
        if "raise" in answer:
            raise self._exception(*answer["raise"])
        if "same" in answer:
            return args[answer["same"]]
        return unpack(answer["value"])

    def _update_global(self, name: str, new: Any) -> None:
        mine = self._names.get(name)
        if isinstance(mine, (Proxy, type)) or name not in self._names:
            return
        if type(mine) is type(new) and isinstance(mine, (list, dict, set, bytearray)):
            update_in_place(mine, new)
        else:
            self._names[name] = new

    def _exception(self, known: str, kind: str, args: Any) -> BaseException:
        error: BaseException = self._exception_class(known, kind)(*unpack(args))
        return error

    def _exception_class(self, known: str, kind: str) -> Any:
        """The built-in exception, or one of the candidate's that is derived from it."""
        base = getattr(builtins, str(known), None)
        if not (isinstance(base, type) and issubclass(base, Exception)):
            raise ValueError("not an exception")
        if kind == known:
            return base
        name = str(kind)[:100]
        if name not in self._exceptions:
            self._exceptions[name] = type(name, (_Kept, base), {})
        return self._exceptions[name]


# ------------------------------------------------------------------------- locking in


class Plan:
    """How executions are isolated in this container: made once by the supervisor."""

    def __init__(self) -> None:
        self.root = os.geteuid() == 0
        self.namespaces = 0
        self.landlock = 0
        self.other_processes = 3  # that count against the same user: zygote, judge, candidate
        self.missing: Dict[str, str] = {}
        self.box = BOX
        self.binds: List[str] = []
        self.seccomp: Optional[Tuple[Seccomp, Seccomp]] = None
        self.mechanisms: List[str] = ["no_new_privs", "rlimits"]

    _FIELDS = ("root", "namespaces", "landlock", "other_processes", "box", "binds", "mechanisms")

    def as_data(self) -> Dict[str, Any]:
        return {name: getattr(self, name) for name in self._FIELDS}

    @classmethod
    def from_data(cls, data: Dict[str, Any]) -> Plan:
        plan = cls()
        for name in cls._FIELDS:
            setattr(plan, name, data[name])
        if "seccomp" in plan.mechanisms:
            whole, last = seccomp_programs(bool(plan.namespaces))
            plan.seccomp = Seccomp(whole), Seccomp(last)
        return plan

    def level(self) -> str:
        """What ``mechanisms`` amount to."""
        have = set(self.mechanisms)
        if {"ipc", "mount", "net", "pid", "seccomp"} <= have:
            return "full"
        if {"landlock", "seccomp"} <= have:
            return "filtered"
        return "limits"


def resource_limits(plan: Plan, limits: Dict[str, Any]) -> List[Tuple[int, Tuple[int, int]]]:
    """What ``setrlimit`` is to be told for these limits."""
    memory, address = int(limits["memory_bytes"]), int(limits.get("address_bytes", ADDRESS_SPACE))
    processes = int(limits["processes"]) + plan.other_processes
    cpu = math.ceil(limits["cpu_s"] or limits["wall_s"] * STRETCH)
    wanted = []
    for name, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_AS, memory + address, memory + address),
        (resource.RLIMIT_CPU, cpu + 1, cpu + 2),
        (resource.RLIMIT_FSIZE, limits["file_bytes"], limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"], limits["open_files"]),
        (resource.RLIMIT_NPROC, processes, processes),
        (resource.RLIMIT_MEMLOCK, 65536, 65536),
    ):
        most = resource.getrlimit(name)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        wanted.append((name, (int(soft), int(hard))))
    return wanted


def lock_in(plan: Plan, limits: List[Tuple[int, Tuple[int, int]]], uid: int, ruleset: int) -> None:
    """Gives up, for this process and all that it starts, what a program doesn't need."""
    for name, pair in limits:
        resource.setrlimit(name, pair)
    if plan.root:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    else:
        drop_capabilities()
    if ruleset >= 0:
        install_landlock(ruleset)
    if plan.seccomp:
        plan.seccomp[1].install()


ADDRESS_SPACE = 4 << 30
"""Address space beyond the memory limit: resident memory is what is limited."""
STRETCH = 10
"""How far the wall limit may stretch for time that a program waited for a CPU."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
SYSTEM = (
    "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/usr/bin", "/usr/lib", "/usr/lib32",
    "/usr/lib64", "/usr/libexec", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/alternatives",
)  # fmt: skip
"""Not /etc/localtime: where nothing else is said, the time zone is UTC on every node."""


def interpreter_paths() -> List[str]:
    """What this interpreter reads: its prefix, library and modules."""
    found = {os.path.realpath(sys.executable), os.path.abspath(__file__)}
    for path in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *sys.path):
        if path and path != "/usr" and os.path.exists(path):
            found.update((os.path.abspath(path), os.path.realpath(path)))
    venv = os.path.join(sys.prefix, "bin")
    if sys.prefix != sys.base_prefix and os.path.isdir(venv):
        found.add(sys.prefix)
    return sorted(found)


def view(more: Sequence[str]) -> List[str]:
    """All paths of the minimal view, none of which lies below another one."""
    paths: List[str] = []
    for path in sorted({*SYSTEM, *interpreter_paths(), *map(os.path.abspath, more)}):
        if os.path.lexists(path) and not any(path.startswith(p + "/") for p in paths):
            paths.append(path)
    return paths


INSIDE = "/sandbox/agent.py"
"""Where this file is in a built root: its place outside may be below /tmp, which would then be
no directory of the candidate's, and is none of its business."""


def build_root(plan: Plan, uid: int) -> None:
    """A root with nothing but ``plan.binds`` (read-only), five devices and the box."""
    _mount("none", "/", "", MS_REC | MS_PRIVATE)
    for base in ("/mnt", "/srv", "/media", "/opt", "/home", "/var"):
        if os.path.isdir(base) and not any((p + "/").startswith(base + "/") for p in plan.binds):
            break
    else:
        raise OSError(errno.ENOENT, "no directory to build a root on")
    _mount("root", base, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for path in plan.binds:
        own = path == os.path.abspath(__file__)
        target = base + (INSIDE if own else path)
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        if os.path.islink(path) and not own and not path.startswith("/etc/"):
            os.symlink(os.readlink(path), target)
            continue
        _bind(os.path.realpath(path), target, MS_RDONLY | MS_NOSUID | MS_NODEV)
    for path in DEVICES:
        os.makedirs(base + "/dev", 0o755, exist_ok=True)
        _bind(path, base + path, MS_NOSUID | MS_NOEXEC)
    for link, target in (
        ("/tmp", BOX + "/tmp"), ("/dev/shm", BOX + "/shm"), ("/dev/stdin", BOX + "/tmp/.stdin"),
        ("/var/tmp", BOX + "/tmp"), ("/proc", BOX + "/tmp/.proc"),
    ):  # fmt: skip
        os.makedirs(os.path.dirname(base + link), 0o755, exist_ok=True)
        # An interpreter that lies below /tmp keeps its place; /tmp itself is read-only then.
        if not os.path.lexists(base + link):
            os.symlink(target, base + link)
    os.makedirs(base + BOX, 0o755)
    os.makedirs(base + "/etc", 0o755, exist_ok=True)
    for name, text in (
        ("passwd", "candidate:x:%d:%d::%s/work:/bin/sh\n" % (uid, uid, BOX)),
        ("group", "candidate:x:%d:\n" % uid),
        ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ):
        with open(base + "/etc/" + name, "w") as file:
            file.write(text)
    os.chdir(base)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount of the old root")
    os.chdir("/")
    _mount("none", "/", "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def _bind(source: str, target: str, flags: int) -> None:
    if os.path.isdir(source):
        os.makedirs(target, 0o755, exist_ok=True)
    else:
        with open(target, "w"):
            pass
    try:
        _mount(source, target, "", MS_BIND)
    except OSError:
        _mount(source, target, "", MS_BIND | MS_REC)  # it has mounts below that can't be left out
    kept = os.statvfs(target).f_flag & KEEP_FLAGS
    _mount("none", target, "", MS_REMOUNT | MS_BIND | flags | kept)


# -------------------------------------------------------------------------- the zygote

PRELOAD = (
    "abc array base64 bisect calendar cmath collections.abc contextlib copy dataclasses datetime"
    " decimal enum fractions heapq inspect itertools numbers operator pprint string textwrap"
    " typing unittest"
).split()


def receive(sock: socket.socket) -> Tuple[Dict[str, Any], List[int]]:
    """One message and its descriptors.  Raises EOFError."""
    data, ancillary, _, _ = sock.recvmsg(65536, socket.CMSG_SPACE(8 * 4))
    if not data:
        raise EOFError
    descriptors: List[int] = []
    for level, kind, body in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors += struct.unpack("%di" % (len(body) // 4), body[: len(body) // 4 * 4])
    return marshal.loads(data), descriptors


def transmit(sock: socket.socket, message: Dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    rights = struct.pack("%di" % len(descriptors), *descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
    sock.sendmsg([marshal.dumps(message)], ancillary)


BOOT = (
    "import marshal, os, sys\n"
    "sys.path[:] = filter(None, sys.path)\n"
    "code = marshal.loads(os.pread(4, os.fstat(4).st_size, 0))\n"
    "os.close(4)\n"
    "exec(code, {'__name__': 'zygote', '__file__': sys.argv[1], '__builtins__': __builtins__})"
)
"""A zygote's program: this file as it was compiled for the supervisor.  To compile it again
would cost time, and leave pages behind that each fork has to copy."""
FRESH = (
    "import sys\n"
    "sys.path[:] = filter(None, sys.path)\n"
    "del sys.argv[0]\n"
    "with open(sys.argv[0], 'rb') as file:\n"
    "    code = compile(file.read(), sys.argv[0], 'exec')\n"
    "exec(code, {'__name__': '__main__', '__file__': sys.argv[0], '__builtins__': __builtins__})"
)
"""This file as the program of a fresh interpreter, for a single candidate."""


def interpreter(program: str, file: str, *arguments: str) -> List[str]:
    """Starts Python isolated as by -I, but for PYTHONHASHSEED, which that wouldn't look at: its
    whole environment is ours to give.  ``program`` must take the "" off ``sys.path``.
    ``file``: this one, where the program finds it."""
    return [sys.executable, "-s", "-B", "-c", program, file, *arguments]


def become_zygote() -> NoReturn:
    """Serves the supervisor at descriptor 3."""
    os.set_inheritable(3, False)
    _close_from(4)
    sock = socket.socket(fileno=3)
    try:
        for name in PRELOAD:
            importlib.import_module(name)
        message, _ = receive(sock)
        plan = Plan.from_data(message["plan"])
        Zygote(sock, plan, message["uid"], message["memory"]).start()
    except BaseException as error:
        transmit(sock, {"failed": str(error)})
    os._exit(1)


class Zygote:
    """A slot's warm interpreter: forks executions, waits for them and cleans up."""

    def __init__(self, sock: socket.socket, plan: Plan, uid: int, memory: int) -> None:
        self._sock = sock
        self._memory = memory
        self._plan = plan
        self._uid = uid
        self._own_pid_namespace = self._own_time_namespace = self._clock = -1
        self._surroundings: Tuple[Any, ...] = ([], 0, "", 0)
        self._locale = _locale.setlocale(_locale.LC_CTYPE)
        self._stack = ctypes.create_string_buffer(1 << 16)
        top = ctypes.addressof(self._stack) + len(self._stack)
        self._init_stack = ctypes.c_void_p(top & ~0xFF)
        self._all_signals = [int(number) for number in signal.valid_signals()]

    def start(self) -> NoReturn:
        """Goes into the slot's namespaces and serves.  Never returns."""
        plan = self._plan
        with open("/proc/self/statm") as file:
            self._address_space = int(file.read().split()[0]) * _PAGE + (32 << 20)
        if plan.namespaces:
            uid, gid = os.geteuid(), os.getegid()
            _unshare(plan.namespaces)
            if plan.namespaces & CLONE_NEWUSER:
                for name, text in (
                    ("setgroups", "deny"), ("uid_map", "%d %d 1" % (uid, uid)),
                    ("gid_map", "%d %d 1" % (gid, gid)),
                ):  # fmt: skip
                    with open("/proc/self/" + name, "w") as file:
                        file.write(text)
                try:
                    _unshare(CLONE_NEWTIME)  # one of our own, to come back to from others
                except OSError:
                    pass
            pid = os.fork()
            if pid:
                transmit(self._sock, {"pid": pid})
                os._exit(0)
            receive(self._sock)  # the supervisor is now the parent
            self._own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            self._open_clock()
            build_root(plan, self._uid)
            _libc.sethostname(b"sandbox", 7)
        else:
            transmit(self._sock, {"pid": os.getpid()})
            receive(self._sock)
            _prctl(PR_SET_CHILD_SUBREAPER, 1)
        if plan.namespaces:
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)  # the supervisor's handler
        os.environ.clear()
        reader, writer = os.pipe()  # as in a candidate, stdout and stderr are pipes
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        make_streams()
        os.close(reader)
        os.close(writer)
        AS_FOUND.update(watched())
        gc.collect()
        if hasattr(_libc, "malloc_trim"):
            _libc.malloc_trim(ctypes.c_size_t(0))  # what compiling this file has left behind
        gc.freeze()
        gc.disable()
        self._wake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._ruleset = -1
        if plan.landlock:
            readable = ["/"] if plan.namespaces else plan.binds
            devices = [path for path in DEVICES if os.path.exists(path)]
            writable = [BOX_PARENT if plan.namespaces else plan.box, *devices]
            self._ruleset = landlock_ruleset(plan.landlock, readable, writable)
        os.umask(0)
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        if plan.seccomp:
            plan.seccomp[0].install()
        self._rehearse()
        if self._memory:
            scatter(self._memory)
        transmit(self._sock, {"ready": True, "clock": self._clock >= 0})
        self._poll = select.poll()
        self._poll.register(self._sock, select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)
        while True:
            try:
                request, descriptors = receive(self._sock)
            except EOFError:
                self._leave()
            if "limits" in request:
                transmit(self._sock, self._execute(request, descriptors))

    def _open_clock(self) -> None:
        """Makes ready to shift the monotonic clock of executions, where the kernel lets us."""
        try:
            self._own_time_namespace = os.open("/proc/self/ns/time", os.O_RDONLY | os.O_CLOEXEC)
            self._clock = os.open("/proc/self/timens_offsets", os.O_WRONLY | os.O_CLOEXEC)
            self._set_clock(1)
            self._set_clock(0)
        except OSError:
            self._clock = -1

    def _set_clock(self, ahead_s: int) -> None:
        """For what is forked from now on."""
        if not ahead_s:
            _check(_libc.setns(self._own_time_namespace, CLONE_NEWTIME), "setns")
            return
        _unshare(CLONE_NEWTIME)
        os.write(self._clock, b"monotonic %d 0\nboottime %d 0\n" % (ahead_s, ahead_s))

    def _adapt(self, request: Dict[str, Any]) -> None:
        """Makes itself what executions are to be forked from, where it isn't already: so it
        costs each of them nothing, as long as they are to have the same."""
        wanted = tuple(request[name] for name in ("env", "threads", "locale", "clock"))
        if wanted == self._surroundings:
            return
        set_environment(request["env"])
        set_interpreter(request["threads"], request["locale"] or self._locale)
        if request["clock"] != self._surroundings[3]:
            self._set_clock(request["clock"])
        self._surroundings = wanted

    def _rehearse(self) -> None:
        """Locks a child in as an execution will be, so that what doesn't work here shows now."""
        if not self._plan.namespaces:
            self._clear_box()  # of what the zygote before has left when it failed
        self._make_box(1 << 20, "")
        read, write = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if not pid:
            try:
                limits = resource_limits(self._plan, DEFAULT_LIMITS)
                lock_in(self._plan, limits, self._uid, self._ruleset)
                os.write(write, b"ok")
            except BaseException as error:
                os.write(write, str(error).encode())
            os._exit(0)
        os.close(write)
        answer = os.read(read, 1000)
        os.close(read)
        os.waitpid(pid, 0)
        self._clear_box()
        if answer != b"ok":
            raise OSError(errno.EPERM, "locking in: %s" % answer.decode("utf-8", "replace"))

    def _make_box(self, size: int, inner: str) -> None:
        """``inner``: a directory that the working and the temporary one lie in, instead of the
        box; their usual paths are links to them then."""
        box = self._plan.box
        if self._plan.namespaces:
            _mount(
                "box", box, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=%d,nr_inodes=16384" % size
            )
        if inner:
            os.mkdir(box + "/" + inner, 0o755)
            for name in ("work", "tmp"):
                os.symlink(inner + "/" + name, box + "/" + name)
        for name in (box_path(inner, "work"), box_path(inner, "tmp"), "shm"):
            os.mkdir(box + "/" + name, 0o1777)

    def _clear_box(self) -> None:
        if self._plan.namespaces:
            _umount(self._plan.box)
            return
        os.chmod(self._plan.box, 0o711)
        for name in os.listdir(self._plan.box):
            remove_tree(self._plan.box + "/" + name)

    def _execute(self, request: Dict[str, Any], descriptors: List[int]) -> Dict[str, Any]:
        """One run: the descriptors are code, report, stdin, stdout, stderr and, for the split
        judge, the tests, or what a program in another language is built into and consists of.
        Returns how it ended, when nothing of it is left."""
        split = request["split"]
        self._adapt(request)
        self._make_box(request["limits"]["file_bytes"], request["temp"])
        self._limits = resource_limits(self._plan, request["limits"])
        self._memory_bytes = int(request["limits"]["memory_bytes"])
        ends = socket.socketpair() if split else ()
        if self._own_pid_namespace >= 0:
            _unshare(CLONE_NEWPID)
        try:
            first = self._fork_first(request, descriptors, ends)
            try:
                second = os.fork()
            except OSError as error:
                if not ends or error.errno != errno.ENOMEM:
                    raise
                second = -1  # the judge has ended already, and its namespace with it
            if not second:
                self._candidate(request, descriptors, ends)
        finally:
            if self._own_pid_namespace >= 0:
                _check(_libc.setns(self._own_pid_namespace, CLONE_NEWPID), "setns")
            for descriptor in descriptors:
                os.close(descriptor)
            for end in ends:
                end.close()
        ended = self._wait(first, second, split)
        if request["ending"]:
            ended["ending"] = self._read_ending(request["temp"])
        self._clear_box()
        return ended

    def _read_ending(self, inner: str) -> bytes:
        """What a program has written when it had got to its end; b"" if it hasn't."""
        path = "%s/%s/.ending" % (self._plan.box, box_path(inner, "tmp"))
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            return os.read(descriptor, 64)
        except OSError:
            return b""
        finally:
            os.close(descriptor)

    def _fork_first(
        self, request: Dict[str, Any], descriptors: List[int], ends: Sequence[socket.socket]
    ) -> int:
        """Pid 1 of the execution: the judge, or an init that only reaps; 0 if none is needed."""
        if not ends and self._own_pid_namespace < 0:
            return 0
        if not ends:
            return self._start_init()
        pid = os.fork()
        if pid:
            return pid
        try:
            _signal.set_wakeup_fd(-1)
            for number in (_signal.SIGINT, _signal.SIGPIPE):
                _signal.signal(number, _signal.SIG_DFL)
            _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)  # orphans leave no zombies
            self._judge(request, descriptors[5], descriptors[1], ends[0].fileno())
        finally:
            os._exit(1)

    def _start_init(self) -> int:
        """A pid 1 that does nothing but be there, and whose orphans leave no zombies.

        It sleeps in ``pause(2)`` with all signals blocked, on a stack of its own in the
        zygote's memory (CLONE_VM): a tenth of what forking an interpreter costs.
        """
        every = _signal.pthread_sigmask(_signal.SIG_BLOCK, self._all_signals)
        handler = _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
        try:
            flags = CLONE_VM | _signal.SIGCHLD
            return _check(_libc.clone(_libc.pause, self._init_stack, flags, None), "clone")
        finally:
            _signal.signal(_signal.SIGCHLD, handler)
            _signal.pthread_sigmask(_signal.SIG_SETMASK, every)

    def _judge(self, request: Dict[str, Any], tests: int, report: int, channel: int) -> None:
        null = os.open("/dev/null", os.O_RDWR)
        ruleset = arrange([null, null, null, tests, report, channel], self._ruleset)
        os.chdir(self._plan.box + "/work")
        _prctl(PR_SET_DUMPABLE, 0)
        uid = self._uid + 1 if self._plan.root else self._uid
        # What crosses is the candidate's making: it may not be larger here than there.
        most = self._address_space + self._memory_bytes
        limits = [(n, (most, most) if n == resource.RLIMIT_AS else p) for n, p in self._limits]
        lock_in(self._plan, limits, uid, ruleset)
        gc.enable()
        payload = read_payload(3)
        if payload["env"]:
            set_environment(payload["env"])
        Judge(Channel(5), Report(4, payload["nonce"])).run(payload["tests"], payload["every"])
        os._exit(0)

    def _candidate(
        self, request: Dict[str, Any], descriptors: List[int], ends: Sequence[socket.socket]
    ) -> NoReturn:
        try:
            _signal.set_wakeup_fd(-1)
            _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            os.setsid()
            code, report, stdin, stdout, stderr = descriptors[:5]
            mine = [stdin, stdout, stderr, code, report, *(end.fileno() for end in ends[1:])]
            if not ends:
                mine += descriptors[5:]
            ruleset = arrange(mine, self._ruleset)
            os.chdir("%s/%s" % (self._plan.box, box_path(request["temp"], "work")))
            os.umask(0o022)
            lock_in(self._plan, self._limits, self._uid, ruleset)
            if self._plan.namespaces & CLONE_NEWUSER:
                # Entering the namespace has hidden it from the supervisor, who has to measure it.
                _prctl(PR_SET_DUMPABLE, 1)
            if request["fresh"]:
                file = os.path.abspath(__file__)
                if self._plan.namespaces and file in self._plan.binds:
                    file = INSIDE
                argv = interpreter(FRESH, file, "--candidate", *["--split"] * bool(ends))
                os.execve(argv[0], argv, {"PYTHONHASHSEED": str(request["hash"])})
            enter_candidate(bool(ends))
        except BaseException as error:
            os.write(2, ("the sandbox failed: %r\n" % error).encode("utf-8", "replace"))
        finally:
            os._exit(1)

    def _wait(self, first: int, second: int, split: bool) -> Dict[str, Any]:
        """Waits for the end of the judge (split) or the candidate, kills the rest and reaps it."""
        ended: Dict[int, Tuple[int, Any]] = {}
        patience = None
        while True:
            for pid in (first, second):
                if pid > 0 and pid not in ended:
                    reaped, status, usage = os.wait4(pid, os.WNOHANG)
                    if reaped:
                        ended[pid] = status, usage
            if first in ended if split else second in ended:
                break
            if split and second in ended and patience is None:
                patience = time.monotonic() + GRACE_S  # the judge notices by itself
            if patience is not None and time.monotonic() >= patience:
                self._kill(first, second)
                patience = None
            timeout = (
                None if patience is None else max(1, int(1000 * (patience - time.monotonic())))
            )
            for descriptor, _ in self._poll.poll(timeout):
                if descriptor == self._wake:
                    os.read(self._wake, 4096)
                    continue
                try:
                    receive(self._sock)  # the supervisor's only message now: kill
                except EOFError:
                    self._kill(first, second)
                    self._leave()
                self._kill(first, second)
        self._kill(first, second)
        for pid in (first, second):
            if pid > 0 and pid not in ended:
                _, status, usage = os.wait4(pid, 0)
                ended[pid] = status, usage
        if not self._plan.namespaces:
            end_descendants(os.getpid())
        status, usage = ended[second] if second > 0 else ended[first]
        return {
            "status": status,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_memory_bytes": usage.ru_maxrss * 1024,
        }

    def _kill(self, first: int, second: int) -> None:
        for pid in (first, second):
            if pid > 0:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                if self._own_pid_namespace >= 0:
                    return  # pid 1 takes its namespace with it

    def _leave(self) -> NoReturn:
        """The supervisor is gone."""
        if not self._plan.namespaces:
            end_descendants(os.getpid())
        os._exit(0)


def end_process(pid: int) -> None:
    """Kills a child and waits for its end."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def end_descendants(root: int, spare: Sequence[int] = ()) -> None:
    """Without a pid namespace: kills all children of ``root``, this process, and what they have
    started, but for ``spare`` and theirs; also what forks as fast as it is killed."""
    while True:
        found = [pid for pid in children(root) if pid not in spare]
        for pid in found:
            found += children(pid)
        for pid in found:
            try:
                resource.prlimit(pid, resource.RLIMIT_NPROC, (0, 0))
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue  # it is gone
        if not found:
            return
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return


def arrange(descriptors: Sequence[int], ruleset: int) -> int:
    """Makes them 0, 1, 2, ... and closes everything else but ``ruleset``, whose new number
    is returned."""
    descriptors = [*descriptors, ruleset] if ruleset >= 0 else descriptors
    high = descriptors
    if min(descriptors) < len(descriptors):  # one would be overwritten before it is moved
        high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 64) for descriptor in descriptors]
    for number, descriptor in enumerate(high):
        os.dup2(descriptor, number)
    _close_from(len(descriptors))
    return len(descriptors) - 1 if ruleset >= 0 else -1


def read_payload(descriptor: int) -> Dict[str, Any]:
    """What the supervisor has for this process.  By ``marshal``: both ends are one program,
    and it touches the fewest pages of a freshly forked interpreter."""
    size = os.fstat(descriptor).st_size
    data = os.pread(descriptor, size, 0)
    while len(data) < size:
        data += os.pread(descriptor, size - len(data), len(data))
    os.close(descriptor)
    payload: Dict[str, Any] = marshal.loads(data)
    return payload


def make_streams() -> None:
    """Text streams over descriptors 0, 1 and 2, whatever these become."""
    for name, descriptor, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        raw = io.FileIO(descriptor, mode, closefd=False)
        buffer: Any = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
        errors = "backslashreplace" if name == "stderr" else "strict"
        stream = io.TextIOWrapper(buffer, "utf-8", errors, line_buffering=name == "stderr")
        setattr(sys, name, stream)
        setattr(sys, "__%s__" % name, stream)


def box_path(inner: str, name: str) -> str:
    return inner + "/" + name if inner else name


def set_environment(variables: Sequence[Tuple[str, str]]) -> None:
    """Makes them the variables of this process, in this order."""
    os.environ.clear()
    for name, value in variables:
        os.environ[name] = value
    time.tzset()


def shuffled(items: Sequence[Any], seed: int) -> List[Any]:
    """The same order for the same seed, whatever the Python."""
    found = list(items)
    for last in range(len(found) - 1, 0, -1):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        other = (seed >> 8) % (last + 1)
        found[last], found[other] = found[other], found[last]
    return found


SCATTERED: List[bytes] = []


def scatter(seed: int) -> None:
    """Has the next small objects allocated at addresses that are in no order: of each size many
    are made, and every second one is given back."""
    for size in range(48, 513, 16):
        count = 1024 if size <= 128 else 64
        made = shuffled([bytes(size - 33) for _ in range(count)], seed + size)
        SCATTERED.extend(made[::2])


def set_interpreter(switch_us: int, locale: str) -> None:
    """How often threads change, 0 being Python's own value, and what letters there are."""
    sys.setswitchinterval(switch_us / 1e6 or 0.005)
    _locale.setlocale(_locale.LC_CTYPE, locale)


def make_fresh(payload: Dict[str, Any]) -> None:
    """What a zygote has done before it forks, in an interpreter of the candidate's own."""
    AS_FOUND.update(watched())
    perturbation = payload["perturbation"]
    letters = perturbation["locale"] or _locale.setlocale(_locale.LC_CTYPE)
    set_interpreter(perturbation["threads"], letters)
    if perturbation["memory"]:
        scatter(perturbation["memory"])


def enter_candidate(split: bool) -> NoReturn:
    """In the locked-in process: descriptors 0-2 are the program's, 3 its code, 4 the report, 5
    the judge."""
    payload = read_payload(3)
    if not AS_FOUND:
        make_fresh(payload)
    if payload["env"] is not None:
        set_environment(payload["env"])
    if payload["role"] in ("build", "native"):
        os.set_inheritable(5, False)
    sys.argv = [SOLUTION_FILE]
    sys.path[:0] = payload["path"]
    if "/dev/stdin" in payload["code"]:
        with open("../tmp/.stdin", "wb") as copied:
            copied.write(io.FileIO(0, closefd=False).readall())
        os.lseek(0, 0, os.SEEK_SET)
    gc.enable()
    report = Report(4, payload["nonce"])
    os.write(4, b'{"locked": true, "nonce": "%s"}\n' % payload["nonce"].encode("ascii"))
    if split:
        os.close(4)  # only the judge reports; the candidate can't reach it
    candidate_main(payload, report, Channel(5) if split else None)
    os._exit(0)


def remove_tree(path: str) -> None:
    """Removes a file or a tree that may have been made to resist: any depth, any permissions,
    no links followed.  Deeper directories are moved up, so that no path is ever long."""
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)
        return
    os.chmod(path, 0o700)
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while True:
            names = os.listdir(top)
            if not names:
                break
            for name in names:
                if not _unlink(name, top):
                    _empty_into(name, top)
                    os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(path)


def _unlink(name: str, directory: int) -> bool:
    """False when it is a directory."""
    try:
        os.unlink(name, dir_fd=directory)
    except (IsADirectoryError, PermissionError):
        return False
    return True


def _empty_into(name: str, top: int) -> None:
    """Removes the files of a directory in ``top`` and moves its directories to ``top``."""
    os.chmod(name, 0o700, dir_fd=top)
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
    try:
        for child in os.listdir(inner):
            if not _unlink(child, inner):
                os.chmod(child, 0o700, dir_fd=inner)
                os.rename(child, os.urandom(12).hex(), src_dir_fd=inner, dst_dir_fd=top)
    finally:
        os.close(inner)


# ---------------------------------------------------------------------- the supervisor


def memory_file(content: bytes) -> int:
    """A descriptor of a file in memory that holds ``content``, at its start."""
    descriptor = os.memfd_create("hpc_runner", os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class Stream:
    """One output of an execution: counted and hashed whole, its tail kept, and all of the
    current run when it is going to be compared."""

    def __init__(self) -> None:
        self.bytes = 0
        self.run_bytes = 0
        self.tail = b""
        self.whole: Optional[bytearray] = None
        self._digest = sha256()

    def begin(self, keep: bool) -> None:
        self.run_bytes = 0
        self.tail = b""
        self.whole = bytearray() if keep else None

    def feed(self, data: bytes) -> None:
        self.bytes += len(data)
        self.run_bytes += len(data)
        self._digest.update(data)
        self.tail = (self.tail + data[-TAIL_BYTES:])[-TAIL_BYTES:]
        if self.whole is not None:
            self.whole += data

    def text(self) -> str:
        """All of the current run, as far as its limit goes."""
        return bytes(self.whole or b"").decode("utf-8", "replace")

    def answer(self) -> Dict[str, Any]:
        tail = self.tail.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
        return {"tail": tail, "bytes": self.bytes, "sha256": self._digest.hexdigest()}


_NUMBER = re.compile(
    r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf|nan)\Z", re.IGNORECASE
)


def same_output(expected: str, actual: bytes, checker: str, tolerance: float) -> bool:
    """Whether what was printed is what was expected.  docs/corpus.md explains the checkers."""
    if checker == "exact":
        return expected.encode("utf-8", "surrogatepass") == actual
    text = actual.decode("utf-8", "replace")
    if checker == "trimmed":
        return _trimmed(expected) == _trimmed(text)
    wanted, found = expected.split(), text.split()
    if checker == "tokens" or wanted == found:
        return wanted == found
    return len(wanted) == len(found) and all(
        w == f
        or (
            bool(_NUMBER.match(w) and _NUMBER.match(f))
            and math.isclose(float(w), float(f), rel_tol=tolerance, abs_tol=tolerance)
        )
        for w, f in zip(wanted, found)
    )


def _trimmed(text: str) -> List[str]:
    lines = [line.rstrip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines


MOST = 1 << 50
"""No limit is larger: what a kernel takes as bytes, seconds or a count."""
ENV_BYTES = 48 << 10
"""Of an execution's environment: it travels in one message."""
CHECKERS = ("exact", "trimmed", "tokens", "floats")
_PERTURBED = {
    "tz": re.compile(r"[A-Z]{3,8}[+-]\d{1,2}(:[0-5]\d)?\Z"),
    "locale": re.compile(r"[A-Za-z0-9_.@-]{1,40}(,[A-Za-z0-9_.@-]{1,40})*\Z"),
    "temp": re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z"),
}
_PERTURBED_MOST = {
    "hash": 0xFFFFFFFF, "threads": 10**6, "cpus": 4096, "clock": 10**9, "load": 16,
}  # fmt: skip


def check_perturbation(found: Dict[str, Any]) -> Dict[str, Any]:
    """All of ``PERTURBATION``, as far as given.  Raises ValueError."""
    for name, value in found.items():
        if name not in PERTURBATION or type(value) is not type(PERTURBATION[name]):
            raise ValueError("perturbation.%.60s: found %.60r" % (name, value))
        if type(value) is int and not 0 <= value <= _PERTURBED_MOST.get(name, 0x7FFFFFFF):
            raise ValueError("perturbation.%s: found %.60r" % (name, value))
        if type(value) is str and value and not _PERTURBED[name].match(value):
            raise ValueError("perturbation.%s: found %.60r" % (name, value))
    return {**PERTURBATION, **found}


@functools.lru_cache(maxsize=None)
def usable_locale(names: str) -> str:
    """The first of them, separated by commas, that there is here; "" when there is none."""
    before = _locale.setlocale(_locale.LC_ALL)
    for name in filter(None, names.split(",")):
        try:
            _locale.setlocale(_locale.LC_ALL, name)
            _locale.setlocale(_locale.LC_ALL, before)
            return name
        except Exception:  # locale.Error, whose module is not loaded for this
            pass
    return ""


def check_request(request: Dict[str, Any]) -> None:
    """Raises ValueError for what the fields of ``hpc_runner.model`` could not hold, so that
    nothing later has to doubt a request."""

    def want(value: Any, kind: Any, what: str) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError("%s: found %.60r" % (what, value))
        return value

    def text(value: Any, what: str) -> None:
        want(value, str, what)

    def number(value: Any, what: str) -> None:
        if not 0 <= want(value, (int, float), what) <= MOST:
            raise ValueError("%s: found %.60r" % (what, value))

    if "id" not in request:
        raise ValueError("id: there is none")
    want(request.get("code"), str, "code")
    limits = want(request.get("limits", {}), dict, "limits")
    for name, value in limits.items():
        number(value, "limits.%s" % name)
        if name not in DEFAULT_LIMITS or (name not in ("wall_s", "cpu_s") and type(value) is float):
            raise ValueError("limits.%s: found %.60r" % (name, value))
    env = want(request.get("env") or {}, dict, "env")
    for name, value in env.items():
        want(name, str, "env").encode("utf-8")
        want(value, str, "env.%s" % name).encode("utf-8")
        if not name or "=" in name or "\0" in name + value:
            raise ValueError("env: found %.60r" % name)
    if sum(len(name) + len(value) for name, value in env.items()) > ENV_BYTES:
        raise ValueError("env: more than %d bytes" % ENV_BYTES)
    for path in want(request.get("path") or [], list, "path"):
        text(path, "path")
    if not 0 <= want(request.get("beside", 0), int, "beside") <= MOST:
        raise ValueError("beside: found %.60r" % request["beside"])
    check_perturbation(want(request.get("perturbation") or {}, dict, "perturbation"))
    if request.get("native") is not None:
        check_native(want(request["native"], dict, "native"))
    tests = want(request.get("tests"), dict, "tests")
    kind = want(tests.get("kind"), str, "tests.kind")
    if kind not in PROGRAM_KINDS and kind not in _TESTS:
        raise ValueError("unknown kind of tests: %.60r" % kind)
    if kind in ("assertions", "unittest"):
        want(tests.get("code"), str, "tests.code")
    if kind in ("assertions", "calls", "stdio"):
        # No case would be nothing to fail.
        if not want(tests.get("cases"), list, "tests.cases"):
            raise ValueError("tests.cases: there is none")
        for case in tests["cases"]:
            want(case, str if kind == "assertions" else dict, "tests.cases")
    if kind == "calls":
        want(tests.get("entry_point"), str, "tests.entry_point")
        if tests.setdefault("tolerance", None) is not None:
            number(tests["tolerance"], "tests.tolerance")
        for case in tests["cases"]:
            want(case.get("args"), list, "tests.cases.args")
            want(case.get("kwargs"), dict, "tests.cases.kwargs")
            if "expected" not in case:
                raise ValueError("tests.cases.expected: there is none")
    if kind in ("stdio", "expected_output"):
        for case in tests["cases"] if kind == "stdio" else [tests]:
            text(case.get("stdout"), "tests.stdout")
            text(case.get("stdin", ""), "tests.stdin")
        number(tests.get("tolerance", 0), "tests.tolerance")
        if tests.get("checker", "exact") not in CHECKERS:
            raise ValueError("tests.checker: found %.60r" % tests["checker"])


_VERDICTS = {verdict.value for verdict in Verdict}


def check_native(native: Dict[str, Any]) -> None:
    """Raises ValueError; docs/languages.md says what the fields mean."""

    def words(found: Any, what: str) -> None:
        if type(found) is not list or any(type(w) is not str or "\0" in w for w in found):
            raise ValueError("native.%s: found %.60r" % (what, found))

    def lists(found: Any, what: str, length: int) -> None:
        if type(found) is not list:
            raise ValueError("native.%s: found %.60r" % (what, found))
        for item in found:
            words(item, what)
            if not item or (length and len(item) != length):
                raise ValueError("native.%s: found %.60r" % (what, item))

    made = native.get("build")
    if type(made) is not dict or type(made.get("limits")) is not dict:
        raise ValueError("native.build: found %.60r" % (made,))
    lists(made.get("files"), "build.files", 2)
    lists(made.get("steps"), "build.steps", 0)
    lists(made.get("failures"), "build.failures", 2)
    words(made.get("keep"), "build.keep")
    for name, _ in made["files"]:
        if not re.match(r"[A-Za-z0-9_]+([./-][A-Za-z0-9_]+)*\Z", name):
            raise ValueError("native.build.files: found %.60r" % name)
    for name, value in made["limits"].items():
        if name not in DEFAULT_LIMITS or type(value) not in (int, float) or not 0 <= value <= MOST:
            raise ValueError("native.build.limits.%.60s: found %.60r" % (name, value))
    lists([native.get("run")], "run", 0)
    lists(native.get("failures"), "failures", 3)
    if any(verdict not in _VERDICTS for _, verdict, _ in native["failures"]):
        raise ValueError("native.failures: there is no such verdict")
    for pattern, *_ in (*made["failures"], *native["failures"]):
        searcher(pattern)
    for env in (native.get("env"), made.get("env")):
        lists(env, "env", 2)
    if type(native.get("address_bytes")) is not int or not 0 <= native["address_bytes"] <= MOST:
        raise ValueError("native.address_bytes: found %.60r" % (native.get("address_bytes"),))


@functools.lru_cache(maxsize=None)
def searcher(pattern: str) -> Any:
    """Raises ValueError."""
    try:
        return re.compile(pattern, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError("native: %.60r is no pattern: %s" % (pattern, error)) from None


def first_failure(text: str, patterns: Sequence[Sequence[str]]) -> Optional[Tuple[List[str], str]]:
    """The first of the patterns that is in ``text``, with its type of error, and the message.  Its
    group "type" says it better than the pattern does, "message" what was said."""
    text = text if len(text) <= 2 * SEARCHED else text[:SEARCHED] + "\n" + text[-SEARCHED:]
    for pattern, *rest in patterns:
        found = searcher(pattern).search(text)
        if found is not None:
            groups = found.groupdict()
            rest[-1] = (groups.get("type") or rest[-1])[:100]
            return rest, normalise_message(groups.get("message") or found.group())
    return None


class Artefact:
    """What a build came to: a file in memory, or why there is none."""

    def __init__(self, descriptor: int, failure: Optional[Tuple[str, str]], said: bytes) -> None:
        self.file = open(descriptor, "rb")
        self.failure = failure
        self.said = said
        """By the compiler, as far as it has failed."""
        # A round may not change what the next one runs.
        fcntl.fcntl(descriptor, 1033, 1 | 2 | 4 | 8)  # F_ADD_SEALS: no more seals, sizes, writes
        self.bytes = os.fstat(descriptor).st_size


class Artefacts:
    """Those built last, by the digest of what they were built from."""

    MOST_BYTES = 128 << 20

    def __init__(self) -> None:
        self._known: Dict[str, Artefact] = {}
        self.building: Set[str] = set()

    def get(self, key: str) -> Optional[Artefact]:
        found = self._known.pop(key, None)
        if found is not None:
            self._known[key] = found  # as the latest
        return found

    def add(self, key: str, made: Artefact) -> None:
        self._known[key] = made
        total = sum(item.bytes + len(item.said) for item in self._known.values())
        while total > self.MOST_BYTES and len(self._known) > 1:
            oldest = self._known.pop(next(iter(self._known)))
            total -= oldest.bytes + len(oldest.said)


class Execution:
    """A request while it is worked on: its runs, and what is known so far."""

    def __init__(self, request: Dict[str, Any]) -> None:
        check_request(request)
        self.request = request
        self.identity = request["id"]
        self.code: str = request["code"]
        self.tests: Dict[str, Any] = request["tests"]
        self.kind: str = self.tests["kind"]
        self.limits: Dict[str, Any] = {**DEFAULT_LIMITS, **request.get("limits", {})}
        self.every = bool(request.get("every"))
        self.fresh = bool(request.get("fresh"))
        self.native: Optional[Dict[str, Any]] = request.get("native")
        self.key: Optional[str] = None
        self.artefact: Optional[Artefact] = None
        self.build_s = 0.0
        if self.native is not None:
            source = json.dumps(self.native["build"], sort_keys=True)
            self.key = sha256(source.encode("ascii")).hexdigest()
        self.outputs: Optional[List[List[str]]] = [] if request.get("outputs") else None
        self.env: Dict[str, str] = request.get("env") or {}
        self.perturbation = self._perturbation(request.get("perturbation") or {})
        self.beside = int(request.get("beside") or 1)
        self.wanted_judge: str = request.get("judge", "auto")
        self.started_at = time.time()
        self.stdout, self.stderr = Stream(), Stream()
        self.outcomes: List[List[Any]] = []
        self.suspicion: List[str] = []
        self.wall_s = self.cpu_s = self.waited_s = 0.0
        self.peak = 0
        self.exit_code: Optional[int] = None
        self.signal: Optional[int] = None
        self.error: Optional[Tuple[str, str]] = None
        self.first_error: Optional[Tuple[str, str]] = None  # of a program's cases
        self.judge_reason: Optional[str] = None
        self.case = 0
        if self.kind == "stdio":
            self.cases = [(c.get("stdin", ""), c["stdout"]) for c in self.tests["cases"]]
            self.judge = "output"
        elif self.native is not None and self.kind not in PROGRAM_KINDS:
            self.cases, self.judge = [("", None)], "inline"
        elif self.kind in PROGRAM_KINDS:
            self.cases = [("", self.tests.get("stdout"))]
            self.judge = "output" if self.kind == "expected_output" else "exit"
        elif self.kind in _TESTS:
            self.cases = [("", None)]
            self.judge = "inline" if self.wanted_judge == "inline" else "split"
            if self.wanted_judge == "auto" and needs_one_process(self.tests):
                self.judge, self.judge_reason = "inline", ONE_PROCESS
        else:
            raise ValueError("unknown kind of tests: %r" % self.kind)

    def _perturbation(self, wanted: Dict[str, Any]) -> Dict[str, Any]:
        """What of it can be done here and isn't the candidate's own to say."""
        made = check_perturbation(wanted)
        if made["cpus"] >= len(os.sched_getaffinity(0)):
            made["cpus"] = 0
        if "TZ" in self.env:
            made["tz"] = ""
        if self.native is not None:
            made["hash"] = made["memory"] = made["threads"] = 0  # of a Python that isn't there
        given = any(name == "LANG" or name.startswith("LC_") for name in self.env)
        made["locale"] = "" if given else usable_locale(made["locale"])
        return made

    @property
    def seeds(self) -> Tuple[int, int]:
        """What an interpreter has to be started with."""
        return self.perturbation["hash"], self.perturbation["memory"]

    def environment(self, temporary: str) -> List[Tuple[str, str]]:
        """The candidate's variables, in order; ``temporary``: its directory, where that isn't the
        usual one."""
        made = self.perturbation
        variables = {
            "TZ": made["tz"],
            "LANG": made["locale"],
            "TMPDIR": temporary,
            # Not for this interpreter, which has it already, but for those that it starts.
            "PYTHONHASHSEED": str(made["hash"] or ""),
        }
        found = [(name, value) for name, value in variables.items() if value]
        found = [*((n, v) for n, v in found if n not in self.env), *self.env.items()]
        return shuffled(found, made["env"]) if made["env"] else found

    @property
    def program(self) -> bool:
        """Judged from outside: by how it ends and what it prints."""
        return self.native is not None or self.kind in PROGRAM_KINDS

    @property
    def building(self) -> bool:
        return self.native is not None and self.artefact is None

    @property
    def limits_now(self) -> Dict[str, Any]:
        """Of the run that is due: building has its own."""
        if self.native is None:
            return self.limits
        own = self.native["build"]["limits"] if self.building else self.limits
        return {**DEFAULT_LIMITS, **own, "address_bytes": self.native["address_bytes"]}

    def total(self) -> int:
        if self.kind in ("stdio", "assertions", "calls"):
            return len(self.tests["cases"])
        return max(1, len(self.outcomes))

    def answer(self, verdict: Verdict) -> Dict[str, Any]:
        outcomes = list(self.outcomes)
        if self.kind in ("stdio", "assertions", "calls"):
            outcomes += [[str(i), "not_run", 0.0, ""] for i in range(len(outcomes), self.total())]
        elif not outcomes:
            outcomes = [["0", verdict.value, self.wall_s, ": ".join(self.error or ())]]
        return {
            "op": "result",
            "id": self.identity,
            "verdict": verdict.value,
            "judge": self.judge,
            "judge_reason": self.judge_reason,
            "tests": outcomes,
            "exit_code": self.exit_code,
            "signal": self.signal,
            "wall_s": self.wall_s,
            "cpu_s": self.cpu_s,
            "waited_s": self.waited_s,
            "build_s": self.build_s,
            "peak_memory_bytes": self.peak,
            "stdout": self.stdout.answer(),
            "stderr": self.stderr.answer(),
            "error_type": self.error[0] if self.error else None,
            "error_message": self.error[1] if self.error else None,
            "suspicion": self.suspicion,
            "perturbation": {n: v for n, v in self.perturbation.items() if v != PERTURBATION[n]},
            **({} if self.outputs is None else {"outputs": self.outputs}),
            "started_at": self.started_at,
        }


MOST_BURNERS = 8
"""Beside a slot: to keep a whole large node busy for one program would be out of proportion."""


class Slot:
    """One execution at a time: the zygote, its pipes and its clock."""

    def __init__(self, supervisor: Supervisor, index: int, plan: Plan) -> None:
        self._supervisor = supervisor
        self._select = supervisor.select
        if not plan.namespaces:
            plan = copy.copy(plan)
            plan.box = "%s/%d" % (plan.box, index)
            os.mkdir(plan.box, 0o711)
        self._plan = plan
        self._uid = supervisor.first_uid + 2 * index
        self._pid = self._child = 0
        self._burners: List[int] = []
        self._starting = False
        self._seeds = PERTURBATION["hash"], PERTURBATION["memory"]
        self._chooses = True
        """The seed of the zygote's hashes can be chosen."""
        self._has_clock = False
        self._cpus: List[int] = []
        """Those that the zygote keeps to; none: all."""
        self.execution: Optional[Execution] = None
        self._sock: Optional[socket.socket] = None
        self._pipes: Dict[str, int] = {}
        self._killed_at: Optional[float] = None
        self._limits: Dict[str, Any] = DEFAULT_LIMITS
        self._build = -1
        """What is being built."""

    # -- the zygote

    def launch(self) -> None:
        """Starts the zygote: a fresh interpreter, because this process has seen programs and
        tests, and because a small process is forked faster.  ``await_zygote`` must follow, or
        ``_on_zygote`` hear what it says."""
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = memory_file(marshal.dumps(CODE))
        self._chooses = os.access(sys.executable, os.X_OK)
        self._cpus = []
        self._child = os.fork()
        if not self._child:
            try:
                arrange([os.open("/dev/null", os.O_RDWR), 2, 2, its.fileno(), code], -1)
                if self._chooses:
                    argv = interpreter(BOOT, os.path.abspath(__file__))
                    os.execve(argv[0], argv, {"PYTHONHASHSEED": str(self._seeds[0])})
                become_zygote()  # an interpreter that this user could not start again
            finally:
                os._exit(1)
        os.close(code)
        its.close()
        mine.settimeout(60)
        self._sock = mine
        try:
            memory = self._seeds[1]
            transmit(mine, {"plan": self._plan.as_data(), "uid": self._uid, "memory": memory})
        except OSError:
            pass  # it has died, which shows when it should say something

    def await_zygote(self) -> None:
        """Raises OSError with the reason when the plan can't be carried out here."""
        sock = self._sock
        assert sock is not None
        reason = "the zygote didn't start"
        try:
            while self._step(receive(sock)[0]):
                pass
        except (EOFError, OSError) as error:
            if not isinstance(error, EOFError):
                reason = error.strerror or "%s: %s" % (reason, error)
            sock.close()
            self._sock = None
            self._reap()
            raise OSError(errno.EPERM, reason) from None
        self._select.register(sock, select.EPOLLIN, self._on_zygote)

    def _step(self, message: Dict[str, Any]) -> bool:
        """What the zygote says while it starts.  False when it is ready; raises OSError."""
        assert self._sock is not None
        if "ready" in message:
            self._sock.settimeout(None)
            self._has_clock = message["clock"]
            return False
        if "pid" not in message:
            raise OSError(errno.EPERM, message.get("failed", "the zygote didn't start"))
        self._pid = message["pid"]
        if self._plan.namespaces:
            os.waitpid(self._child, 0)
        self._child = 0
        transmit(self._sock, {"go": True})
        return True

    def _reap(self) -> None:
        pid, self._pid, self._child = self._pid or self._child, 0, 0
        if not pid:
            return
        end_process(pid)
        if not self._plan.namespaces:
            end_descendants(os.getpid(), self._supervisor.processes())

    def close(self) -> None:
        """Ends the slot, and whatever runs in it."""
        if self._sock is not None:
            if self._select.knows(self._sock):
                self._select.unregister(self._sock)
            self._sock.close()
            self._sock = None
        for pid in self._burners:
            end_process(pid)
        self._burners = []
        self._reap()

    def processes(self) -> List[int]:
        """Those that are ours and not a program's."""
        return [pid for pid in (self._pid or self._child, *self._burners) if pid]

    def _burn(self, count: int) -> None:
        """Has so many processes do nothing but use a CPU each, from now on."""
        while len(self._burners) < count:
            try:
                pid = os.fork()
            except OSError:
                break  # what there is room for is load enough
            self._burners.append(pid)
            if not pid:
                try:
                    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                    arrange(3 * [os.open("/dev/null", os.O_RDWR)], -1)
                    argv = [sys.executable, "-I", "-S", "-c", "while True: pass"]
                    os.execve(argv[0], argv, {})
                finally:
                    os._exit(1)
        for index, pid in enumerate(list(self._burners)):
            try:
                os.kill(pid, signal.SIGCONT if index < count else signal.SIGSTOP)
            except ProcessLookupError:
                self._burners.remove(pid)

    def restart(self) -> None:
        """After trouble: whatever of the slot is left dies with its zygote."""
        self.close()
        self.launch()
        self.await_zygote()

    def _restart_for(self, execution: Execution) -> None:
        """Another zygote, with the seeds of ``execution``; while it starts the other slots go
        on."""
        self.close()
        self._seeds = execution.seeds
        self.launch()
        assert self._sock is not None
        self._select.register(self._sock, select.EPOLLIN, self._on_zygote)
        self._starting = True
        self._killed_at = None
        self._begun = time.monotonic()
        self._deadline = self._next_watch = self._begun + 60

    # -- one run

    def begin(self, execution: Execution) -> None:
        self.execution = execution
        execution.started_at = time.time()
        if execution.key is not None:
            artefacts = self._supervisor.artefacts
            execution.artefact = artefacts.get(execution.key)
            if execution.artefact is not None and execution.artefact.failure is not None:
                self._not_built(execution, execution.artefact)
                return
            if execution.building:
                artefacts.building.add(execution.key)
        if execution.judge == "inline" and execution.native and execution.wanted_judge == "split":
            execution.error = (
                "CannotCross",
                "a program in another language shares its tests' process",
            )
            self._answer(execution, Verdict.POLICY_VIOLATION)
        elif self.suits(execution):
            self._run()
        else:
            self._restart_for(execution)

    def suits(self, execution: Execution) -> bool:
        """Whether hashes and memory of the zygote are those that the execution is to have."""
        return execution.fresh or bool(execution.native) or self._seeds == execution.seeds

    def _keep_to_cpus(self, count: int) -> None:
        """The zygote, and with it what it forks, on so many CPUs; 0: all.  It stays where it is,
        unless another slot of ours has been there before."""
        if count == len(self._cpus):
            return
        mine = sorted(os.sched_getaffinity(0))
        with open("/proc/%d/stat" % self._pid) as file:
            here = int(file.read().rpartition(")")[2].split()[36])
        mine.sort(key=lambda cpu: (cpu in self._supervisor.taken_cpus(), cpu < here, cpu))
        os.sched_setaffinity(self._pid, mine[:count] or mine)
        self._cpus = mine[:count]

    @property
    def cpus(self) -> List[int]:
        return self._cpus

    def _run(self) -> None:
        execution = self.execution
        assert execution is not None and self._sock is not None
        perturbation = execution.perturbation
        if not self._chooses:
            perturbation["hash"] = perturbation["load"] = 0
        if not self._has_clock:
            perturbation["clock"] = 0
        temporary = "%s/%s/tmp" % (self._plan.box, perturbation["temp"])
        env = execution.environment(temporary if perturbation["temp"] else "")
        try:
            self._keep_to_cpus(perturbation["cpus"])
        except OSError:
            perturbation["cpus"] = 0  # it isn't allowed, or the zygote is gone, which shows soon
        if self._burners or perturbation["load"]:
            # All slots together keep every CPU busy, and each of them has one at least beside it.
            share = math.ceil(len(os.sched_getaffinity(0)) / execution.beside)
            self._burn(perturbation["load"] * min(share, MOST_BURNERS))
        stdin, expected = execution.cases[execution.case]
        nonce = os.urandom(16).hex()
        split = execution.judge == "split"
        code: Dict[str, Any] = {"code": execution.code, "nonce": nonce}
        code["role"] = "program" if execution.program else "tests"
        code["path"] = list(execution.request.get("path") or ())
        # What the candidate alone has, the zygote never learns.
        own = bool(execution.env) or execution.fresh
        code["env"], code["perturbation"] = env if own else None, perturbation
        self._limits = execution.limits_now
        if execution.native is not None:
            own, code["env"] = True, None
            self._prepare_native(execution, code, env, nonce)
        # Tests and candidate are to agree on what time it is.
        zone = [(name, value) for name, value in env if name == "TZ" and own]
        tests = {"tests": execution.tests, "every": execution.every, "nonce": nonce}
        if split:
            code["nonce"] = os.urandom(16).hex()
        elif not execution.program:
            code.update(tests)
        building, self._build = execution.building, -1
        given = [memory_file(marshal.dumps(code))]
        self._pipes = {}
        ends = {}
        for name in ("report", "stdout", "stderr"):
            self._pipes[name], ends[name] = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._pipes[name], False)
        stdin_file = memory_file(stdin.encode("utf-8", "surrogatepass"))
        given += [ends["report"], stdin_file, ends["stdout"], ends["stderr"]]
        if split:
            given.append(memory_file(marshal.dumps({**tests, "env": zone})))
        if building:
            self._build = os.memfd_create("hpc_runner", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            given.append(os.dup(self._build))
        elif execution.artefact is not None:
            given.append(os.dup(execution.artefact.file.fileno()))
        self._nonces = {nonce, code["nonce"]}
        self._judge_nonce = nonce
        self._report = bytearray()
        self._reported = 0
        self._locked = False
        self._done: Optional[Dict[str, Any]] = None
        self._died: Optional[List[str]] = None
        self._inline: Optional[str] = None
        self._missing: Optional[str] = None
        self._built: Optional[List[int]] = None
        self._ending = nonce.encode("ascii")
        self._reason: Optional[Verdict] = None
        self._killed_at = None
        execution.outcomes = execution.outcomes if execution.program else []
        keep = execution.outputs is not None or execution.native is not None
        execution.stdout.begin(keep=expected is not None or keep)
        execution.stderr.begin(keep=keep)
        request = {
            "limits": self._limits,
            "fresh": execution.fresh and execution.native is None,
            "split": split,
            "ending": execution.native is not None and not building,
            "env": [] if own else env,
            **{n: perturbation[n] for n in ("hash", "temp", "threads", "locale", "clock")},
        }
        self._begun = time.monotonic()
        try:
            transmit(self._sock, request, given)
        except OSError:
            self._zygote_lost()
            return
        finally:
            for descriptor in given:
                os.close(descriptor)
        self._next_watch = self._begun + TICK_S
        self._deadline = self._begun + self._limits["wall_s"]
        self._watched = False
        self._waited_s = 0.0
        self._peak = 0

    def _prepare_native(
        self, execution: Execution, code: Dict[str, Any], env: List[Tuple[str, str]], nonce: str
    ) -> None:
        """Says in ``code`` what is to be built or run."""
        native, box = execution.native, self._plan.box
        assert native is not None
        variables = [("PATH", "/usr/bin:/bin"), ("HOME", box + "/tmp"), ("TMPDIR", box + "/tmp")]
        code.update(file_bytes=self._limits["file_bytes"], code="")
        if execution.artefact is None:
            made = native["build"]
            code.update(role="build", files=made["files"], steps=made["steps"], keep=made["keep"])
            code["variables"] = [*variables, *made["env"]]
            return
        ending = (ENDING, "%s %s/tmp/.ending" % (nonce, box))
        code.update(role="native", argv=native["run"])
        code["variables"] = [*variables, *native["env"], *env, ending]
        if "/dev/stdin" in execution.code:
            code["code"] = "/dev/stdin"
        self._limits["file_bytes"] += execution.artefact.bytes + (1 << 20)

    def _on_pipe(self, name: str) -> bool:
        """Reads once.  False at the end, or when there is nothing now."""
        execution, descriptor = self.execution, self._pipes.get(name)
        if descriptor is None or execution is None:
            return False
        try:
            data = os.read(descriptor, 1 << 18)
        except BlockingIOError:
            return False
        if not data:
            self._close_pipe(name)
            return False
        if name == "report":
            self._on_report(data)
            return True
        stream = execution.stdout if name == "stdout" else execution.stderr
        stream.feed(data)
        if stream.run_bytes > self._limits["output_bytes"]:
            if stream.whole is not None:
                del stream.whole[self._limits["output_bytes"] :]
            self._kill(Verdict.OUTPUT_LIMIT)
        return True

    def _close_pipe(self, name: str) -> None:
        descriptor = self._pipes.pop(name, None)
        if descriptor is not None:
            if self._watched:
                self._select.unregister(descriptor)
            os.close(descriptor)

    def _on_report(self, data: bytes) -> None:
        execution = self.execution
        assert execution is not None
        self._reported += len(data)
        if self._reported > REPORT_BYTES:
            self._kill(Verdict.OUTPUT_LIMIT)
            return
        self._report += data
        *lines, rest = self._report.split(b"\n")
        self._report = rest
        for line in lines:
            try:
                message = json.loads(line)
                nonce = message["nonce"]
            except (ValueError, TypeError, KeyError, RecursionError):
                continue
            if type(nonce) is not str or nonce not in self._nonces:
                continue
            if message.get("locked"):
                self._locked = True
            elif nonce == self._judge_nonce:
                self._on_message(execution, message)

    def _on_message(self, execution: Execution, message: Dict[str, Any]) -> None:
        """A candidate that shares the tests' process can know the nonce: what isn't of the form
        that ours sends is as if it had not been said."""
        test, died, done = message.get("test"), message.get("died"), message.get("done")
        if type(test) is list and not execution.program:
            if list(map(type, test)) == [str, str, float, str] and test[1] in _OUTCOMES:
                execution.outcomes.append(test)
        elif "suspicion" in message:
            execution.suspicion = sorted({*execution.suspicion, str(message["suspicion"])[:200]})
        elif type(message.get("inline")) is str and execution.judge == "split":
            self._inline = message["inline"][:MESSAGE_CHARS]
        elif type(message.get("missing")) is str:
            self._missing = normalise_message(message["missing"])
        elif type(message.get("built")) is list:
            self._built = message["built"]
        elif type(died) is list and list(map(type, died)) == [str, str, str]:
            self._died = died
        elif type(done) is str and done in _OUTCOMES and self._done is None:
            error = message.get("error")
            if not (type(error) is list and list(map(type, error)) == [str, str]):
                message["error"] = None
            self._done = message

    def _kill(self, reason: Verdict) -> None:
        if self._reason is None:
            self._reason = reason
            self._killed_at = time.monotonic()
            assert self._sock is not None
            try:
                transmit(self._sock, {"kill": True})
            except OSError:
                pass  # a dead zygote shows on its socket

    def watch(self, now: float) -> None:
        """Looks at the clock, memory and CPU time of what runs."""
        execution = self.execution
        if execution is None:
            return
        if self._killed_at is not None:
            if now - self._killed_at > 5:  # the zygote itself hangs
                self._zygote_lost()
            return
        if self._starting:
            if now >= self._deadline:
                self._zygote_lost()
            return
        if now >= self._deadline:
            self._look_at_waiting(now)
            wall_s = self._limits["wall_s"]
            allowed = min(wall_s + self._waited_s, STRETCH * wall_s)
            self._deadline = self._begun + allowed
            if now >= self._deadline - 0.001:
                self._kill(Verdict.TIME_LIMIT)
                return
        if now >= self._next_watch:
            self._next_watch = now + TICK_S
            if not self._watched:
                self._watch_pipes()
            self._look_at_waiting(now)
            memory, cpu_s = usage_of(self._candidates())
            self._peak = max(self._peak, memory)
            if memory > self._limits["memory_bytes"]:
                self._kill(Verdict.MEMORY_LIMIT)
            elif cpu_s > self._cpu_limit():
                self._kill(Verdict.TIME_LIMIT)

    def _watch_pipes(self) -> None:
        """Only for what runs longer than a tick: all else is read when it has ended."""
        self._watched = True
        for name, descriptor in self._pipes.items():
            callback = functools.partial(self._on_pipe, name)
            self._select.register(descriptor, select.EPOLLIN, callback)

    def _cpu_limit(self) -> float:
        return float(self._limits["cpu_s"] or self._limits["wall_s"])

    def next_event(self) -> float:
        return min(self._deadline, self._next_watch) if self.execution else math.inf

    def _candidates(self) -> List[int]:
        """The execution's processes but for the judge, as the supervisor numbers them."""
        first_and_second = children(self._pid)
        judge = first_and_second[:1] if self._plan.namespaces or self._is_split() else []
        found: List[int] = []
        todo = [pid for pid in first_and_second if pid not in judge]
        todo += [pid for first in judge for pid in children(first)]
        while todo and len(found) < 4096:
            pid = todo.pop()
            found.append(pid)
            todo += children(pid)
        return found

    def _is_split(self) -> bool:
        return self.execution is not None and self.execution.judge == "split"

    def _look_at_waiting(self, now: float) -> None:
        """Keeps how long the threads of the program and its judge stood ready for a CPU.

        Threads that take turns wait one after the other, so their times add up; threads that
        wait at the same time can't have waited longer than there was time.
        """
        waited = 0
        for pid in {*children(self._pid), *self._candidates()}:
            try:
                for thread in os.listdir("/proc/%d/task" % pid):
                    with open("/proc/%d/task/%s/schedstat" % (pid, thread)) as file:
                        waited += int(file.read().split()[1])
            except (OSError, IndexError, ValueError):
                continue  # it has ended, or this kernel doesn't count
        # What has ended takes its time with it, so it never falls.
        self._waited_s = max(self._waited_s, min(waited / 1e9, now - self._begun))

    # -- the end of a run

    def _on_zygote(self) -> bool:
        assert self._sock is not None
        try:
            ended, _ = receive(self._sock)
            if self._starting:
                if not self._step(ended):
                    self._starting = False
                    self._run()
                return False
        except (EOFError, OSError):
            self._zygote_lost()
            return False
        if "status" not in ended:
            if self.execution is not None:
                self.execution.error = "SandboxError", normalise_message(str(ended.get("failed")))
            self._zygote_lost()
            return False
        if self.execution is not None:
            for name in list(self._pipes):
                while self._on_pipe(name):
                    pass
                self._close_pipe(name)
            self._finish(self.execution, ended)
        return False

    def _zygote_lost(self) -> None:
        """Ours to answer for, unless a limit had been reached already."""
        execution, self.execution = self.execution, None
        self._starting = False
        for name in list(self._pipes):
            self._close_pipe(name)
        self._drop_build(execution)
        self.restart()
        if execution is not None:
            execution.error = execution.error or ("SandboxError", "the zygote died")
            execution.wall_s += time.monotonic() - self._begun
            self._supervisor.answer(self, execution.answer(self._reason or Verdict.INTERNAL_ERROR))

    def _finish(self, execution: Execution, ended: Dict[str, Any]) -> None:
        if execution.building and self._locked:
            self._peak = max(self._peak, ended["peak_memory_bytes"])
            self._finish_build(execution, ended)
            return
        wall_s = time.monotonic() - self._begun
        execution.wall_s += wall_s
        execution.cpu_s += ended["cpu_s"]
        execution.waited_s += self._waited_s
        self._peak = max(self._peak, ended["peak_memory_bytes"])
        execution.peak = max(execution.peak, self._peak)
        status = ended["status"]
        execution.exit_code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        execution.signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        if (self._done is not None and execution.judge == "split") or self._reason is not None:
            execution.exit_code = execution.signal = None  # our doing
        if not self._locked and self._reason is None and self._inline is None:
            execution.error = ("SandboxError", normalise_message(execution.stderr.answer()["tail"]))
            self._answer(execution, Verdict.INTERNAL_ERROR)
            return
        if self._inline is not None and self._reason is None:
            if execution.wanted_judge == "auto":
                execution.judge, execution.judge_reason = "inline", self._inline
                execution.wall_s = execution.cpu_s = execution.waited_s = 0.0
                execution.stdout, execution.stderr = Stream(), Stream()
                execution.suspicion = []
                execution.outputs = None if execution.outputs is None else []
                self._run()
                return
            # Not judged by less than what was asked for.
            refused = Verdict.POLICY_VIOLATION.value
            self._done = {"done": refused, "error": ["CannotCross", self._inline]}
        if execution.outputs is not None and len(execution.outputs) <= execution.case:
            execution.outputs.append([s.text() for s in (execution.stdout, execution.stderr)])
        verdict = self._limit_reached(execution, ended)
        if self._missing is not None and verdict is None:
            execution.error = "ToolMissing", self._missing
            self._answer(execution, Verdict.INTERNAL_ERROR)
            return
        if execution.native is not None and verdict is None:
            verdict = self._native_verdict(execution, ended.get("ending", b""))
        if execution.program:
            self._finish_case(execution, verdict or self._program_verdict(execution), wall_s)
            return
        if verdict is not None:
            execution.error = None
            if execution.total() > len(execution.outcomes):
                execution.outcomes.append([str(len(execution.outcomes)), verdict.value, 0.0, ""])
        elif self._done is not None:
            verdict = Verdict(self._done["done"])
            if self._done.get("error"):
                execution.error = self._done["error"][0], self._done["error"][1]
        elif execution.signal is not None:
            verdict = Verdict.RUNTIME_ERROR
            execution.error = ("Signal", signal_name(execution.signal))
        else:
            verdict = Verdict.EARLY_EXIT
            execution.error = ("EarlyExit", "exit code %s" % execution.exit_code)
        self._answer(execution, verdict)

    def _drop_build(self, execution: Optional[Execution]) -> None:
        """What was being built, if anything was, isn't any more."""
        if self._build >= 0:
            os.close(self._build)
            self._build = -1
        if execution is not None and execution.key is not None:
            self._supervisor.artefacts.building.discard(execution.key)

    def _finish_build(self, execution: Execution, ended: Dict[str, Any]) -> None:
        """Goes on with what was built, or answers with what the compiler had against it."""
        native = execution.native
        assert native is not None and execution.key is not None
        execution.build_s += time.monotonic() - self._begun
        limit = self._limit_reached(execution, ended)
        signal_or_code, execution.exit_code, execution.signal = self._built, None, None
        said = bytes(execution.stderr.whole or b"") + bytes(execution.stdout.whole or b"")
        failure: Optional[Tuple[str, str]] = None
        if self._missing is not None and limit is None:
            execution.error = "ToolMissing", self._missing
            self._answer(execution, Verdict.INTERNAL_ERROR)
            return
        descriptor, self._build = self._build, -1
        if limit is not None:
            name = limit.value.title().replace("_", "")
            failure = (
                "Compiler" + name,
                "the compiler reached its %s" % limit.value.replace("_", " "),
            )
        elif signal_or_code != [0, 0]:
            found = first_failure(said.decode("utf-8", "replace"), native["build"]["failures"])
            if found is not None:
                failure = found[0][-1], found[1]
            else:
                by_signal, code = signal_or_code or [0, 1]
                ended_by = signal_name(by_signal) if by_signal else "exit code %d" % code
                failure = "CompileError", "the compiler ended by " + ended_by
        if failure is not None:
            os.ftruncate(descriptor, 0)
        made = Artefact(descriptor, failure, said[:SEARCHED] if failure else b"")
        if limit is None:  # with more time it may be another matter
            self._supervisor.artefacts.add(execution.key, made)
        execution.stdout, execution.stderr = Stream(), Stream()
        if failure is not None:
            self._not_built(execution, made)
            return
        execution.artefact = made
        self._supervisor.artefacts.building.discard(execution.key)
        self._run()

    def _not_built(self, execution: Execution, made: Artefact) -> None:
        assert made.failure is not None
        execution.error = made.failure
        execution.stderr.feed(made.said)
        execution.outcomes = [["0", Verdict.COMPILE_ERROR.value, 0.0, ": ".join(made.failure)]]
        self._answer(execution, Verdict.COMPILE_ERROR)

    def _native_verdict(self, execution: Execution, ending: bytes) -> Optional[Verdict]:
        """What speaks against a program that was not written in Python, if anything does."""
        assert execution.native is not None
        execution.error = None
        tested = execution.kind not in PROGRAM_KINDS
        if execution.exit_code == 0 and execution.signal is None:
            if not tested or ending == self._ending:
                return None
            execution.error = ("EarlyExit", "exit code 0")
            return Verdict.EARLY_EXIT
        text = execution.stderr.text() + ("\n" + execution.stdout.text() if tested else "")
        found = first_failure(text, execution.native["failures"])
        if found is not None:
            (verdict, kind), message = found
            execution.error = kind, message
            return Verdict(verdict)
        if execution.signal is not None:
            execution.error = ("Signal", signal_name(execution.signal))
        else:
            execution.error = ("ExitCode", "exit code %d" % (execution.exit_code or 0))
        return Verdict.RUNTIME_ERROR

    def _limit_reached(self, execution: Execution, ended: Dict[str, Any]) -> Optional[Verdict]:
        if self._reason is not None:
            return self._reason
        if self._peak > self._limits["memory_bytes"]:
            return Verdict.MEMORY_LIMIT
        if execution.signal == signal.SIGXCPU or ended["cpu_s"] > self._cpu_limit():
            return Verdict.TIME_LIMIT
        return None

    def _program_verdict(self, execution: Execution) -> Verdict:
        execution.error = None
        expected = execution.cases[execution.case][1]
        if self._died is not None and execution.exit_code == 1:
            phase, kind, message = self._died
            execution.error = kind, message
            if phase == "compile":
                return Verdict.COMPILE_ERROR
            return Verdict.MEMORY_LIMIT if kind == "MemoryError" else Verdict.RUNTIME_ERROR
        if execution.signal is not None:
            execution.error = ("Signal", signal_name(execution.signal))
            return Verdict.RUNTIME_ERROR
        if execution.exit_code:
            execution.error = ("ExitCode", "exit code %d" % execution.exit_code)
            return Verdict.RUNTIME_ERROR
        if expected is None:
            return Verdict.ACCEPTED
        printed = bytes(execution.stdout.whole or b"")
        checker, tolerance = self._checker(execution)
        if same_output(expected, printed, checker, tolerance):
            return Verdict.ACCEPTED
        return Verdict.WRONG_ANSWER

    @staticmethod
    def _checker(execution: Execution) -> Tuple[str, float]:
        return execution.tests.get("checker", "trimmed"), execution.tests.get("tolerance", 1e-6)

    def _finish_case(self, execution: Execution, verdict: Verdict, wall_s: float) -> None:
        message = "" if verdict is Verdict.ACCEPTED else ": ".join(execution.error or ())
        failed_before = any(outcome[1] != "accepted" for outcome in execution.outcomes)
        if failed_before:
            execution.error = execution.first_error
        elif verdict is not Verdict.ACCEPTED:
            execution.first_error = execution.error
        execution.outcomes.append([str(execution.case), verdict.value, wall_s, message])
        execution.case += 1
        failed = verdict is not Verdict.ACCEPTED
        stop = failed and (not execution.every or verdict is Verdict.TIME_LIMIT)
        if execution.case < len(execution.cases) and not stop:
            self._run()
            return
        failures = [o for o in execution.outcomes if o[1] != Verdict.ACCEPTED.value]
        self._answer(execution, Verdict(failures[0][1]) if failures else Verdict.ACCEPTED)

    def _answer(self, execution: Execution, verdict: Verdict) -> None:
        self.execution = None
        self._drop_build(execution)
        if self._burners:
            self._burn(0)
        self._supervisor.answer(self, execution.answer(verdict))


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number


def children(pid: int) -> List[int]:
    """The children of all threads of a process, the oldest of each first; none when it is
    gone."""
    found: List[int] = []
    try:
        for thread in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, thread)) as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        pass
    return found


_PAGE = resource.getpagesize()
_CLOCK = os.sysconf("SC_CLK_TCK")


def usage_of(pids: Sequence[int]) -> Tuple[int, float]:
    """(resident bytes, CPU seconds) over these processes.  Memory that several of them share
    is counted once where the kernel tells."""
    resident, cpu_s = 0, 0.0
    for pid in pids:
        try:
            with open("/proc/%d/stat" % pid) as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        cpu_s += sum(map(int, fields[11:15])) / _CLOCK
        resident += int(fields[21]) * _PAGE
    if len(pids) > 1:
        shares = [_proportional(pid) for pid in pids]
        if None not in shares:
            resident = sum(share or 0 for share in shares)
    return resident, cpu_s


def _proportional(pid: int) -> Optional[int]:
    try:
        with open("/proc/%d/smaps_rollup" % pid) as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except (ProcessLookupError, FileNotFoundError):
        return 0
    except OSError:
        return None
    return 0


class Poller:
    """epoll with a callback for each descriptor."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: Dict[int, Callable[[], Any]] = {}

    def register(self, what: Any, events: int, callback: Callable[[], Any]) -> None:
        number = what if isinstance(what, int) else what.fileno()
        self._epoll.register(number, events)
        self._callbacks[number] = callback

    def knows(self, what: Any) -> bool:
        return what.fileno() in self._callbacks

    def unregister(self, what: Any) -> None:
        number = what if isinstance(what, int) else what.fileno()
        self._epoll.unregister(number)
        del self._callbacks[number]

    def run_once(self, timeout: float) -> None:
        for number, _ in self._epoll.poll(timeout):
            callback = self._callbacks.get(number)
            if callback is not None:
                callback()


class Supervisor:
    """Speaks to the worker and feeds the slots.

    Requests: ``{"op": "run", "id", "code", "tests", "limits", "env", "judge", "every",
    "fresh", "path", "perturbation", "beside", "outputs", "native"}``, where tests and limits
    have the fields of ``hpc_runner.model``, the perturbation has those of ``PERTURBATION`` that
    aren't neutral, as many slots as ``beside`` share this machine's CPUs, and ``native`` says
    how a program in another language than Python is built and run (docs/languages.md).
    Answers: first ``{"op": "hello", ...}`` with what isolation was got, then one ``{"op":
    "result", "id", "verdict", ...}`` for each request, in the order in which they end, with
    the perturbation that was in force and, when ``outputs`` is true, what each run wrote:
    ``[[stdout, stderr], ...]``.
    A request that can't be understood is answered with ``internal_error``.
    """

    def __init__(self, slots: int, first_uid: int) -> None:
        self.select = Poller()
        self.first_uid = first_uid
        self._count = slots
        self._slots: List[Slot] = []
        self._idle: List[Slot] = []
        self._queue: List[Execution] = []
        self.artefacts = Artefacts()
        self._input = bytearray()
        self._output = os.dup(1)
        os.dup2(2, 1)

    def open(self, plans: Sequence[Plan]) -> Plan:
        """Starts the slots under the first plan that works here."""
        reasons: List[str] = []
        for plan in plans:
            first = Slot(self, 0, plan)
            first.launch()
            try:
                first.await_zygote()
            except OSError as error:
                reasons.append(error.strerror or str(error))
                continue
            if reasons and not plan.namespaces:
                plan.missing["namespaces"] = reasons[0]
            self._slots = [first] + [Slot(self, i, plan) for i in range(1, self._count)]
            for slot in self._slots[1:]:
                slot.launch()
            for slot in self._slots[1:]:
                slot.await_zygote()
            self._idle = list(self._slots)
            return plan
        raise OSError(errno.EPERM, "; ".join(reasons))

    def taken_cpus(self) -> Set[int]:
        """Those that slots keep to."""
        return {cpu for slot in self._slots for cpu in slot.cpus}

    def processes(self) -> List[int]:
        """Those that no program's end may end."""
        return [pid for slot in self._slots for pid in slot.processes()]

    def close(self) -> None:
        for slot in self._slots:
            slot.close()

    def say(self, message: Dict[str, Any]) -> None:
        data = (json.dumps(message) + "\n").encode("ascii")
        while data:
            data = data[os.write(self._output, data) :]

    def answer(self, slot: Slot, message: Dict[str, Any]) -> None:
        self.say(message)
        self._idle.append(slot)

    def serve(self) -> None:
        """Until stdin ends."""
        self._open = True
        try:
            self.select.register(0, select.EPOLLIN, self._on_input)
        except PermissionError:
            sys.stderr.write("agent.py: requests come through a pipe or a socket\n")
            return
        while self._open:
            while self._idle and self._start():
                pass
            now = time.monotonic()
            until = min(slot.next_event() for slot in self._slots)
            self.select.run_once(-1 if until == math.inf else max(0.0, until - now))
            now = time.monotonic()
            for slot in self._slots:
                slot.watch(now)

    def _start(self) -> bool:
        """Begins the first execution that waits for nothing: what another slot is just building
        isn't built a second time.  False when there is none."""
        building = self.artefacts.building
        ready = (i for i, waiting in enumerate(self._queue) if waiting.key not in building)
        index = next(ready, None)
        if index is None:
            return False
        execution = self._queue.pop(index)
        slot = next((s for s in reversed(self._idle) if s.suits(execution)), self._idle[-1])
        self._idle.remove(slot)
        slot.begin(execution)
        return True

    def _refuse(self, identity: Any, reason: str) -> None:
        self.say({"op": "refused", "id": identity, "reason": reason})

    def _on_input(self) -> None:
        data = os.read(0, 1 << 20)
        if not data:
            self._open = False
            return
        self._input += data
        if b"\n" not in data:
            return
        *lines, rest = bytes(self._input).split(b"\n")
        self._input = bytearray(rest)
        for line in lines:
            try:
                request = json.loads(line)
            except (ValueError, RecursionError) as error:
                self._refuse(None, "not JSON: %s" % error)
                continue
            if type(request) is not dict or request.get("op") != "run":
                self._refuse(None, "not a request")
                continue
            try:
                self._queue.append(Execution(request))
            except (KeyError, TypeError, ValueError) as error:
                self._refuse(request.get("id"), "not a request: %r" % error)


def _works(try_it: Callable[[], Any]) -> Optional[str]:
    """None when ``try_it`` works in a child process, or the reason why not."""
    read, write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if not pid:
        try:
            try_it()
            os.write(write, b"ok")
        except BaseException as error:
            os.write(write, str(error).encode()[:1000])
        finally:
            os._exit(0)
    os.close(write)
    answer = os.read(read, 1000).decode("utf-8", "replace")
    os.close(read)
    os.waitpid(pid, 0)
    return None if answer == "ok" else answer or "it died"


def make_plans(box: str, views: Sequence[str], first_uid: int) -> List[Plan]:
    """What to try, the strongest first."""
    program: Dict[bool, Tuple[Seccomp, Seccomp]] = {}
    missing: Dict[str, str] = {}

    def seccomp() -> None:
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        for filter_ in seccomp_programs(True):
            Seccomp(filter_).install()

    reason = _works(seccomp)
    if reason is None:
        for sockets in (True, False):
            whole, last = seccomp_programs(sockets)
            program[sockets] = Seccomp(whole), Seccomp(last)
    else:
        missing["seccomp"] = reason
    abi = landlock_version()

    def landlock() -> None:
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        install_landlock(landlock_ruleset(abi, ["/"], [box]))

    reason = _works(landlock) if abi else "the kernel has no Landlock"
    if reason is not None:
        missing["landlock"], abi = reason, 0
    base = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
    root = os.geteuid() == 0 and _works(lambda: os.setresuid(*3 * [first_uid])) is None
    plans = []
    for namespaces in (*((base,) if root else ()), base | CLONE_NEWUSER, 0):
        plan = Plan()
        plan.root = root and not namespaces & CLONE_NEWUSER
        plan.namespaces, plan.landlock, plan.missing = namespaces, abi, dict(missing)
        plan.binds = view(views)
        if plan.root and not namespaces and not readable_by_all(plan.binds):
            plan.root = False
        if not namespaces:
            plan.box = box
            plan.other_processes += count_processes() + 256
        if program:
            plan.seccomp = program[bool(namespaces)]
        plan.mechanisms += ["landlock"] if abi else []
        plan.mechanisms += ["seccomp"] if program else []
        plan.mechanisms += ["ipc", "mount", "net", "pid", "uts"] if namespaces else []
        plan.mechanisms += ["user"] if namespaces & CLONE_NEWUSER else []
        plan.mechanisms += ["setuid"] if plan.root else []
        plans.append(plan)
    return plans


def readable_by_all(paths: Sequence[str]) -> bool:
    """Whether another user could use the interpreter where it lies."""
    for path in paths:
        while path != "/":
            if not os.stat(path).st_mode & (stat.S_IXOTH | stat.S_IROTH):
                return False
            path = os.path.dirname(path)
    return True


def count_processes() -> int:
    uid, count = os.geteuid(), 0
    for name in os.listdir("/proc"):
        try:
            count += name.isdigit() and os.stat("/proc/" + name).st_uid == uid
        except OSError:
            continue
    return count


REFERENCE_S = 0.0040
"""CPU seconds that ``node_speed``'s work takes on the node that is called 1.0: CPython 3.11 on
the machine that the figures in the README come from (a 2-core AMD EPYC VM)."""


def node_speed() -> float:
    """How fast Python runs here, as a multiple of the reference; below 1 is slower.

    The best of eight goes (about 0.03 s) at a fixed work, by CPU time, so that a node which is
    only busy doesn't count as slow.
    """
    best = math.inf
    for _ in range(8):
        started = time.thread_time()
        table: Dict[str, int] = {}
        total = 0
        for number in range(20000):
            total = (total * 31 + number) & 0xFFFFFFFF
            table[str(total & 1023)] = number
        sorted(table.items())
        best = min(best, time.thread_time() - started)
    return round(REFERENCE_S / best, 3)


def main() -> int:
    # Not by argparse, which loads three libraries that each fork would pay for.
    names = ["slots=", "require=", "view=", "name=", "candidate", "split"]
    given, rest = getopt.getopt(sys.argv[1:], "", names)
    options = dict(given)
    slots, required = int(options.get("--slots", "1")), options.get("--require", "limits")
    if rest or required not in LEVELS or slots < 1:
        raise SystemExit(
            "agent.py [--slots N] [--require limits|filtered|full] [--name NAME] [--view PATH]..."
        )
    views = [value for name, value in given if name == "--view"]
    if "--candidate" in options:
        make_streams()
        enter_candidate("--split" in options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    # By its name whoever started it finds what is left when it is killed.
    name = options.get("--name") or os.urandom(8).hex()
    box = "%s/hpc_runner-%s" % (os.environ.get("TMPDIR", "/tmp"), name)
    os.mkdir(box, 0o711)
    # The kernel counts processes by user: no two agents may share one.
    first_uid = (1 << 30) + 512 * os.getpid()
    if _works(lambda: os.setresuid(*3 * [first_uid])) is not None:
        first_uid = 60600  # in a container that has few users
    supervisor = Supervisor(slots, first_uid)
    try:
        plan = supervisor.open(make_plans(box, views, first_uid))
        level = plan.level()
        hello = {
            "op": "hello",
            "agent": AGENT_VERSION,
            "protocol": PROTOCOL,
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "host": platform.node(),
            "slots": slots,
            "speed": node_speed(),
            "isolation": level,
            "mechanisms": sorted(plan.mechanisms),
            "missing": plan.missing,
        }
        if LEVELS.index(level) < LEVELS.index(required):
            hello["error"] = "isolation %s is required, but only %s can be had" % (
                required, level,
            )  # fmt: skip
            supervisor.say(hello)
            return 3
        supervisor.say(hello)
        supervisor.serve()
    finally:
        supervisor.close()
        remove_tree(box)
    return 0


if __name__ == "__main__":
    sys.exit(main())
elif __name__ == "zygote":
    become_zygote()
