"""The service: its addresses and what each one does."""

from __future__ import annotations

import ast
import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from hpc_runner import __version__
from hpc_runner.config import RunConfig, explain
from hpc_runner.corpus.answers import compiles, extract_code
from hpc_runner.corpus.languages import canonical
from hpc_runner.corpus.packages import declared_name, is_standard
from hpc_runner.errors import ConfigError, HpcRunnerError, RunError, UserError
from hpc_runner.executions import Execution
from hpc_runner.model import Candidate, Limits, Verdict
from hpc_runner.rundir import RunDir
from hpc_runner.sandbox.native import unsupported
from hpc_runner.serve.guard import App, Guard
from hpc_runner.serve.messages import Many, One, Run, ServeConfig, openapi, voted
from hpc_runner.serve.metrics import Metrics
from hpc_runner.warm import WarmPool

__all__ = ["Service", "make_app"]

AHEAD = 64
"""Candidates of one request that are under way."""
_RUN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

M = TypeVar("M", bound=BaseModel)


def make_app(service: Service) -> App:
    """The ASGI application of a service that is open; its end closes it."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.to_thread(service.pool.close)

    app = Starlette(
        routes=[
            Route("/run", service.run, methods=["POST"]),
            Route("/v1/validate", service.validate, methods=["POST"]),
            Route("/v1/runs", service.runs),
            Route("/v1/runs/{name}", service.status),
            Route("/v1/runs/{name}/summary", service.summary),
            Route("/healthz", service.health),
            Route("/metrics", service.counts),
            Route("/openapi.json", service.document),
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_error, HpcRunnerError: _our_error},
    )
    return Guard(app, service.config, service.metrics)


class Service:
    """What the addresses do.  Raises ``ConfigError`` for a configuration that can't be used."""

    def __init__(self, config: ServeConfig) -> None:
        self.config = config
        self.metrics = Metrics()
        self._offered = {declared_name(module) for module in config.modules}
        self.pool = WarmPool(
            RunConfig.parse(
                {
                    "corpus": (),
                    "runtime": config.runtime,
                    "environments": config.environments,
                    "python": config.python,
                    "require_isolation": config.require_isolation,
                    "policy": config.policy,
                    "rounds": config.rounds,
                    "slots": config.slots,
                    "wheelhouse": config.wheelhouse,
                }
            ),
            install=False,
        )

    def open(self) -> None:
        """Make the runtime and the modules ready.  Raises ``ConfigError``, ``ImageError``,
        ``RuntimeFailure``, ``StorageError``."""
        self.pool.open()
        if self.config.modules:
            for found in self.pool.prepare(self.config.modules):
                if found.error is not None:
                    raise ConfigError(f"--module: {', '.join(found.requirements)}: {found.error}")

    # -- programs

    async def run(self, request: Request) -> Response:
        """As KGoT's Python executor answers."""
        asked = await _read(request, Run)
        if not asked.code:
            raise HTTPException(400, "No code provided")
        config = self.config
        candidate = Candidate(
            task_id="run",
            code=_program(asked.code),
            limits=Limits(wall_s=config.run_timeout_s, memory_bytes=config.memory_bytes),
            dependencies=self._modules(asked.required_modules or []),
        )
        done = await self.pool.execute(candidate)
        self.metrics.verdicts[done.verdict.value] += 1
        if done.verdict is Verdict.ACCEPTED:
            return JSONResponse({"output": done.stdout})
        if done.verdict is Verdict.TIME_LIMIT:
            return JSONResponse({"error": "Code execution timed out"}, 408)
        return JSONResponse({"error": _error(done)}, 400)

    async def validate(self, request: Request) -> Response:
        """One candidate: its vote.  Many: a line for each, as they come, in their order."""
        asked = await _read_any(request)
        if isinstance(asked, One):
            vote = await self.pool.vote(self._candidate(asked, ""))
            self._count(vote.verdict)
            return JSONResponse(voted(0, vote).model_dump())
        made = [self._candidate(one, f"candidate {n}: ") for n, one in enumerate(asked.candidates)]
        return StreamingResponse(self._votes(made), media_type="application/x-ndjson")

    async def _votes(self, candidates: list[Candidate]) -> AsyncIterator[bytes]:
        pending: list[asyncio.Task[Any]] = []
        left = iter(enumerate(candidates))
        try:
            for n in range(len(candidates)):
                while len(pending) < AHEAD and (following := next(left, None)) is not None:
                    pending.append(asyncio.create_task(self.pool.vote(following[1])))
                vote = await pending.pop(0)
                self._count(vote.verdict)
                yield voted(n, vote).model_dump_json().encode() + b"\n"
        finally:
            for task in pending:
                task.cancel()

    def _count(self, verdict: Verdict | None) -> None:
        self.metrics.verdicts["unjudged" if verdict is None else verdict.value] += 1

    def _candidate(self, one: One, where: str) -> Candidate:
        """Raises ``HTTPException`` for what this service doesn't do."""
        config, limits = self.config, one.limits
        language = canonical(one.language)
        if language is None:
            raise HTTPException(400, f"{where}language: {one.language!r} is not known")
        if limits.wall_s > config.max_wall_s:
            raise HTTPException(400, f"{where}limits.wall_s: at most {config.max_wall_s:g} here")
        if limits.memory_bytes > config.max_memory_bytes:
            most = config.max_memory_bytes
            raise HTTPException(400, f"{where}limits.memory_bytes: at most {most} here")
        made = one.model_copy(
            update={"language": language, "dependencies": self._modules(one.dependencies, where)}
        )
        candidate = made.candidate()
        if (reason := unsupported(candidate)) is not None:
            raise HTTPException(400, f"{where}language: {reason}")
        return candidate

    def _modules(self, wanted: Any, where: str = "") -> tuple[str, ...]:
        """All that this service offers, when any of it is wanted: it was installed together."""
        named = [module for module in wanted if not is_standard(module)]
        for module in named:
            if declared_name(module) not in self._offered or module != module.strip():
                offered = ", ".join(self.config.modules) or "none"
                raise HTTPException(
                    400,
                    f"{where}module {module!r} is not offered here, and nothing is installed for"
                    f" a request; besides the standard library there are: {offered}",
                )
        return self.config.modules if named else ()

    # -- runs

    async def runs(self, _: Request) -> Response:
        return JSONResponse({"runs": await asyncio.to_thread(self._runs)})

    def _runs(self) -> list[dict[str, Any]]:
        found = []
        if self.config.runs.is_dir():
            for path in sorted(self.config.runs.iterdir()):
                if _RUN_NAME.fullmatch(path.name) and RunDir(path.absolute()).info.is_file():
                    found.append({"name": path.name})
        return found

    async def status(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self._status, request.path_params["name"]))

    def _status(self, name: str) -> dict[str, Any]:
        from hpc_runner.pipeline.status import Watch

        return {"name": name, **asdict(Watch(self._run(name)).look())}

    async def summary(self, request: Request) -> Response:
        text = await asyncio.to_thread(self._summary, request.path_params["name"])
        return Response(text, media_type="application/json")

    def _summary(self, name: str) -> str:
        from hpc_runner.results.summary import summarise

        return summarise(self._run(name)).model_dump_json()

    def _run(self, name: str) -> RunDir:
        run = RunDir((self.config.runs / name).absolute())
        if not _RUN_NAME.fullmatch(name) or not run.info.is_file():
            raise HTTPException(404, f"there is no run {name!r}")
        return run

    # -- the service itself

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok", "version": __version__})

    async def counts(self, _: Request) -> Response:
        running, waiting = self.pool.load
        text = self.metrics.text(running, waiting)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def document(self, _: Request) -> Response:
        return JSONResponse(openapi(self.config.token is not None))


