"""What the agent makes different around a program, and what stays as it is."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox.agents import (
    Sandbox,
    alive,
    as_user,
    calls,
    descendants,
    descriptors,
    expected_output,
    opened,
    stdio,
    unittests,
    until,
    without_namespaces,
)

from hpc_runner.sandbox.agent import MOST_BURNERS, PERTURBATION
from hpc_runner.sandbox.local import base_interpreter

LOOK = """
import json, locale, os, sys, tempfile, time
print(json.dumps({
    "hash": hash("some text"),
    "zone": time.tzname[0],
    "variables": list(os.environ),
    "locale": locale.setlocale(locale.LC_ALL, ""),
    "work": os.getcwd(),
    "temp": tempfile.gettempdir(),
    "interval": round(sys.getswitchinterval(), 6),
    "cpus": len(os.sched_getaffinity(0)),
    "counted": os.cpu_count(),
    "monotonic": time.monotonic(),
    "wall": time.time(),
}))
"""
ORDINARY = "/usr/bin/python3"
"""What an ordinary user can run."""
needs_two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU")


@pytest.fixture(scope="module", params=["namespaces", "none"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    prefix = without_namespaces() if request.param == "none" else []
    with opened(prefix=prefix) as sandbox:
        yield sandbox


def look(sandbox: Sandbox, perturbation: dict[str, Any], **request: Any) -> dict[str, Any]:
    answer = sandbox.run(LOOK, perturbation=perturbation, **request)
    assert answer["verdict"] == "accepted", answer
    seen: dict[str, Any] = json.loads(answer["stdout"]["tail"])
    return {**seen, "applied": answer["perturbation"]}


@pytest.mark.parametrize("fresh", [False, True])
def test_what_is_not_perturbed_is_the_same_everywhere(sandbox: Sandbox, fresh: bool) -> None:
    first, second = (look(sandbox, {}, fresh=fresh) for _ in range(2))
    assert first["applied"] == {}
    assert (first["zone"], first["interval"]) == ("UTC", 0.005)
    assert [name for name in first["variables"] if name != "LC_CTYPE"] == []
    assert first["cpus"] == len(os.sched_getaffinity(0))
    assert first["hash"] == second["hash"]
    with opened() as other:
        assert look(other, {}, fresh=fresh)["hash"] == first["hash"]


@pytest.mark.parametrize("fresh", [False, True])
def test_the_seed_of_hashes(sandbox: Sandbox, fresh: bool) -> None:
    neutral = look(sandbox, {}, fresh=fresh)
    one, other, again = (look(sandbox, {"hash": h}, fresh=fresh) for h in (1, 2, 1))
    assert len({neutral["hash"], one["hash"], other["hash"]}) == 3
    assert one["hash"] == again["hash"]
    assert one["applied"] == {"hash": 1}
    assert look(sandbox, {}, fresh=fresh)["hash"] == neutral["hash"]


def test_an_interpreter_that_a_program_starts_hashes_alike(sandbox: Sandbox) -> None:
    code = (
        "import subprocess, sys\nasked = [sys.executable, '-c', 'print(hash(\"x\"))']\n"
        "print(int(subprocess.run(asked, capture_output=True).stdout) == hash('x'))"
    )
    assert sandbox.run(code, perturbation={"hash": 7})["stdout"]["tail"] == "True\n"


@pytest.mark.parametrize("fresh", [False, True])
def test_each_dimension_alone(sandbox: Sandbox, fresh: bool) -> None:
    neutral = look(sandbox, {}, fresh=fresh)
    east = look(sandbox, {"tz": "EAST-13:45"}, fresh=fresh)
    assert (east["zone"], east["applied"]) == ("EAST", {"tz": "EAST-13:45"})
    placed = look(sandbox, {"temp": "elsewhere"}, fresh=fresh)
    assert placed["work"].endswith("/elsewhere/work") and placed["temp"].endswith("/elsewhere/tmp")
    quick = look(sandbox, {"threads": 100}, fresh=fresh)
    assert quick["interval"] == 0.0001
    for seen in (east, placed, quick):
        assert (seen["hash"], seen["cpus"]) == (neutral["hash"], neutral["cpus"])
        assert abs(seen["wall"] - time.time()) < 60


def test_the_first_locale_that_there_is(sandbox: Sandbox) -> None:
    seen = look(sandbox, {"locale": "xx_XX.UTF-8,C.UTF-8,POSIX"})
    assert seen["locale"] in ("C.UTF-8", "C.utf8")
    assert seen["applied"] == {"locale": "C.UTF-8"}
    nothing = look(sandbox, {"locale": "xx_XX.UTF-8"})
    assert (nothing["locale"], nothing["applied"]) == ("C", {})


def test_what_the_candidate_itself_is_given_is_not_perturbed(sandbox: Sandbox) -> None:
    made = {"tz": "EAST-5", "locale": "C.UTF-8", "temp": "x"}
    given = {"TZ": "OWN+3", "LC_ALL": "C", "TMPDIR": "/elsewhere"}
    seen = look(sandbox, made, env=given)
    assert (seen["zone"], seen["locale"]) == ("OWN", "C")
    assert seen["variables"] == ["TZ", "LC_ALL", "TMPDIR"]
    assert seen["applied"] == {"temp": "x"}  # the working directory


def test_the_order_of_variables(sandbox: Sandbox) -> None:
    given = {f"APP_{n}": "" for n in range(8)}
    orders = [
        tuple(look(sandbox, {"env": n} if n else {}, env=given)["variables"]) for n in range(6)
    ]
    assert orders[0] == tuple(given)
    assert {tuple(sorted(order)) for order in orders} == {orders[0]}
    assert len(set(orders)) > 3
    assert tuple(look(sandbox, {"env": 3}, env=given)["variables"]) == orders[3]


@needs_two_cpus
def test_one_cpu(sandbox: Sandbox) -> None:
    seen = look(sandbox, {"cpus": 1})
    assert (seen["cpus"], seen["applied"]) == (1, {"cpus": 1})
    if sandbox.level == "full":
        assert seen["counted"] == 1
    all_of_them = len(os.sched_getaffinity(0))
    assert look(sandbox, {"cpus": all_of_them})["applied"] == {}
    code = "import os\ntry: os.sched_setaffinity(0, range(%d))\nexcept OSError: print('refused')"
    answer = sandbox.run(code % all_of_them, perturbation={"cpus": 1})
    assert answer["stdout"]["tail"] == "refused\n"


def test_the_monotonic_clock(sandbox: Sandbox) -> None:
    before, day = look(sandbox, {}), 86_400
    seen = look(sandbox, {"clock": day})
    if sandbox.level != "full":
        assert seen["applied"] == {}
        return
    assert seen["applied"] == {"clock": day}
    assert day <= seen["monotonic"] - before["monotonic"] < day + 60
    assert look(sandbox, {})["monotonic"] - before["monotonic"] < 60
    waiting = (
        "import threading, time\nstart = time.monotonic()\ntime.sleep(0.02)\n"
        "threading.Lock().acquire() and threading.Event().wait(0.02)\n"
        "print(0.03 < time.monotonic() - start < 5)"
    )
    assert sandbox.run(waiting, perturbation={"clock": day})["stdout"]["tail"] == "True\n"


ADDRESSES = """
class Thing:
    pass
