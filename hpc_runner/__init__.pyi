from hpc_runner.api.environment import ExecutionEnvironment, ResultCache, ValidationFramework
from hpc_runner.api.generator import MCPServerGenerator
from hpc_runner.api.refinement import IterativeRefinementEngine
from hpc_runner.api.types import (
    ExecutionContext,
    ExecutionResult,
    RefinementStrategy,
    ValidationResult,
)
from hpc_runner.executions import Vote
from hpc_runner.model import Candidate
from hpc_runner.tool import CodeRunningTool, create_code_running_tool
from hpc_runner.validating import close_pools, validate
from hpc_runner.warm import WarmPool

__all__ = [
    "Candidate",
    "CodeRunningTool",
    "ExecutionContext",
    "ExecutionEnvironment",
    "ExecutionResult",
    "IterativeRefinementEngine",
    "MCPServerGenerator",
    "RefinementStrategy",
    "ResultCache",
    "ValidationFramework",
    "ValidationResult",
    "Vote",
    "WarmPool",
    "__version__",
    "close_pools",
    "create_code_running_tool",
    "validate",
]

__version__: str
