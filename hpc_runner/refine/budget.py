"""What refinement may cost: dollars and tokens, with what is under way counted at a guess."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hpc_runner.refine.ledger import Answers
from hpc_runner.refine.refiner import Question

__all__ = ["Budget", "Guess", "forecast", "guess"]

CAUTION = 1.5
"""What is under way is counted at so many times its guess."""
CHARS_PER_TOKEN = 3.5
ANSWER_TOKENS = 900
"""Of an answer, before any was seen: a program of forty lines and a sentence."""
USD_PER_PROMPT_TOKEN, USD_PER_ANSWER_TOKEN = 3e-6, 15e-6
"""A Claude Sonnet's list price."""


@dataclass(frozen=True)
class Guess:
    """Of one question, or of several."""

    tokens: float
    usd: float

    def times(self, factor: float) -> Guess:
        return Guess(self.tokens * factor, self.usd * factor)


def guess(prompt_chars: int, answers: Answers | None = None) -> Guess:
    """What a question will cost: by its length, and by what answers cost before."""
    prompt = prompt_chars / CHARS_PER_TOKEN
    if answers is not None and answers.count >= _ENOUGH and answers.tokens:
        tokens = max(prompt, answers.tokens / answers.count)
        known = answers.count - answers.unknown_usd
        if known:
            return Guess(tokens, answers.usd / known)
    tokens = prompt + ANSWER_TOKENS
    return Guess(tokens, prompt * USD_PER_PROMPT_TOKEN + ANSWER_TOKENS * USD_PER_ANSWER_TOKEN)


def forecast(questions: int, program_chars: float, answers: Answers | None = None) -> Guess:
    """What so many questions will cost about programs (with their tests) of such a length."""
    each = guess(round(program_chars) + PROMPT_CHARS, answers)
    return each.times(questions)


PROMPT_CHARS = 4_000
"""Of a prompt besides the program and its tests: rules, strategy, failure."""
_ENOUGH = 20
"""Answers whose mean says more than their questions' lengths."""


class Budget:
    """Lets questions through while there is money for them.  For one event loop.

    None is no limit.  What is under way is counted at a guess, so that the limit is passed by no
    more than guesses are wrong.
    """

    def __init__(self, answers: Answers, usd: float | None, tokens: int | None) -> None:
        self._answers = answers
        self._usd = usd
        self._tokens = tokens
        self._reserved: dict[str, Guess] = {}
        self._changed = asyncio.Condition()

    @property
    def unlimited(self) -> bool:
        return self._usd is None and self._tokens is None

    async def admit(self, question: Question) -> str | None:
        """Wait until it is known whether there is money for a question.

        None: there is, and it is reserved until ``settled``.  Otherwise the reason why not.
        """
        if self.unlimited:
            return None
        chars = sum(len(part.text) for part in (*question.system, *question.user))
        while True:
            wanted = guess(chars, self._answers).times(CAUTION)
            reason = self._against(wanted)
            if reason is None:
                self._reserved[question.key] = wanted
                return None
            if not self._reserved:
                return reason
            async with self._changed:
                await self._changed.wait()

    async def settled(self, question: Question) -> None:
        """What the question cost is in the ledger, or it cost nothing."""
        if self._reserved.pop(question.key, None) is not None:
            async with self._changed:
                self._changed.notify_all()

    def _against(self, wanted: Guess) -> str | None:
        answers = self._answers
        held = self._reserved.values()
        if self._tokens is not None:
            tokens = answers.tokens + sum(one.tokens for one in held) + wanted.tokens
            if tokens > self._tokens:
                return f"{answers.tokens:,} of {self._tokens:,} tokens are spent"
        if self._usd is not None:
            if answers.unknown_usd:
                return "what answers cost isn't known: --budget-tokens limits them all the same"
            usd = answers.usd + sum(one.usd for one in held) + wanted.usd
            if usd > self._usd:
                return f"${answers.usd:.2f} of ${self._usd:.2f} are spent"
        return None
