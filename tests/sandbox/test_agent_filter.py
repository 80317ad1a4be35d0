"""The seccomp filters, instruction by instruction, as the kernel would read them."""

from __future__ import annotations

import errno
import platform
import struct

import pytest

from hpc_runner.sandbox.agent import seccomp_programs

LOAD, JUMP_EQ, JUMP_GT, JUMP_SET, RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
AUDIT_I386 = 0x40000003
ALLOW, NOTHING, EPERM, ENOSYS, KILL = "allow", "success, of nothing", "EPERM", "ENOSYS", "kill"


def run(program: bytes, data: bytes) -> int:
    """What a filter returns for ``struct seccomp_data``."""
    code = list(struct.iter_unpack("=HBBI", program))
    accumulator, at = 0, 0
    for _ in range(len(code)):
        operation, yes, no, k = code[at]
        at += 1
        if operation == LOAD:
            assert k % 4 == 0 and k + 4 <= len(data)
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif operation == RETURN:
            return int(k)
        else:
            holds = {
                JUMP_EQ: accumulator == k,
                JUMP_GT: accumulator > k,
                JUMP_SET: bool(accumulator & k),
            }[operation]
            at += yes if holds else no
    raise AssertionError("it doesn't end")


def action(value: int) -> str:
    if value == 0x7FFF0000:
        return ALLOW
    if value == 0x80000000:
        return KILL
    assert value & 0xFFFF0000 == 0x00050000
    return {0: NOTHING, errno.EPERM: EPERM, errno.ENOSYS: ENOSYS}[value & 0xFFFF]


STRICTEST = (ALLOW, NOTHING, ENOSYS, EPERM, KILL)


def decide(
    programs: tuple[bytes, bytes], architecture: int, number: int, *arguments: int
) -> tuple[str, str]:
    """What becomes of a call in the zygote, and in a candidate, which has both filters."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=iIQ6Q", number, architecture, 0, *padded)
    first, second = (action(run(program, data)) for program in programs)
    return first, max(first, second, key=STRICTEST.index)


@pytest.fixture(params=ARCHITECTURES)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(platform, "machine", lambda: request.param)
    return str(request.param)


# (x86_64, aarch64), from the kernel's tables and not from ours; None where there is none.
ALWAYS = {
    "read": (0, 63), "write": (1, 64), "openat": (257, 56), "close": (3, 57),
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214),
    "execve": (59, 221), "exit_group": (231, 94), "wait4": (61, 260), "kill": (62, 129),
    "futex": (202, 98), "getrandom": (318, 278), "rt_sigaction": (13, 134),
    "setrlimit": (160, 164), "pipe2": (293, 59), "dup3": (292, 24), "fstat": (5, 80),
    "getdents64": (217, 61), "unlinkat": (263, 35), "nanosleep": (35, 101),
    "sched_getaffinity": (204, 123), "getpriority": (140, 141), "socketpair": (53, 199),
}  # fmt: skip
NEVER = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "bpf": (321, 280), "perf_event_open": (298, 241), "keyctl": (250, 219),
    "add_key": (248, 217), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104),
    "reboot": (169, 142), "chroot": (161, 51), "pivot_root": (155, 41), "swapon": (167, 224),
    "open_by_handle_at": (304, 265), "move_mount": (429, 429), "fsopen": (430, 430),
    "pidfd_getfd": (438, 438), "shmget": (29, 194), "msgget": (68, 186), "mq_open": (240, 180),
    "clock_settime": (227, 112), "personality": (135, 92), "sched_setaffinity": (203, 122),
    "modify_ldt": (154, None), "iopl": (172, None), "uselib": (134, None),
}  # fmt: skip
NOT_FOR_CANDIDATES = {
    "mount": (165, 40), "umount2": (166, 39), "unshare": (272, 97), "setns": (308, 268),
}  # fmt: skip
ABSENT = {"memfd_create": (319, 279), "memfd_secret": (447, 447), "clone3": (435, 435)}
CLONE, SOCKET, PRLIMIT, SETPRIORITY, IOCTL = (56, 220), (41, 198), (302, 261), (141, 140), (16, 29)
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_ALG = 1, 2, 10, 16, 17, 38
THREAD = 0x3D0F00
NAMESPACES = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)


@pytest.mark.parametrize("sockets", [True, False])
def test_what_is_allowed_and_what_is_not(machine: str, sockets: bool) -> None:
    programs = seccomp_programs(sockets)
    column, architecture = list(ARCHITECTURES).index(machine), ARCHITECTURES[machine]

    def check(numbers: tuple[int | None, int | None], expected: str, *arguments: int) -> None:
        number = numbers[column]
        if number is not None:
            found = decide(programs, architecture, number, *arguments)[1]
            assert found == expected, (number, arguments)

    for table, expected in ((ALWAYS, ALLOW), (NEVER, EPERM), (ABSENT, ENOSYS)):
        for name, numbers in table.items():
            assert numbers[0] is not None, name
            check(numbers, expected)
    for numbers in NOT_FOR_CANDIDATES.values():
        both = decide(programs, architecture, numbers[column])
        assert both == (ALLOW, EPERM)

    check(CLONE, ALLOW, 17)
    check(CLONE, ALLOW, THREAD)
    for flag in NAMESPACES:
        check(CLONE, EPERM, flag | 17)
    for family in (AF_UNIX, AF_INET, AF_INET6):
        check(SOCKET, ALLOW if sockets else EPERM, family, 1)
    for family in (AF_NETLINK, AF_PACKET, AF_ALG, 0, 255):
        check(SOCKET, EPERM, family, 1)
    check(PRLIMIT, ALLOW, 0, 7)
    check(PRLIMIT, EPERM, 1, 7)
    assert decide(programs, architecture, PRLIMIT[column], 99)[0] == ALLOW  # the zygote's need
    check(SETPRIORITY, ALLOW, 0, 0, 5)
    check(SETPRIORITY, EPERM, 0, 99, 5)
    check(IOCTL, ALLOW, 0, 0x5413)
    check(IOCTL, EPERM, 0, 0x5412)
    check(IOCTL, EPERM, 0, 0x1_0000_5412)  # the kernel looks at 32 bits
    check(IOCTL, EPERM, 0, 0x541C)


def test_what_is_newer_than_the_list_does_not_exist(machine: str) -> None:
    programs, architecture = seccomp_programs(True), ARCHITECTURES[machine]
    for number in (463, 500, 4096, 0x40000000, 0x40000000 | 165, 0x7FFFFFFF):
        assert decide(programs, architecture, number) == (ENOSYS, ENOSYS)


def test_other_tables_of_system_calls_end_the_process(machine: str) -> None:
    others = {*ARCHITECTURES.values(), AUDIT_I386} - {ARCHITECTURES[machine]}
    for other in others:
        for number in (0, 1, 101, 165):
            assert decide(seccomp_programs(True), other, number)[0] == KILL


def test_every_number_has_an_answer(machine: str) -> None:
    for sockets in (True, False):
        programs = seccomp_programs(sockets)
        for number in range(600):
            decide(programs, ARCHITECTURES[machine], number, 2**64 - 1, 2**64 - 1)
        assert all(len(program) // 8 <= 4096 for program in programs)


def test_an_unknown_machine_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    with pytest.raises(OSError, match="no system call table for pdp11"):
        seccomp_programs(True)
