"""How fast is sent: never more than said, hardly less, and less when the provider has enough."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.refine.limiter import CUT, Adaptive, Limiter, Pace

times = st.lists(st.floats(0, 3, allow_subnormal=False), min_size=1, max_size=200)


def sent(pace: Pace, gaps: list[float], amounts: list[float] | None = None) -> list[float]:
    """Times at which something is taken when it is wanted after each of ``gaps``."""
    now, found = 0.0, []
    for index, gap in enumerate(gaps):
        now += gap
        while (wait_s := pace.wait_s(now)) > 0:
            now += wait_s + 1e-9
        pace.take(now, 1.0 if amounts is None else amounts[index])
        found.append(now)
    return found


@given(st.integers(1, 300), times)
def test_in_no_minute_are_there_more_than_said(per_minute: int, gaps: list[float]) -> None:
    found = sent(Pace(per_minute), gaps)
    for index, start in enumerate(found):
        assert sum(start <= later < start + 60 for later in found[index:]) <= per_minute


@given(st.integers(1, 5000))
def test_who_always_wants_gets_nearly_all(per_minute: int) -> None:
    found = sent(Pace(per_minute), [0.0] * (2 * per_minute + 1))
    assert len(found) / (found[-1] + 60 / per_minute) * 60 >= 0.95 * per_minute


@given(st.lists(st.floats(1, 5000), min_size=2, max_size=100))
def test_tokens_are_counted_and_a_large_question_is_waited_for_afterwards(
    amounts: list[float],
) -> None:
    found = sent(Pace(1000), [0.0] * len(amounts), amounts)
    assert found[-1] >= (sum(amounts[:-1]) - 10) * 60 / 1000
    assert found[-1] <= sum(amounts[:-1]) * 61 / 1000 + 1


def test_no_limit_waits_for_nothing() -> None:
    assert sent(Adaptive(None), [0.0] * 1000)[-1] == 0.0


def test_too_much_cuts_the_rate_once_for_all_that_was_under_way() -> None:
    pace = Adaptive(600)
    sent(pace, [0.0] * 100)
    before = pace.rate
    for _ in range(5):
        pace.throttled(now=10.0, sent_at=9.0, retry_after_s=2.0)
    assert pace.rate == pytest.approx(before * CUT, rel=0.05)
    assert pace.wait_s(10.0) == pytest.approx(2.0, abs=0.2)


def test_the_rate_climbs_back_with_answers() -> None:
    pace = Adaptive(600)
    sent(pace, [0.0] * 100)
    pace.throttled(now=10.0, sent_at=9.9, retry_after_s=0.0)
    for step in range(100):
        pace.answered(10.0 + step / 10)
    assert pace.rate == pytest.approx(pace.ceiling)


def test_waits_that_are_not_told_grow_until_there_is_an_answer() -> None:
    pace, waits = Adaptive(None), []
    now = 0.0
    for _ in range(4):
        pace.take(now)
        pace.throttled(now, now, None)
        waits.append(pace.wait_s(now))
        now += waits[-1] + 0.001
    assert waits == pytest.approx([1, 2, 4, 8], rel=0.2)
    pace.answered(now)
    pace.take(now)
    pace.throttled(now, now, None)
    assert pace.wait_s(now) < 3


@pytest.mark.parametrize("limit", [200.0, 1000.0])
def test_it_finds_the_providers_rate_without_being_told(limit: float) -> None:
    """A provider with a bucket of a second, latency 0.2 s: little is refused, little is left."""
    pace, now, bucket, under_way = Adaptive(None), 0.0, limit / 60, []
    answered = refused = 0
    while now < 120:
        for sent_at, good in [item for item in under_way if item[0] + 0.2 <= now]:
            under_way.remove((sent_at, good))
            if good:
                pace.answered(now)
                answered += now > 20
            else:
                pace.throttled(now, sent_at, 0.5)
                refused += now > 20
        bucket = min(bucket + limit / 60 * 0.01, limit / 60)
        while pace.wait_s(now) <= 0 and len(under_way) < 50:
            pace.take(now)
            under_way.append((now, bucket >= 1))
            bucket -= bucket >= 1
        now += 0.01
    assert answered / 100 * 60 >= 0.75 * limit
    assert refused <= 0.15 * answered


# On a loop


def test_no_more_are_under_way_than_said_and_turns_come_in_order() -> None:
    order: list[int] = []
    most = 0

    async def one(limiter: Limiter, number: int, busy: list[int]) -> None:
        nonlocal most
        async with limiter.turn(1):
            order.append(number)
            busy.append(number)
            most = max(most, len(busy))
            await asyncio.sleep(0.005)
            busy.remove(number)

    async def main() -> None:
        limiter, busy = Limiter(3), []
        await asyncio.gather(*(one(limiter, number, busy) for number in range(20)))

    asyncio.run(main())
    assert most == 3 and order == list(range(20))


def test_who_waits_may_be_cancelled_and_the_next_one_goes_on() -> None:
    async def main() -> list[object]:
        limiter, first, over = Limiter(1), asyncio.Event(), asyncio.Event()

        async def one() -> int:
            async with limiter.turn(1):
                first.set()
                await over.wait()
                return 1

        tasks = [asyncio.create_task(one()) for _ in range(4)]
        await first.wait()
        tasks[0].cancel()
        tasks[2].cancel()
        over.set()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    found = asyncio.run(main())
    assert [found[1], found[3]] == [1, 1]
    assert all(isinstance(found[number], asyncio.CancelledError) for number in (0, 2))


def test_when_it_is_opened_for_good_nobody_waits() -> None:
    async def main() -> None:
        limiter = Limiter(4, requests_per_minute=1)
        tasks = [asyncio.create_task(limiter.turn(1).__aenter__()) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert sum(task.done() for task in tasks) == 1
        limiter.open_for_good()
        await asyncio.gather(*tasks)
        await limiter.pause(60)

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 5