# ----------------------------------------------------------------------------- reading


async def _json(request: Request) -> Any:
    """Only JSON is read: a form that some page of a browser sends is none."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "Content-Type: application/json is wanted")
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"not JSON: {error}") from None


async def _read(request: Request, model: type[M]) -> M:
    content = await _json(request)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise HTTPException(400, explain(error)) from None


async def _read_any(request: Request) -> One | Many:
    content = await _json(request)
    model = Many if isinstance(content, dict) and "candidates" in content else One
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise HTTPException(400, explain(error)) from None


def _program(code: str) -> str:
    """Without the fences that models put around a program."""
    return code if compiles(code) else extract_code(code)


_QUOTED = ("KeyError",)
"""Errors whose text is a value's ``repr`` already."""


def _error(done: Execution) -> str:
    """As ``repr`` of the exception has it, which is what KGoT's executor gives."""
    kind, message = done.row["error_type"], done.row["error_message"] or ""
    if kind is None:
        return str(done.row["verdict"])
    if kind in _QUOTED and _is_literal(message):
        return f"{kind}({message})"
    return f"{kind}({message!r})" if message else f"{kind}()"


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    return True


# ------------------------------------------------------------------------------ errors


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _our_error(_: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, RunError) else 400 if isinstance(error, UserError) else 503
    return JSONResponse({"error": str(error)}, status)
