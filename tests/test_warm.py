"""A pool of warm agents judges as a run does, and outlives its agents."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hpc_runner.config import RunConfig
from hpc_runner.errors import ConfigError, DependencyError, HpcRunnerError, RuntimeFailure
from hpc_runner.executions import Vote
from hpc_runner.model import Calls, Candidate, Case, Limits
from hpc_runner.runinfo import EnvironmentInfo
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.dispatch import DEATHS, Dispatcher
from hpc_runner.warm import WarmPool

HERE: dict[str, Any] = {"runtime": "local", "require_isolation": "limits", "slots": 2}


@pytest.fixture(scope="module")
def pool() -> Iterator[WarmPool]:
    with WarmPool(**HERE) as made:
        yield made


def function(add: int, task: str = "t") -> Candidate:
    """Right when ``add`` is 1."""
    tests = Calls(entry_point="f", cases=(Case(args=(1,), expected=2),))
    return Candidate(task_id=task, code=f"def f(x):\n    return x + {add}\n", tests=tests)


def script(code: str, **fields: Any) -> Candidate:
    return Candidate(task_id="script", code=code, **fields)


SLOW = "import time\ntime.sleep(0.4)\nprint('done')"


@pytest.fixture
def others(pool: WarmPool) -> list[int]:
    """The agents that are there before a test makes its own."""
    pool.execute_sync(script("pass"))
    return agents()


def agents(besides: Sequence[int] = ()) -> list[int]:
    """Of this process, alive."""
    children = Path(f"/proc/{os.getpid()}/task")
    found = []
    for thread in children.iterdir():
        for pid in (thread / "children").read_text().split():
            if b"agent.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return [pid for pid in found if pid not in besides]


# ----------------------------------------------------------------------- one execution


def test_an_execution_has_its_row_and_all_that_was_printed(pool: WarmPool) -> None:
    done = pool.execute_sync(script("import sys\nprint('é' * 9000)\nprint('no', file=sys.stderr)"))
    assert done.verdict == "accepted"
    assert done.stdout == "é" * 9000 + "\n" and done.stderr == "no\n"
    assert done.row["stdout_bytes"] == 18001 and done.row["runtime"] == "local"
    assert pool.execute_sync(script("1/0")).row["error_type"] == "ZeroDivisionError"


def test_a_round_perturbs_what_it_does_in_a_run(pool: WarmPool) -> None:
    zone = script("import time\nprint(time.tzname[0])")
    printed = [pool.execute_sync(zone, round_).stdout for round_ in (0, 1, 1)]
    assert printed[0] == "UTC\n" and printed[1] == printed[2] != printed[0]


def test_it_is_used_from_event_loops_and_threads_at_once(pool: WarmPool) -> None:
    async def many(first: int) -> list[str]:
        numbers = range(first, first + 12)
        found = await asyncio.gather(*[pool.execute(script(f"print({n})")) for n in numbers])
        return [execution.stdout for execution in found]

    answers: dict[int, list[str]] = {}
    threads = [
        threading.Thread(target=lambda n=n: answers.update({n: asyncio.run(many(n))}))
        for n in (0, 100, 200)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: [f"{i}\n" for i in range(n, n + 12)] for n in (0, 100, 200)}


def test_what_the_policy_refuses_is_not_run(others: list[int]) -> None:
    with WarmPool(**HERE, policy={"mode": "refuse"}) as strict:
        done = strict.execute_sync(script("import os\nos._exit(0)"))
        assert done.verdict == "policy_violation" and done.outputs == []
        assert strict.vote_sync(script("import os\nos._exit(0)")).verdict == "policy_violation"
        assert agents(others) == []


def test_dependencies_that_were_not_prepared_are_an_error_not_a_verdict() -> None:
    with WarmPool(**HERE, install=False) as closed:
        with pytest.raises(DependencyError, match="not installed beforehand"):
            closed.execute_sync(script("import numpy", dependencies=("numpy",)))
        vote = closed.vote_sync(script("import numpy", dependencies=("numpy",)))
        assert vote.verdict is None and not vote.accepted and "beforehand" in vote.trouble[0]


def test_limits_of_the_pool_replace_those_of_the_candidate() -> None:
    with WarmPool(**HERE, limits={"wall_s": 0.3}) as short:
        assert short.execute_sync(script("while True: pass")).verdict == "time_limit"


def test_more_room_than_the_agent_has_starts_another_one(others: list[int]) -> None:
    with WarmPool(**HERE) as pool:
        pool.execute_sync(script("pass"))
        first = agents(others)
        pool.execute_sync(script("pass", limits=Limits(memory_bytes=300 << 20)))
        second = agents(others)
        pool.execute_sync(script("pass"))
        assert first != second == agents(others)


def test_an_environment_that_there_is_not(pool: WarmPool) -> None:
    with pytest.raises(ConfigError, match="'py2' in this pool; there are py3"):
        pool.execute_sync(script("pass"), environment="py2")
    with pytest.raises(ConfigError, match="slots"):
        WarmPool(slots=0)


# ------------------------------------------------------------------------------- votes

CORPUS = [
    ("right", "def f(x): return x + 1"),
    ("wrong", "def f(x): return x - 1"),
    ("broken", "def f(x: return"),
    ("zone", "import time\ndef f(x): return 2 if time.tzname[0] == 'UTC' else 0"),
    ("exits", "import sys\nsys.exit(0)"),
]


def test_votes_are_those_of_a_run(tmp_path: Path, checkout: Path) -> None:
    tests = Calls(entry_point="f", cases=(Case(args=(1,), expected=2),))
    made = [Candidate(task_id=name, code=code, tests=tests) for name, code in CORPUS]
    corpus = tmp_path / "corpus.jsonl"
    rows = [
        {"task_id": one.task_id, "code": one.code, "tests": one.tests.model_dump(mode="json")}
        for one in made
    ]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["--runtime", "local", "--require-isolation", "limits", "--rounds", "3"]
    subprocess.run(
        [sys.executable, "-m", "hpc_runner", "run", corpus, "--out", tmp_path / "r", *words],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        check=True,
        capture_output=True,
    )
    expected = {
        row["task_id"]: row for row in pq.read_table(tmp_path / "r/votes.parquet").to_pylist()
    }
    with WarmPool(**HERE) as pool:
        for vote in pool.votes(made):
            run = expected[vote.candidate.task_id]
            assert vote.candidate.candidate_id == run["candidate_id"]
            assert (vote.verdict, vote.accepted, vote.cause, vote.reliability) == (
                run["verdict"], run["accepted"], run["cause"], run["reliability"]
            ), run["task_id"]  # fmt: skip
            assert vote.outcome.agreement == pytest.approx(run["agreement"])
            assert vote.outcome.judged == run["judged"]
            assert vote.validation_score == pytest.approx(run["validation_score"])
            assert vote.confidence_level == pytest.approx(run["confidence_level"])


def test_votes_come_in_order_and_no_more_is_taken_than_is_asked_for(pool: WarmPool) -> None:
    taken = 0

    def candidates() -> Iterator[Candidate]:
        nonlocal taken
        while True:
            taken += 1
            yield function(taken % 2, task=str(taken))

    votes = pool.votes(candidates(), ahead=6)
    for expected in range(1, 10):
        vote = next(votes)
        assert vote.candidate.task_id == str(expected) and vote.accepted == bool(expected % 2)
        assert taken == expected + 5
    votes.close()  # type: ignore[attr-defined]
    assert taken == 14


# ---------------------------------------------------------------------------- what dies


def test_the_death_of_an_agent_loses_and_mixes_up_nothing(pool: WarmPool) -> None:
    pool.execute_sync(script("pass"))
    killed = 0
    for _ in range(3):
        running = [
            pool.submit(script(f"import time\ntime.sleep(0.2)\nprint({n})")) for n in "12345"
        ]
        running[0].result(60)
        for pid in agents():
            os.kill(pid, signal.SIGKILL)
            killed += 1
        assert [future.result(60).stdout for future in running] == [f"{n}\n" for n in "12345"]
    assert killed >= 3


def test_closing_fails_what_is_not_done(others: list[int]) -> None:
    pool = WarmPool(**HERE)
    running = [pool.submit(script(SLOW)) for _ in range(9)]
    running[0].result()
    pool.close()
    pool.close()
    assert agents(others) == []
    failed = [future for future in running if future.exception() is not None]
    assert failed and all(isinstance(future.exception(), RuntimeFailure) for future in failed)
    with pytest.raises(RuntimeFailure, match="closed"):
        pool.execute_sync(script("pass"))
    with pytest.raises(RuntimeFailure, match="closed"):
        pool.vote_sync(script("pass"))


def test_what_waits_can_be_cancelled(pool: WarmPool) -> None:
    running = [pool.submit(script(SLOW)) for _ in range(9)]
    assert running[8].cancel()
    with pytest.raises(CancelledError):
        running[8].result()
    assert all(future.result().stdout == "done\n" for future in running[:8])


def _in_child(pool: WarmPool, answer: Any) -> None:
    try:
        pool.execute_sync(script("pass"))
    except RuntimeFailure as error:
        answer.send(str(error))


def test_a_process_that_is_forked_off_is_told(pool: WarmPool) -> None:
    pool.open()
    ours, theirs = multiprocessing.Pipe()
    pid = os.fork()
    if not pid:
        try:
            _in_child(pool, theirs)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert ours.poll(5) and "another process" in ours.recv()


def test_a_pool_that_is_forgotten_ends_its_agents(others: list[int]) -> None:
    pool = WarmPool(**HERE)
    pool.execute_sync(script("pass"))
    assert agents(others)
    del pool
    end = time.monotonic() + 10
    while agents(others) and time.monotonic() < end:
        time.sleep(0.02)
    assert agents(others) == []


# --------------------------------------------------- agents that don't do what they should

HELLO = (
    "import json, sys, os\n"
    "def say(**words): print(json.dumps(words), flush=True)\n"
    "say(op='hello', protocol=1, agent='2', python='3.11.1', kernel='k', host='h', slots=2,"
    " isolation='limits', mechanisms=[], missing={}, speed=1.0)\n"
    "for line in sys.stdin:\n    request = json.loads(line)\n"
)


def fake(body: str, started: list[int]) -> Any:
    def start(environment: EnvironmentInfo, slots: int, candidates: Sequence[Candidate]) -> Agent:
        started.append(slots)
        return Agent([sys.executable, "-c", HELLO + body], {})

    return start


def dispatcher(pool: WarmPool, body: str, started: list[int]) -> Dispatcher:
    return Dispatcher(pool.open(), 2, fake(body, started))


REQUEST = {"op": "run", "perturbation": {}}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("    os._exit(3)", r"exit status 3"),
        ("    print('garbage', flush=True)", r"no JSON"),
        ("    say(op='result', id=999, verdict='accepted')", r"not asked"),
        ("    say(op='refused', id=request['id'], reason='because')", r"refused .* because"),
        (
            "    say(op='result', id=request['id'], verdict='internal_error',"
            " error_type='E', error_message='m')",
            r"E: m",
        ),
    ],
)
def test_trouble_is_an_exception_after_some_tries(pool: WarmPool, body: str, told: str) -> None:
    started: list[int] = []
    agents = dispatcher(pool, body, started)
    try:
        for _ in range(2):  # and the pool goes on after it
            future = agents.submit(script("pass"), 0, REQUEST)
            with pytest.raises(RuntimeFailure, match=told):
                future.result(60)
    finally:
        agents.close()
    assert len(started) <= 2 * (pool.config.infrastructure_retries + 1)


def test_agents_that_never_start_fail_what_waits_for_them(pool: WarmPool) -> None:
    tries: list[int] = []

    def start(environment: EnvironmentInfo, slots: int, candidates: Sequence[Candidate]) -> Agent:
        tries.append(slots)
        raise RuntimeFailure("no engine")

    agents = Dispatcher(pool.open(), 2, start)
    futures = [agents.submit(script("pass"), 0, REQUEST) for _ in range(3)]
    for future in futures:
        with pytest.raises(HpcRunnerError, match=f"{DEATHS} agents of py3.* no engine"):
            future.result(60)
    agents.close()
    assert len(tries) <= 3 * DEATHS


def test_one_that_kills_agents_does_no_harm_to_others(pool: WarmPool) -> None:
    body = (
        "    if request['code'] == 'kill': os._exit(3)\n"
        "    say(op='result', id=request['id'], verdict='accepted', code=request['code'])"
    )
    agents = dispatcher(pool, body, [])
    codes = ["a", "kill", *"bcdefgh", "kill", *"ijk"]
    futures = [agents.submit(script(c), 0, {**REQUEST, "code": c}) for c in codes]
    for code, future in zip(codes, futures, strict=True):
        if code == "kill":
            with pytest.raises(RuntimeFailure, match="exit status 3"):
                future.result(60)
        else:
            assert future.result(60).answer["code"] == code
    agents.close()


def test_a_config_and_options_are_not_mixed() -> None:
    with pytest.raises(ConfigError, match="not both"):
        WarmPool(RunConfig.parse({"corpus": ()}), slots=2)


def test_a_vote_has_nothing_to_say_without_a_sandbox(pool: WarmPool) -> None:
    vote: Vote = pool.vote_sync(function(1))
    assert vote.accepted and [e.row["round"] for e in vote.executions] == [0, 1, 2]