things = [Thing() for _ in range(12)]
print([things.index(thing) for thing in sorted(things, key=id)])
"""


def test_small_objects_are_scattered(sandbox: Sandbox) -> None:
    orders = {
        sandbox.run(ADDRESSES, perturbation={"memory": seed})["stdout"]["tail"]
        for seed in range(1, 9)
    }
    assert len(orders) > 4


def test_a_load_beside_the_program_ends_with_it() -> None:
    with opened() as sandbox:
        code = "import time\nend = time.monotonic() + 0.3\nwhile time.monotonic() < end: pass"

        def busy() -> list[int]:
            return [p for p in descendants(sandbox.pid) if b"while True" in command(p)]

        cpus = len(os.sched_getaffinity(0))
        identity = sandbox.ask(code=code, perturbation={"load": 1}, beside=cpus)
        until(lambda: len(busy()) == 1)
        answer = sandbox.hear()
        assert (answer["id"], answer["perturbation"]) == (identity, {"load": 1})
        [burner] = busy()
        until(lambda: state(burner) == "T")
        assert sandbox.run(code, perturbation={"load": 1})["verdict"] == "accepted"
        burners = busy()
        assert len(burners) == min(cpus, MOST_BURNERS) and burner in burners
        assert sandbox.run("pass")["perturbation"] == {}
        until(lambda: all(state(pid) == "T" for pid in burners))
        # Its work isn't the candidate's.
        assert sandbox.run("pass", perturbation={"load": 1})["cpu_s"] < 0.2
    assert not any(alive(pid) for pid in burners)


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


EVERYTHING = {
    "hash": 5, "tz": "WEST+11:30", "locale": "C.UTF-8", "temp": "somewhere-else", "env": 3,
    "memory": 9, "threads": 100, "cpus": 1, "clock": 86_400, "load": 1,
}  # fmt: skip


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("judge", ["split", "inline"])
def test_right_programs_stay_right(sandbox: Sandbox, judge: str, fresh: bool) -> None:
    hour = "import time\ndef f(x): return time.localtime(x).tm_hour"
    whole = {"judge": judge, "fresh": fresh, "perturbation": EVERYTHING}
    assert set(EVERYTHING) == set(PERTURBATION)
    tests = unittests("import time\ndef test(self): self.assertEqual(f(0), time.localtime(0)[3])")
    assert sandbox.run(hour, tests, **whole)["verdict"] == "accepted"
    assert sandbox.run(hour, calls(([0], 12)), **whole)["verdict"] == "accepted"
    assert sandbox.run(hour, calls(([0], 13)), **whole)["verdict"] == "wrong_answer"
    places = ["'here'", "'../tmp/there'"]
    if sandbox.level == "full":  # where /tmp and a home are the program's own
        places += ["'/tmp/other'", "os.path.expanduser('~/home')"]
    files = (
        "import tempfile, os, pathlib\ntext = input()\n"
        f"for name in ({', '.join(places)}):\n"
        "    open(name, 'w').write(text)\n    assert open(name).read() == text\n"
        "with tempfile.TemporaryDirectory() as d: (pathlib.Path(d) / 'ż').write_text(text)\n"
        "print(text)"
    )
    answer = sandbox.run(files, stdio(("żółw", "żółw")), **whole)
    assert answer["verdict"] == "accepted", answer
    read = "print(open('/dev/stdin').read())"
    assert sandbox.run(read, stdio(("ü\nü", "ü\nü")), **whole)["verdict"] == "accepted"
    assert sandbox.run("print('ü')", expected_output("ü\n"), **whole)["verdict"] == "accepted"
    assert sandbox.run("print(1/0)", **whole)["error_type"] == "ZeroDivisionError"


def test_the_next_one_is_neutral_again(sandbox: Sandbox) -> None:
    def seen() -> dict[str, Any]:
        found = look(sandbox, {})
        return {name: found[name] for name in found if name not in ("monotonic", "wall")}

    before, clock = seen(), look(sandbox, {})["monotonic"]
    for fresh in (False, True):
        look(sandbox, EVERYTHING, fresh=fresh)
        assert seen() == before
    assert look(sandbox, {})["monotonic"] - clock < 3600


def test_tests_and_candidate_agree_on_a_zone_of_its_own(sandbox: Sandbox) -> None:
    code = "import time\ndef f(x): return time.localtime(x).tm_hour"
    tests = unittests("import time\ndef test(self): self.assertEqual(f(0), time.localtime(0)[3])")
    for env in ({"TZ": "OWN+3"}, {"OTHER": "x"}, {}):
        for judge in ("split", "inline"):
            made = {"env": env, "judge": judge, "perturbation": {"tz": "EAST-5"}}
            assert sandbox.run(code, tests, **made)["verdict"] == "accepted"
            hour = 21 if "TZ" in env else 5
            assert sandbox.run(code, calls(([0], hour)), **made)["verdict"] == "accepted"


def test_nothing_is_left_behind_for_the_next(sandbox: Sandbox) -> None:
    names = "import os\nprint(sorted(os.listdir('..')), os.getcwd())"
    before = sandbox.run(names)["stdout"]["tail"]
    sandbox.run("open('x', 'w')", perturbation=EVERYTHING)
    assert sandbox.run(names)["stdout"]["tail"] == before


@pytest.mark.parametrize(
    "bad",
    [
        {"hash": -1}, {"hash": 1 << 32}, {"hash": "1"}, {"hash": True}, {"hash": 1.0},
        {"tz": ":/etc/passwd"}, {"tz": "Europe/Zurich"}, {"tz": "A-1"}, {"tz": "EAST-1\n"},
        {"temp": "../x"}, {"temp": "a/b"}, {"temp": "."}, {"temp": "a" * 41}, {"temp": "a\0"},
        {"locale": "../../x"}, {"locale": ","}, {"threads": 10**7}, {"cpus": -1}, {"load": 17},
        {"clock": 1 << 40}, {"moon": 1}, {"moon": None}, [], "neutral", 3,
    ],
)  # fmt: skip
def test_what_is_no_perturbation_is_refused(sandbox: Sandbox, bad: object) -> None:
    if not bad:
        bad = [1]
    identity = sandbox.ask(code="pass", perturbation=bad)
    answer = sandbox.hear()
    assert (answer["op"], answer["id"]) == ("refused", identity)
    assert "perturbation" in answer["reason"]
    assert sandbox.run("pass")["verdict"] == "accepted"


# ------------------------------------------------------------------- seeds and slots


def test_slots_of_several_seeds_at_once() -> None:
    with opened(slots=3) as sandbox:
        requests = [
            {"code": "print(hash('x'))", "perturbation": {"hash": seed} if seed else {}}
            for seed in (0, 1, 2, 3, 0, 1, 2, 3, 3, 2, 1, 0) * 2
        ]
        answers = sandbox.run_all(requests)
        assert {answer["verdict"] for answer in answers} == {"accepted"}
        printed = {(str(a["perturbation"]), a["stdout"]["tail"]) for a in answers}
        assert len(printed) == len({text for _, text in printed}) == 4


def test_an_idle_slot_that_has_the_seed_is_taken() -> None:
    """Two kinds of requests, one after the other, in two slots: each starts its zygote once."""
    with opened(slots=2) as sandbox:
        pids = set()
        for turn in range(6):
            seed = {"hash": 1} if turn % 2 else {}
            assert sandbox.run("pass", perturbation=seed)["verdict"] == "accepted"
            pids.add(tuple(sorted(descendants(sandbox.pid))))
        assert len(pids) == 2  # before and after the one that started anew


def test_many_changes_of_the_seed_leave_nothing() -> None:
    with opened() as sandbox:
        sandbox.run("pass", perturbation={"hash": 1})
        before = descriptors(sandbox.pid), len(descendants(sandbox.pid))
        for seed in range(2, 12):
            assert sandbox.run("pass", perturbation={"hash": seed})["verdict"] == "accepted"
        assert (descriptors(sandbox.pid), len(descendants(sandbox.pid))) == before


def test_other_slots_go_on_while_one_starts_anew() -> None:
    with opened(slots=2) as sandbox:
        loop = "import time\nstart = time.monotonic()\nwhile time.monotonic() < start + 0.5: pass"
        long = sandbox.ask(code=loop)
        short = [sandbox.ask(code="pass", perturbation={"hash": n}) for n in (1, 2)]
        answers = {answer["id"]: answer for answer in sandbox.hear_all(3)}
        assert {answer["verdict"] for answer in answers.values()} == {"accepted"}
        assert set(answers) == {long, *short}


def test_a_load_that_somebody_has_ended_is_no_trouble() -> None:
    with opened(prefix=without_namespaces()) as sandbox:
        for _ in range(3):
            answer = sandbox.run("pass", perturbation={"load": 1})
            assert answer["verdict"] == "accepted"
            for pid in descendants(sandbox.pid):
                if b"while True" in command(pid):
                    os.kill(pid, signal.SIGKILL)


def test_an_interpreter_that_is_gone_leaves_out_what_needs_it(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.symlink_to(base_interpreter())
    with opened(python=str(python)) as sandbox:
        assert look(sandbox, {"hash": 1})["applied"] == {"hash": 1}
        python.unlink()
        seen = look(sandbox, {"hash": 2, "load": 1, "threads": 100})
        assert seen["applied"] == {"threads": 100}
        assert look(sandbox, {"hash": 3})["applied"] == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("namespaces", [True, False])
def test_as_an_ordinary_user(namespaces: bool) -> None:
    if not Path(ORDINARY).exists():
        pytest.skip(f"no {ORDINARY}, which an ordinary user could run")
    prefix = [] if namespaces else [ORDINARY, *without_namespaces()[1:]]
    with as_user(python=ORDINARY, prefix=prefix, slots=2) as sandbox:
        neutral = look(sandbox, {})
        seen = look(sandbox, EVERYTHING)
        lacking = set() if sandbox.level == "full" else {"clock"}
        if neutral["cpus"] < 2:
            lacking.add("cpus")
        assert set(EVERYTHING) - set(seen["applied"]) == lacking
        assert (seen["zone"], seen["interval"]) == ("WEST", 0.0001)
        assert seen["hash"] != neutral["hash"]
        assert look(sandbox, {})["hash"] == neutral["hash"]
