"""The summary for a person's eyes, in a terminal or in a log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hpc_runner.report.refinement import render_refinement
from hpc_runner.report.words import counted, duration, percent
from hpc_runner.results.summary import Summary

__all__ = ["render_summary"]

_STYLES = {"accepted": "green", "unjudged": "magenta"}


def render_summary(summary: Summary) -> RenderableType:
    """The whole summary; reads well without colours, in 80 columns."""
    parts: list[RenderableType] = [*_head(summary), _verdicts(summary), Text(_passing(summary))]
    parts += _notes(summary)
    if summary.parts:
        parts += ["", _parts(summary)]
    if len(summary.environments) > 1:
        parts += ["", _environments(summary), Text(_agreement(summary))]
    if summary.flaky_candidates:
        parts += ["", Text("Flaky: the executions of these candidates disagree", "bold")]
        parts.append(_flaky(summary))
    if summary.suspicions:
        parts += ["", Text("Signs of tampering", "bold")]
        parts.append(_suspicions(summary))
    if summary.errors:
        parts += ["", Text("Most frequent errors", "bold"), _errors(summary)]
    if summary.warnings:
        parts += ["", Text("Given up on the way", "bold")]
        parts += [Text(f"  {line}") for line in summary.warnings]
    if summary.refinement is not None:
        parts += ["", *render_refinement(summary.refinement)]
    if summary.rejected_reasons:
        parts += ["", Text("Rows that could not be used", "bold"), _rejected(summary)]
    parts += ["", Text(_time(summary)), Text("Where the results lie", "bold")]
    parts += [Text(f"  {name:<9} {path}", overflow="fold") for name, path in summary.paths.items()]
    return Group(*parts)


def _head(summary: Summary) -> Iterable[RenderableType]:
    programs = counted(summary.candidates, "candidate")
    yield Text.assemble(("Run ", "bold"), (summary.run_id, "bold"), overflow="fold")
    yield Text(
        f"{counted(summary.samples, 'sample')} of {counted(summary.tasks, 'task')} "
        f"({summary.format}): {programs}, "
        f"{counted(summary.duplicates, 'duplicate')}, {summary.rejected:,} rejected"
        + (f", {summary.cached:,} known to the cache" if summary.cached else "")
    )
    how = f"{summary.runtime} runtime, " + ", ".join(item.name for item in summary.environments)
    if summary.executions:
        isolation = ", ".join(summary.isolation) or "unknown"
        yield Text(f"{how}, {isolation} isolation, judged {_judges(summary)}")
    else:
        yield Text(f"{how}, nothing was executed")
    if not summary.complete:
        yield Text("This run is not complete: `hpc-runner resume` goes on with it.", "bold yellow")
    yield ""


def _verdicts(summary: Summary) -> Table:
    table = _table()
    table.add_column("Verdict")
    table.add_column("Samples", justify="right")
    table.add_column("Share", justify="right")
    table.add_column("Candidates", justify="right")
    for verdict in dict.fromkeys([*summary.verdicts, *summary.candidate_verdicts]):
        samples = summary.verdicts.get(verdict, 0)
        table.add_row(
            Text(verdict, _STYLES.get(verdict, "red")),
            f"{samples:,}",
            percent(samples, summary.samples),
            f"{summary.candidate_verdicts.get(verdict, 0):,}",
        )
    return table


def _passing(summary: Summary) -> str:
    share = percent(summary.accepted, summary.samples)
    line = f"\nAccepted by consensus: {summary.accepted:,} of {summary.samples:,} ({share})"
    line += f", {summary.tasks_solved:,} of {counted(summary.tasks, 'task')} solved"
    if summary.waves > 1:
        line += f"\nAccepted after refinement: {summary.accepted_after_refinement:,} more"
        line += f" ({counted(summary.waves, 'wave')})"
    if summary.pass_at:
        line += "\n" + "   ".join(
            f"pass@{k} {value:.4f}" + _interval(summary.pass_at_interval.get(k))
            for k, value in summary.pass_at.items()
        )
    return line


def _interval(found: tuple[float, float] | None) -> str:
    return "" if found is None else f" ({found[0]:.3f} to {found[1]:.3f})"


def _parts(summary: Summary) -> Table:
    table = _table()
    table.add_column("Part", overflow="fold")
    table.add_column("Tasks", justify="right")
    table.add_column("Samples", justify="right")
    table.add_column("Accepted", justify="right")
    table.add_column("pass@1", no_wrap=True)
    for part in summary.parts:
        passing = ""
        if 1 in part.pass_at:
            passing = f"{part.pass_at[1]:.4f}" + _interval(part.pass_at_interval.get(1))
        counts = (f"{count:,}" for count in (part.tasks, part.samples, part.accepted))
        table.add_row(Text(f"{part.kind} {part.name}"), *counts, passing)
    return table


def _judges(summary: Summary) -> str:
    """How, and where there are several ways, which share of the executions."""
    if len(summary.judges) < 2:
        return ", ".join(summary.judges) or "nothing"
    whole = sum(summary.judges.values())
    return ", ".join(f"{name} {percent(n, whole)}" for name, n in summary.judges.items())


def _environments(summary: Summary) -> Table:
    table = _table()
    table.add_column("Environment", overflow="fold")
    table.add_column("Python", overflow="fold")
    table.add_column("Executions", justify="right")
    table.add_column("Judged", justify="right")
    table.add_column("Accepted", justify="right")
    for item in summary.environments:
        counts = (f"{count:,}" for count in (item.executions, item.judged, item.accepted))
        table.add_row(Text(item.name), Text(", ".join(item.python) or "-"), *counts)
    return table


def _agreement(summary: Summary) -> str:
    compared, agree = summary.environments_compared, summary.environments_agree
    line = f"The environments agree on {agree:,} of {counted(compared, 'candidate')}"
    return f"{line} that several judged ({percent(agree, compared)})"


def _suspicions(summary: Summary) -> Table:
    table = _table()
    table.add_column("Candidates", justify="right", no_wrap=True, min_width=10)
    table.add_column("Accepted", justify="right", no_wrap=True, min_width=8)
    table.add_column("Sign", overflow="ellipsis", no_wrap=True, max_width=36)
    table.add_column("For example", overflow="ellipsis", no_wrap=True, max_width=20)
    for item in summary.suspicions:
        counts = f"{item.candidates:,}", f"{item.accepted:,}"
        table.add_row(*counts, Text(item.sign), Text(item.task_id))
    return table


def _notes(summary: Summary) -> Iterable[RenderableType]:
    yield Text(
        f"Flaky {summary.flaky:,}, without consensus {summary.no_consensus:,}, "
        f"unjudged {summary.unjudged:,} (in candidates; "
        f"consensus is {summary.consensus_threshold:.0%} of the executions)"
    )
    if summary.causes:
        causes = ", ".join(f"{name} {count:,}" for name, count in summary.causes.items())
        yield Text(f"What disagreeing executions depend on: {causes} (in candidates)")
    if summary.suspicious:
        yield Text(f"Suspicious {summary.suspicious:,} (in candidates)", "yellow")


def _flaky(summary: Summary) -> Table:
    table = _table()
    table.add_column("Task", overflow="fold")
    table.add_column("Candidate")
    table.add_column("Cause")
    table.add_column("Verdicts", overflow="fold")
    for candidate in summary.flaky_candidates:
        counts = _counts(candidate.verdicts)
        if len(candidate.environments) > 1:
            places = candidate.environments.items()
            counts = "; ".join(f"{name}: {_counts(found)}" for name, found in places)
        cause = Text(candidate.cause or "")
        table.add_row(Text(candidate.task_id), candidate.candidate_id[:12], cause, Text(counts))
    if summary.flaky > len(summary.flaky_candidates):
        table.add_row(f"and {summary.flaky - len(summary.flaky_candidates):,} more", "", "", "")
    return table


def _counts(verdicts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in verdicts.items())


def _errors(summary: Summary) -> Table:
    table = _table()
    table.add_column("Candidates", justify="right", no_wrap=True, min_width=10)
    table.add_column("Error", overflow="ellipsis", no_wrap=True, max_width=46)
    table.add_column("For example", overflow="ellipsis", no_wrap=True, max_width=20)
    for error in summary.errors:
        message = " ".join(error.error_message.split())
        text = f"{error.error_type}: {message}" if message else error.error_type
        table.add_row(f"{error.candidates:,}", Text(text), Text(error.task_id))
    return table


def _rejected(summary: Summary) -> Table:
    table = _table()
    table.add_column("Rows", justify="right")
    table.add_column("Reason", overflow="fold")
    for reason, count in summary.rejected_reasons.items():
        table.add_row(f"{count:,}", Text(reason))
    return table


def _time(summary: Summary) -> str:
    line = f"{counted(summary.executions, 'execution')} in {duration(summary.wall_s)}"
    if summary.executions_per_s is not None:
        line += f" ({summary.executions_per_s:,.1f} per second"
        line += f" on {counted(summary.hosts, 'host')})"
    line += f", {duration(summary.cpu_s)} of CPU"
    if summary.executions_saved:
        line += f"; {summary.executions_saved:,} left out that could not change an outcome"
    if summary.extra_executions:
        line += f"; {summary.extra_executions:,} extra for candidates that disagree"
    return line


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
