"""The rules of the policy, one row each.  docs/policy.md shows the same table."""

from __future__ import annotations

from dataclasses import dataclass

from hpc_runner.config import PolicyConfig, Severity
from hpc_runner.errors import ConfigError

__all__ = ["MODULES", "REFERENCES", "RULES", "Rule", "severity", "validate"]


@dataclass(frozen=True)
class Rule:
    """One thing that candidates are checked for."""

    id: str
    name: str
    what: str
    default: Severity = "warn"
    """In mode ``warn``."""
    strict: Severity = "refuse"
    """In mode ``refuse``."""
    sign: bool = False
    """A sign of tampering with the judge: recorded as ``suspicion`` of the executions."""
    in_process: bool = False
    """Says something only where the tests call the program; not where it is judged by what
    it prints or how it ends."""


_TABLE = (
    Rule("HR101", "code_size", "the program is larger than the policy allows (256 KiB)"),
    Rule("HR102", "nul_byte", "a NUL character in the program"),
    Rule("HR103", "lone_surrogate", "half a character, which no encoding can hold"),
    Rule(
        "HR104",
        "bidirectional_override",
        "characters that make text look other than it is (U+202A to U+202E, U+2066 to U+2069)",
    ),
    Rule(
        "HR105",
        "unreadable",
        "the program can't be parsed here, so no rule from HR201 to HR515 was tried on it",
        strict="warn",
    ),
    Rule("HR201", "native_code", "imports what runs native code: `ctypes`, `cffi`, `mmap`"),
    Rule("HR202", "import_machinery", "imports what imports: `importlib`, `runpy`, `pkgutil`"),
    Rule("HR203", "process_control", "imports `subprocess`, `multiprocessing`, `pty`"),
    Rule("HR204", "network", "imports what speaks to a network: `socket`, `urllib.request`"),
    Rule("HR205", "interpreter_internals", "imports `gc`, `marshal`, `code`, `faulthandler`"),
    Rule("HR301", "dynamic_code", "`eval`, `exec`, `compile` and their like"),
    Rule("HR302", "dynamic_import", "`__import__`, `importlib.import_module`, `runpy.run_path`"),
    Rule("HR303", "process_start", "starts programs: `os.system`, `os.exec*`, `subprocess.*`"),
    Rule("HR304", "fork", "`os.fork`, `os.forkpty`, `pty.fork`"),
    Rule("HR305", "fork_in_loop", "a fork inside a loop: a fork bomb, mostly"),
    Rule("HR306", "signal_sending", "`os.kill`, `os.killpg`, `signal.pthread_kill`"),
    Rule(
        "HR307",
        "limits_and_identity",
        "changes limits, user, priority or root: `resource.setrlimit`, `os.setuid`, `os.nice`",
    ),
    Rule("HR401", "decoded_code", "`exec`, `eval` or `compile` of what is decoded on the spot"),
    Rule("HR402", "encoded_literal", "a literal of 512 or more characters of base64 or hex"),
    Rule("HR403", "assembled_string", "text assembled from eight or more literal character codes"),
    Rule("HR404", "indirect_access", "computed access to `builtins`, `os`, `sys` and their like"),
    Rule("HR501", "patched_builtins", "assigns to `builtins`", sign=True),
    Rule(
        "HR502",
        "always_equal",
        "`__eq__`, `__ne__` or `__instancecheck__` that always answers the same",
        sign=True,
        in_process=True,
    ),
    Rule("HR503", "immediate_exit", "`os._exit`, `os.abort`", sign=True),
    Rule(
        "HR504",
        "exit_at_import",
        "`sys.exit`, `exit` or `raise SystemExit` outside of functions and `__main__`",
        sign=True,
        in_process=True,
    ),
    Rule("HR505", "exit_handler", "`atexit`", sign=True, in_process=True),
    Rule(
        "HR506",
        "frame_walking",
        "`sys._getframe`, `inspect.stack`, `f_back`, `tb_frame`, `__globals__`",
        sign=True,
    ),
    Rule(
        "HR507",
        "object_search",
        "`gc.get_objects`, `gc.get_referrers`, `__subclasses__`",
        sign=True,
    ),
    Rule(
        "HR508",
        "trace_hook",
        "`sys.settrace`, `sys.setprofile`, `sys.addaudithook`, `sys.monitoring`",
        sign=True,
    ),
    Rule(
        "HR509",
        "descriptor_access",
        "reads, writes or copies descriptors other than 0, 1 and 2",
        sign=True,
        in_process=True,
    ),
    Rule(
        "HR510",
        "patched_test_machinery",
        "assigns to `unittest`, `pytest` or `AssertionError`",
        sign=True,
        in_process=True,
    ),
    Rule(
        "HR511",
        "patched_module",
        "assigns to a module of the standard library, or to `sys.modules`",
        sign=True,
    ),
    Rule(
        "HR512",
        "shadowed_builtin",
        "gives a builtin that tests judge with (`all`, `isinstance`, ...) another meaning",
        sign=True,
        in_process=True,
    ),
    Rule("HR513", "import_hook", "`sys.meta_path`, `sys.path_hooks`", sign=True),
    Rule("HR514", "process_files", "names `/proc/` or `/dev/fd/` in a literal", sign=True),
    Rule(
        "HR515",
        "planted_file",
        "names `sitecustomize`, `usercustomize` or `conftest.py` in a literal",
        sign=True,
    ),
    Rule(
        "HR601",
        "import_not_allowed",
        "imports what is neither in the standard library nor declared nor allowed",
    ),
    Rule("HR602", "dependency_not_allowed", "declares a dependency that is not allowed"),
    Rule(
        "HR603",
        "dependency_location",
        "declares a dependency that is an address, a path or an option instead of a name",
        default="refuse",
    ),
    Rule("HR701", "variable_not_allowed", "asks for a variable that is not allowed"),
    Rule(
        "HR702",
        "steering_variable",
        "asks for a variable that steers the loader or an interpreter; it isn't given",
    ),
)

