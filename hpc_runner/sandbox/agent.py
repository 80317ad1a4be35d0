"""placeholder while the agent is being written"""
import enum
class Verdict(str, enum.Enum):
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

DEFAULT_LIMITS = {
    "wall_s": 10.0,
    "cpu_s": 0.0,
    "memory_bytes": 256 << 20,
    "output_bytes": 8 << 20,
    "processes": 64,
    "file_bytes": 64 << 20,
    "open_files": 256,
}
