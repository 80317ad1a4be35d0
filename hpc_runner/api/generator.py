"""MCP servers from single programs, by the exporter of runs (docs/mcp.md)."""

from __future__ import annotations

from pathlib import Path

from hpc_runner import __version__
from hpc_runner.api.types import McpOutcome, ToolConfig
from hpc_runner.executions import Vote
from hpc_runner.export.mcp.exporting import Exported, Options, export_tools, make_tools, need_sdk
from hpc_runner.export.mcp.sandbox import Sandbox
from hpc_runner.export.mcp.tools import Provenance, Tool, ValidatedIn
from hpc_runner.export.registry import Registry
from hpc_runner.sandbox.local import base_interpreter

__all__ = ["MCPServerGenerator"]


class MCPServerGenerator:
    """Makes tools of accepted programs, writes them as MCP servers and tries these."""

    def __init__(self, config: ToolConfig | None = None) -> None:
        self.config = config or ToolConfig()

    def analyse(self, vote: Vote, *, refined_by: str | None = None) -> Tool | str:
        """The tool that an accepted program makes (name, parameters, types, capabilities,
        category, quality), or the reason why it makes none.  Raises ``RuntimeFailure``."""
        if not vote.accepted:
            return "only accepted programs become tools"
        tools, exported = self._made(vote, refined_by)
        return tools[0] if tools else next(iter(exported.no_tool.values()))

    def generate(self, vote: Vote, directory: Path, *, refined_by: str | None = None) -> McpOutcome:
        """Write a server below ``directory``, which is empty or not there yet, and call it as a
        client does: one that doesn't answer as the program was validated is no success.

        With ``mcp_registry`` in the configuration it is registered there.  Raises
        ``ConfigError`` without the MCP SDK, ``RuntimeFailure``, ``StorageError``.
        """
        need_sdk()
        if not vote.accepted:
            return McpOutcome(reason="only accepted programs become tools")
        tools, exported = self._made(vote, refined_by)
        if not tools:
            return McpOutcome(reason=next(iter(exported.no_tool.values())))
        export_tools(tools, directory, Options(), title=tools[0].title, exported=exported)
        if not exported.servers:
            return McpOutcome(reason="; ".join(*exported.failed.values()))
        path, server = exported.servers[0]
        tool = server.tools[0]
        name = tool.name
        if self.config.mcp_registry is not None:
            registry = Registry(Path(self.config.mcp_registry).absolute())
            (name,) = registry.add([tool], str(path.absolute()))
        told = tool.model_dump(mode="json")
        return McpOutcome(True, "verified", name, str(path.absolute()), told)

    def _made(self, vote: Vote, refined_by: str | None) -> tuple[list[Tool], Exported]:
        place = Sandbox(base_interpreter(), self.config.require_isolation)
        try:
            return make_tools(
                [(vote.candidate, self._provenance(vote, refined_by))], place, Options()
            )
        finally:
            place.close()

    def _provenance(self, vote: Vote, refined_by: str | None) -> Provenance:
        outcome, candidate = vote.outcome, vote.candidate
        rows = {execution.row["environment"]: execution.row for execution in vote.voting}
        return Provenance(
            run_id=next(iter(rows.values()))["run_id"],
            task_id=candidate.task_id,
            candidate_id=candidate.candidate_id.hex(),
            generation=candidate.generation,
            parent=candidate.parent.hex() if candidate.parent else None,
            refined_by=refined_by,
            judged=outcome.judged,
            agreement=outcome.agreement or 0.0,
            agreement_low=outcome.agreement_low,
            reliability=vote.reliability.value,
            judge=vote.executions[0].row["judge"],
            environments=tuple(
                ValidatedIn(
                    name=name,
                    python=row["python"] or None,
                    image=row["environment_digest"].hex() if row["environment_digest"] else None,
                )
                for name, row in sorted(rows.items())
            ),
            require_isolation=self.config.require_isolation,
            hpc_runner=__version__,
        )
