"""Stands in for the agent inside a container: tries what the kernel and the seccomp profile
allow there and prints it as one JSON object.  Standard library only."""

# It has to run under Python 3.8 with nothing beside it, and to say what the kernel says.
# ruff: noqa: PTH103, PTH123, PTH208, PT017, S108, S605, SIM115, UP031

import ctypes
import errno
import json
import os
import platform
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"

NAMESPACES = {
    "mnt": 0x00020000, "uts": 0x04000000, "ipc": 0x08000000, "pid": 0x20000000, "net": 0x40000000,
}  # fmt: skip
USER = 0x10000000
RDONLY, REMOUNT, BIND, REC, PRIVATE = 1, 32, 4096, 16384, 1 << 18

FORBIDDEN = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "bpf": (321, 280), "perf_event_open": (298, 241),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "acct": (163, 89),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "syslog": (103, 116), "quotactl": (179, 60), "open_tree": (428, 428), "fsopen": (430, 430),
    "move_mount": (429, 429), "fanotify_init": (300, 262), "vhangup": (153, 58),
    "move_pages": (279, 239), "mbind": (237, 235), "memfd_secret": (447, 447),
}  # fmt: skip
ABSENT = {"io_uring_setup": (425, 425), "userfaultfd": (323, 282)}


def call(numbers):
    """The errno of a system call with senseless arguments; without a filter it is EFAULT,
    EINVAL or EBADF, and for some EPERM.  Runs in a child: some of these could end us."""
    return in_child(lambda: errno_of(LIBC.syscall(numbers[0 if X86 else 1], *[-1] * 6)))


def errno_of(result):
    return errno.errorcode[ctypes.get_errno()] if result < 0 else "allowed"


def in_child(function):
    """What ``function`` returns in a forked process, as text."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            answer = str(function())
        except BaseException as error:
            answer = "%s: %s" % (type(error).__name__, error)
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    answer = b""
    while True:
        block = os.read(reading, 65536)
        if not block:
            break
        answer += block
    os.close(reading)
    os.wait()
    return answer.decode()


def check(result, what):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, what + ": " + os.strerror(code))


def mount(source, target, kind, flags):
    check(LIBC.mount(source, target, kind, ctypes.c_ulong(flags), None), "mount %r" % target)


def become_root_of(flags):
    uid, gid = os.getuid(), os.getgid()
    check(LIBC.unshare(flags | USER), "unshare")
    for file, text in (("setgroups", "deny"), ("uid_map", "0 %d 1"), ("gid_map", "0 %d 1")):
        number = gid if file == "gid_map" else uid
        with open("/proc/self/" + file, "w") as out:
            out.write(text % number if "%" in text else text)


def build_a_root():
    """All that the agent does to give an execution a root of its own."""
    become_root_of(sum(NAMESPACES.values()))
    mount(None, b"/", None, REC | PRIVATE)
    mount(b"tmpfs", b"/tmp", b"tmpfs", 0)
    os.makedirs("/tmp/root/usr")
    mount(b"/tmp/root", b"/tmp/root", None, BIND)
    mount(b"/usr", b"/tmp/root/usr", None, BIND | REC)
    mount(None, b"/tmp/root/usr", None, BIND | REMOUNT | RDONLY | 2 | 4)
    os.makedirs("/tmp/root/work")
    os.makedirs("/tmp/root/old")
    number = 155 if X86 else 41
    check(LIBC.syscall(number, b"/tmp/root", b"/tmp/root/old"), "pivot_root")
    os.chdir("/")
    check(LIBC.umount2(b"/old", 2), "umount2")
    check(LIBC.sethostname(b"inner", 5), "sethostname")
    with open("/work/file", "w") as out:
        out.write("content")
    try:
        open("/usr/file", "w")
    except OSError as error:
        assert error.errno == errno.EROFS, error
    else:
        raise AssertionError("/usr can be written")
    return "done, / holds " + " ".join(sorted(os.listdir("/")))


def pid_one():
    become_root_of(NAMESPACES["pid"])
    return in_child(os.getpid)


def forbidden_as_root():
    """With every capability in a user namespace of its own."""
    become_root_of(NAMESPACES["mnt"])
    return json.dumps({name: call(numbers) for name, numbers in FORBIDDEN.items()})


def sockets():
    families = {
        "unix": 1,
        "inet": 2,
        "inet6": 10,
        "netlink": 16,
        "packet": 17,
        "alg": 38,
        "vsock": 40,
    }
    return {
        name: in_child(lambda n=number: errno_of(LIBC.socket(n, 2 if n < 16 else 3, 0)))
        for name, number in families.items()
    }  # fmt: skip


def written(path):
    try:
        with open(path, "w"):
            return "written"
    except OSError as error:
        return errno.errorcode[error.errno]


def status(key):
    with open("/proc/self/status") as lines:
        return next(line.split()[1] for line in lines if line.startswith(key + ":"))


def main():
    print(
        json.dumps(
            {
                "argv": sys.argv[1:],
                "uid": os.getuid(),
                "gid": os.getgid(),
                "pid": os.getpid(),
                "hostname": platform.node(),
                "environment": dict(os.environ),
                "capabilities": status("CapEff"),
                "bounding": status("CapBnd"),
                "no_new_privs": status("NoNewPrivs"),
                "seccomp": status("Seccomp"),
                "namespaces": {
                    name: in_child(lambda f=flag: become_root_of(f))
                    for name, flag in NAMESPACES.items()
                },
                "root": in_child(build_a_root),
                "pid_one": in_child(pid_one),
                "forbidden": {name: call(numbers) for name, numbers in FORBIDDEN.items()},
                "forbidden_as_root": json.loads(in_child(forbidden_as_root)),
                "absent": {name: call(numbers) for name, numbers in ABSENT.items()},
                "personality": in_child(lambda: errno_of(LIBC.personality(0x0040000))),
                "sockets": sockets(),
                "interfaces": os.listdir("/sys/class/net"),
                "write": {
                    path: written(path + "/file")
                    for path in ("/", "/usr", "/opt/hpc_runner", "/tmp")
                },
                "agent": written("/opt/hpc_runner/agent.py"),
                "resolv": open("/etc/resolv.conf").read(),
                "setuid_programs": os.popen("find /usr -perm /6000 -type f").read().split(),
            }
        ),
        flush=True,
    )
    sys.stdin.read()


if __name__ == "__main__":
    main()