RULES = {rule.id: rule for rule in _TABLE}


def severity(rule: str, policy: PolicyConfig) -> Severity:
    """What a finding of ``rule`` means in this run.

    A list of what is allowed is enforced: where the policy has one, what isn't on it refuses.
    """
    if rule in policy.rules:
        return policy.rules[rule]
    if policy.mode == "off":
        return "off"
    row = RULES[rule]
    if rule in ("HR601", "HR602") and policy.allow_dependencies:
        return "refuse"
    return row.strict if policy.mode == "refuse" else row.default


def validate(policy: PolicyConfig) -> None:
    """Raises ``ConfigError`` for a rule that there isn't."""
    unknown = sorted(set(policy.rules) - set(RULES))
    if unknown:
        raise ConfigError(
            f"the policy has no rule {unknown[0]!r}; there are {', '.join(RULES)} (docs/policy.md)"
        )


def _rows(rule: str, *names: str) -> dict[str, str]:
    return {name: rule for text in names for name in text.split()}


MODULES: dict[str, str] = {
    **_rows("HR201", "ctypes _ctypes cffi _cffi_backend mmap"),
    **_rows("HR202", "importlib imp pkgutil zipimport runpy _frozen_importlib _imp"),
    **_rows("HR203", "subprocess multiprocessing pty _posixsubprocess"),
    **_rows(
        "HR204",
        "socket _socket ssl socketserver http urllib.request ftplib smtplib poplib imaplib",
        "telnetlib nntplib xmlrpc requests httpx aiohttp urllib3 webbrowser",
    ),
    **_rows(
        "HR205", "gc marshal code codeop faulthandler _testcapi _interpreters _xxsubinterpreters"
    ),
    **_rows("HR505", "atexit"),
    **_rows("HR515", "sitecustomize usercustomize"),
}
"""Module → the rule that importing it falls under."""

REFERENCES: dict[str, str] = {
    **_rows("HR301", "builtins.eval builtins.exec builtins.compile builtins.breakpoint"),
    **_rows("HR301", "code.InteractiveInterpreter code.InteractiveConsole types.FunctionType"),
    **_rows("HR301", "types.CodeType marshal.loads"),
    **_rows("HR302", "builtins.__import__ importlib.import_module importlib.reload"),
    **_rows("HR302", "importlib.__import__ runpy.run_path runpy.run_module"),
    **_rows(
        "HR303",
        "os.system os.popen os.execl os.execle os.execlp os.execlpe os.execv os.execve os.execvp",
        "os.execvpe os.spawnl os.spawnle os.spawnlp os.spawnlpe os.spawnv os.spawnve os.spawnvp",
        "os.spawnvpe os.posix_spawn os.posix_spawnp pty.spawn subprocess.Popen subprocess.run",
        "subprocess.call subprocess.check_call subprocess.check_output subprocess.getoutput",
        "subprocess.getstatusoutput multiprocessing.Process multiprocessing.Pool",
    ),
    **_rows("HR304", "os.fork os.forkpty pty.fork"),
    **_rows("HR306", "os.kill os.killpg signal.pthread_kill signal.raise_signal"),
    **_rows("HR306", "signal.pidfd_send_signal"),
    **_rows(
        "HR307",
        "resource.setrlimit resource.prlimit os.setuid os.setgid os.seteuid os.setegid os.setreuid",
        "os.setregid os.setresuid os.setresgid os.setgroups os.initgroups os.chroot os.unshare",
        "os.setns os.nice os.setpriority os.sched_setaffinity os.sched_setscheduler os.setsid",
        "os.setpgid os.setpgrp",
    ),
    **_rows("HR503", "os._exit os.abort"),
    **_rows("HR505", "atexit.register threading._register_atexit"),
    **_rows(
        "HR506",
        "sys._getframe sys._getframemodulename sys._current_frames sys._current_exceptions",
        "inspect.stack inspect.currentframe inspect.trace inspect.getouterframes",
        "inspect.getinnerframes traceback.walk_stack",
    ),
    **_rows("HR507", "gc.get_objects gc.get_referrers gc.get_referents"),
    **_rows(
        "HR508",
        "sys.settrace sys.setprofile threading.settrace threading.setprofile sys.addaudithook",
        "threading.settrace_all_threads threading.setprofile_all_threads sys.monitoring",
        "bdb.Bdb sys._settraceallthreads sys._setprofileallthreads",
    ),
    **_rows("HR509", "os.dup os.dup2 os.closerange os.sendfile os.pwrite os.writev os.pwritev"),
    **_rows("HR509", "os.splice os.pidfd_open"),
    **_rows("HR513", "sys.meta_path sys.path_hooks sys.path_importer_cache"),
}
"""Dotted name → the rule that mentioning it falls under."""
