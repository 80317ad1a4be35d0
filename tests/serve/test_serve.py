"""`hpc-runner serve` over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpc_runner.config import RunConfig
from hpc_runner.pipeline.plan import plan
from hpc_runner.rundir import RunDir
from hpc_runner.serve.guard import is_loopback
from hpc_runner.serve.messages import openapi

Start = Callable[..., Any]


def post(service: Any, path: str, content: Any, **headers: str) -> httpx.Response:
    return httpx.post(service.url + path, json=content, headers=headers, timeout=60)


# ------------------------------------------------------- as KGoT's tool uses its executor


class PythonCodeTool:
    """After KGoT's own tool: the same request, the same fields of the answer."""

    def __init__(self, python_executor_uri: str) -> None:
        self.url = python_executor_uri

    def run(self, code: str, required_modules: list[str] | None = None) -> Any:
        response = httpx.post(
            self.url, json={"code": code, "required_modules": required_modules}, timeout=60
        )
        return response.json() if response.is_success else {"error": response.json()["error"]}


def kgot_executor(code: str) -> dict[str, str]:
    """What KGoT's executor answers: what is printed, or the exception's repr."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(code, {"__name__": "__main__"})  # noqa: S102 - our own snippets
    except Exception as error:
        return {"error": repr(error)}
    return {"output": printed.getvalue()}


SNIPPETS = [
    "print('Hello, World!')",
    "print(sum(range(101)))",
    "for i in range(3):\n    print(i, end=',')",
    "print({'a': 1, 'b': [1, 2]})",
    "def f(n):\n    return 1 if n < 2 else n * f(n - 1)\nprint(f(20))",
    "import math\nprint(round(math.pi, 5))",
    "import statistics as s\nprint(s.mean([1, 2, 3, 4]), s.stdev([1, 2, 3, 4]))",
    "from datetime import date\nprint((date(2024, 3, 1) - date(2024, 2, 1)).days)",
    "import json\nprint(json.dumps({'x': [1, None, True]}))",
    "import re\nprint(re.findall(r'\\d+', 'a1b22c333'))",
    "print('é', '日本', '🙂')",
    "print()",
    "x = 5",
    "print('a\\nb\\n')",
    "print(0.1 + 0.2, 1e300 * 10, 7 // 2, -7 % 3)",
    "class A:\n    def __repr__(self):\n        return 'A!'\nprint(A())",
    "from collections import Counter\nprint(Counter('hello').most_common(1))",
    "print(*sorted({'b', 'a'}), sep='\\n')",
    "import itertools\nprint(list(itertools.permutations('abc', 2))[:2])",
    "from fractions import Fraction\nprint(Fraction(1, 3) + Fraction(1, 6))",
    "import sys\nprint('err', file=sys.stderr)\nprint('out')",
    "if __name__ == '__main__':\n    print('main')",
    "print('x' * 5000)",
    "1 / 0",
    "print('before')\nundefined_name",
    "{}['key']",
    "[][3]",
    "int('abc')",
    "raise ValueError('it is \"bad\"')",
    "assert 1 == 2",
    "raise RuntimeError",
    "import nothing_of_that_name",
]  # fmt: skip


def test_a_client_of_kgot_gets_the_same_answers(service: Any) -> None:
    tool = PythonCodeTool(service.url + "/run")
    assert len(SNIPPETS) >= 30
    for code in SNIPPETS:
        assert tool.run(code, ["json", "math"]) == kgot_executor(code), code


def test_it_answers_where_that_one_hangs_or_runs_on(service: Any) -> None:
    tool = PythonCodeTool(service.url + "/run")
    spins = post(service, "/run", {"code": "while True: pass"})
    assert (spins.status_code, spins.json()) == (408, {"error": "Code execution timed out"})
    assert tool.run("import sys\nprint(1)\nsys.exit(0)") == {"output": "1\n"}
    assert "error" in tool.run("import os\nos.kill(os.getppid(), 9)\nos.abort()")
    assert tool.run("x = bytearray(1 << 30)")["error"].startswith(("MemoryError", "memory_limit"))
    assert tool.run("print('x' * (9 << 20))")["error"].startswith(("output_limit", "Output"))
    assert "error" in tool.run("open('/etc/shadow')")
    assert tool.run("print('still there')") == {"output": "still there\n"}


def test_fences_around_a_program_are_taken_away(service: Any) -> None:
    assert post(service, "/run", {"code": "```python\nprint(1)\n```"}).json() == {"output": "1\n"}


def test_nothing_is_installed_for_a_request(service: Any) -> None:
    for module in ("numpy", "numpy==1.26", "git+https://x.example/y", "../evil", ""):
        refused = post(service, "/run", {"code": "print(1)", "required_modules": [module]})
        assert refused.status_code == 400 and "is not offered here" in refused.json()["error"]


# ------------------------------------------------------------------------------ votes


def adds(n: int, task: str = "") -> dict[str, Any]:
    cases = [{"args": [1], "expected": 2}]
    tests = {"kind": "calls", "entry_point": "f", "cases": cases}
    return {"task_id": task, "code": f"def f(x):\n    return x + {n}", "tests": tests}


def test_one_vote_and_many_in_their_order(service: Any) -> None:
    one = post(service, "/v1/validate", adds(1, "t")).json()
    assert (one["verdict"], one["accepted"], one["judged"], one["task_id"]) == (
        "accepted", True, 3, "t",
    )  # fmt: skip
    asked = [adds(n % 2, str(n)) for n in range(9)]
    answer = post(service, "/v1/validate", {"candidates": asked})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["index"] for line in lines] == list(range(9))
    assert [line["task_id"] for line in lines] == [str(n) for n in range(9)]
    assert [line["accepted"] for line in lines] == [bool(n % 2) for n in range(9)]


def test_votes_come_while_others_are_still_judged(service: Any) -> None:
    slow = {"code": "import time\ntime.sleep(0.3)"}
    asked = {"candidates": [adds(1), slow, slow, slow]}
    with httpx.stream("POST", service.url + "/v1/validate", json=asked, timeout=60) as answer:
        times = [time.monotonic() for _ in answer.iter_lines()]
    assert len(times) == 4 and times[-1] - times[0] > 0.2


# --------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("path", "content", "status", "told"),
    [
        ("/run", {}, 400, "No code provided"),
        ("/run", {"code": ""}, 400, "No code provided"),
        ("/run", {"code": 1}, 400, "code: Input should be a valid string"),
        ("/run", [1], 400, "valid dictionary"),
        ("/v1/validate", {"candidates": []}, 400, "candidates: Tuple should have at least 1"),
        ("/v1/validate", {"codes": "x"}, 400, "code: Field required"),
        ("/v1/validate", {"code": "x", "language": "klingon"}, 400, "'klingon' is not known"),
        ("/v1/validate", {"code": "x", "language": "ruby"}, 400, "no toolchain for ruby"),
        ("/v1/validate", {"code": "x", "limits": {"wall_s": 700}}, 400, "wall_s: at most 600"),
        ("/v1/validate", {"code": "x", "limits": {"memory_bytes": 1 << 40}}, 400, "memory_bytes"),
        ("/v1/validate", {"code": "x", "dependencies": ["numpy"]}, 400, "not offered"),
        ("/v1/validate", {"candidates": [{"code": "x"}, {"code": "x", "limits": {"wall_s": 700}}]},
         400, "candidate 1: limits.wall_s"),
        ("/v1/nothing", {}, 404, "Not Found"),
        ("/healthz", {}, 405, "Method Not Allowed"),
        ("/run", {"code": "#" * 300_000}, 413, "204,800 bytes at most"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    service: Any, path: str, content: Any, status: int, told: str
) -> None:
    answer = post(service, path, content)
    assert answer.status_code == status and told in answer.json()["error"]


def test_only_json_is_read_and_only_by_a_loopback_name(service: Any) -> None:
    url = service.url + "/run"
    form = httpx.post(
        url, content=b'{"code": "print(1)"}', headers={"content-type": "text/plain"}, timeout=60
    )
    assert form.status_code == 415
    broken = httpx.post(url, content=b"{", headers={"content-type": "application/json"}, timeout=60)
    assert broken.status_code == 400 and "not JSON" in broken.json()["error"]
    deep = httpx.post(
        url, content=b"[" * 90_000, headers={"content-type": "application/json"}, timeout=60
    )
    assert deep.status_code == 400
    rebound = post(service, "/run", {"code": "print(1)"}, host="evil.example:80")
    assert rebound.status_code == 421
    assert post(service, "/run", {"code": "print(1)"}, host="localhost").status_code == 200


@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    path=st.sampled_from(["/run", "/v1/validate"]),
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["code", "required_modules", "candidates", "tests", "limits", "kind", "env",
                     "wall_s", "dependencies", "language", "task_id"]
                ) | st.text(max_size=3),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    ),
)  # fmt: skip
def test_every_answer_is_one_that_is_documented(service: Any, path: str, body: Any) -> None:
    content = json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    answer = httpx.post(service.url + path, content=content, headers=headers, timeout=60)
    told = openapi(False)["paths"][path]["post"]["responses"]
    assert str(answer.status_code) in told, answer.text
    if answer.status_code != 200:
        assert set(answer.json()) == {"error"}
    elif path == "/run":
        assert set(answer.json()) == {"output"}


# ------------------------------------------------------------------- runs, and itself


def test_runs_are_shown(service: Any, start: Start, tmp_path: Path, checkout: Path) -> None:
    runs = tmp_path / "runs"
    corpus = tmp_path / "c.jsonl"
    corpus.write_text(json.dumps({"task_id": "t", "code": "print(1)"}) + "\n")
    config = {"corpus": (str(corpus),), "runtime": "local", "require_isolation": "limits"}
    plan(RunDir(runs / "one"), RunConfig.parse(config), progress=lambda _: None)
    (runs / "none").mkdir()
    other = start("--runs", str(runs))
    assert httpx.get(other.url + "/v1/runs", timeout=60).json() == {"runs": [{"name": "one"}]}
    status = httpx.get(other.url + "/v1/runs/one", timeout=60).json()
    assert (status["name"], status["phase"], status["executions"]) == ("one", "stopped", 3)
    summary = httpx.get(other.url + "/v1/runs/one/summary", timeout=60).json()
    assert summary["samples"] == 1 and summary["complete"] is False
    for name in ("none", "..", "%2e%2e", "two", ".hidden", "a%2Fb"):
        assert httpx.get(f"{other.url}/v1/runs/{name}", timeout=60).status_code in (404, 200)
        assert "error" in httpx.get(f"{other.url}/v1/runs/{name}/summary", timeout=60).json()
    assert httpx.get(service.url + "/v1/runs", timeout=60).json() == {"runs": []}


def test_health_document_and_metrics(service: Any) -> None:
    assert httpx.get(service.url + "/healthz", timeout=60).json()["status"] == "ok"
    document = httpx.get(service.url + "/openapi.json", timeout=60).json()
    assert document["openapi"].startswith("3.1")
    text = json.dumps(document)
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in document["components"]["schemas"]
    before = _counts(service)
    post(service, "/run", {"code": "print(1)"})
    post(service, "/run", {"code": "1 / 0"})
    after = _counts(service)

    def more(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert more('hpc_runner_requests_total{path="/run",method="POST",status="200"}') == 1
    assert more('hpc_runner_requests_total{path="/run",method="POST",status="400"}') == 1
    assert more('hpc_runner_verdicts_total{verdict="runtime_error"}') == 1
    assert more('hpc_runner_request_seconds_bucket{path="/run",le="+Inf"}') == 2


def _counts(service: Any) -> dict[str, float]:
    answer = httpx.get(service.url + "/metrics", timeout=60)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


# ------------------------------------------------------------------- tokens and limits


def test_a_token_is_required_where_there_is_one(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    secured = start("--token-file", str(path), "--host", "0.0.0.0", "--max-requests", "50")  # noqa: S104
    url = secured.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    content = {"code": "print(1)"}
    for given_token in (None, "Bearer wrong", "Basic s3cret", "Bearer s3cret2", "Bearer"):
        headers = {} if given_token is None else {"authorization": given_token}
        refused = httpx.post(url + "/run", json=content, headers=headers, timeout=60)
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
    right = {"authorization": "Bearer s3cret", "host": "my.host"}
    assert httpx.post(url + "/run", json=content, headers=right, timeout=60).json() == {
        "output": "1\n"
    }
    assert httpx.get(url + "/healthz", timeout=60).status_code == 200
    assert httpx.get(url + "/metrics", timeout=60).status_code == 401
    assert httpx.get(url + "/openapi.json", headers=right, timeout=60).json()["security"] == [
        {"token": []}
    ]
    assert secured.end() == 0


def test_who_asks_too_often_is_told_when_to_come_back(start: Start) -> None:
    paced = start("--requests-per-minute", "60")
    answers = [httpx.get(paced.url + "/v1/runs", timeout=60) for _ in range(12)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 1 <= len(refused) <= 6 and int(refused[-1].headers["retry-after"]) >= 1
    assert httpx.get(paced.url + "/healthz", timeout=60).status_code == 200


def test_a_client_that_sends_nothing_more_holds_nothing_up(service: Any) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as half:
        half.sendall(b"POST /run HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
        assert post(service, "/run", {"code": "print(1)"}).status_code == 200


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0"], "not a loopback address"),  # noqa: S104
        (["--host", "host.invalid"], "not a loopback address"),
        (["--token-file", "/nowhere/token"], "/nowhere/token: can't be read"),
        (["--slots", "0"], "slots: Input should be greater"),
        (["--module", "git+https://x/y"], "not the name of a package"),
        (["--module", "nothing-such", "--wheelhouse", "."], "--module: nothing-such"),
        (["--environments", "py29"], "py29"),
    ],
)
def test_what_can_not_be_served_is_a_mistake_that_is_named(
    checkout: Path, tmp_path: Path, options: list[str], told: str
) -> None:
    command = [sys.executable, "-m", "hpc_runner", "serve", "--port", "0", "--runtime", "local"]
    done = subprocess.run(
        [*command, *options],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(checkout), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2 and told in done.stderr, done.stderr


def test_a_port_that_is_taken(checkout: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "hpc_runner", "serve", "--port", port, "--runtime", "local"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2 and f"--port {port}: can't be listened on" in done.stderr


def test_which_addresses_are_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.evil", "")))  # noqa: S104


# ----------------------------------------------------------------------- many, and the end


def test_two_hundred_clients_lose_and_mix_up_nothing(service: Any) -> None:
    async def client(http: httpx.AsyncClient, n: int) -> None:
        answer = await http.post("/run", json={"code": f"print({n} * 7)"})
        assert answer.json() == {"output": f"{n * 7}\n"}

    async def all_of_them() -> None:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=service.url, timeout=120, limits=limits) as http:
            await asyncio.gather(*[client(http, n) for n in range(200)])

    asyncio.run(all_of_them())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_under_way_is_answered_before_the_end(start: Start, number: int) -> None:
    ending = start()
    answers: list[Any] = []
    code = "import time\ntime.sleep(1)\nprint('done')"
    thread = threading.Thread(
        target=lambda: answers.append(post(ending, "/run", {"code": code}).json())
    )
    thread.start()
    while (
        '_executions{state="running"} 1' not in httpx.get(ending.url + "/metrics", timeout=60).text
    ):
        assert thread.is_alive()
    assert ending.end(number) == 0
    thread.join()
    assert answers == [{"output": "done\n"}]
    with pytest.raises(httpx.ConnectError):
        httpx.get(ending.url + "/healthz", timeout=60)


def test_the_logs_tell_requests_and_not_what_was_in_them(start: Start, tmp_path: Path) -> None:
    service = start("--log-dir", str(tmp_path))
    httpx.post(service.url + "/run", json={"code": "print('secret-0123')"}, timeout=60)
    httpx.post(service.url + "/run", json={}, headers={"host": "evil.example"}, timeout=60)
    service.end()
    requests = [json.loads(line) for line in (tmp_path / "http.log").read_text().splitlines()]
    assert [one["message"] for one in requests] == ["POST /run 200", "POST /run 421"]
    assert requests[0]["client"] == "127.0.0.1" and requests[0]["seconds"] > 0
    text = (tmp_path / "combined.log").read_text()
    assert "refused with 421" in text and "secret-0123" not in text
