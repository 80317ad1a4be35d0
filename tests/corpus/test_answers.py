"""Programs in models' answers."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.corpus.answers import complete, defines, extract_code, normalise

ADD = "def add(a, b):\n    return a + b\n"
PROMPT = 'from typing import List\n\n\ndef add(a, b):\n    """Adds."""\n'


@pytest.mark.parametrize(
    "answer",
    [
        f"Here you are:\n```python\n{ADD}```\nEnjoy.",
        f"```py\n{ADD}```",
        f"```Python3\n{ADD}```",
        f"```\n{ADD}```\n",
        f"~~~python\n{ADD}~~~\n",
        f"````python\n{ADD}````",
        f"Sure.\r\n```python\r\n{ADD}```\r\n",
        f"It is long\n```python\n{ADD}",
        f"<think>```python\nx = 1\n```</think>\n```python\n{ADD}```",
        f"```bash\npip install x\n```\n```python\n{ADD}```\n```text\n3\n```",
        f"```python title=add.py\n{ADD}```",
        f"```{{.python}}\n{ADD}```",
        f"   ```python\n{ADD}   ```",
    ],
)
def test_one_program_is_found(answer: str) -> None:
    assert extract_code(answer).strip() == ADD.strip()


def test_of_several_blocks_the_last_that_defines_the_entry_point_counts() -> None:
    answer = f"```python\ndef add(a, b): ...\n```\n```python\n{ADD}```\n```python\nadd(1, 2)\n```"
    assert extract_code(answer, entry_point="add") == ADD
    assert extract_code(answer) == "add(1, 2)\n"


def test_an_unclosed_block_counts_only_when_no_other_is_complete() -> None:
    answer = f"```python\n{ADD}```\nor\n```python\ndef add(a, b):\n    ret"
    assert extract_code(answer) == ADD


def test_other_languages_are_told_by_their_tags() -> None:
    answer = "```python\nprint(1)\n```\n```js\nlet x = 1\n```"
    assert extract_code(answer, "javascript") == "let x = 1\n"


def test_a_lone_fence_after_a_body_ends_it() -> None:
    assert extract_code("    return a + b\n```\n\nThis adds.").strip() == "return a + b"


@pytest.mark.parametrize(
    "code",
    [
        "x = 1\n",
        'def f():\n    """\n```python\nf()\n```\n    """\n',
        "    return 1\n",
        "",
        "# ~~~\n",
    ],
)
def test_code_is_never_altered(code: str) -> None:
    assert extract_code(code) == code


def test_the_indented_example_of_the_specification_is_dedented() -> None:
    code = """
    def factorial(n):
        if n <= 1:
            return 1
        return n * factorial(n - 1)

    print(factorial(5))
    """
    assert normalise(code) == textwrap.dedent(code)


@pytest.mark.parametrize("code", ["x = 1\n  y\n", "    x = (\n", "\n# a\nx = 1\n", "", "  \n"])
def test_dedenting_happens_only_when_it_helps(code: str) -> None:
    assert normalise(code) == code


def test_a_completion_goes_on_where_the_prompt_ends() -> None:
    assert complete(PROMPT, "    return a + b\n", "add") == PROMPT + "    return a + b\n"
    # What HumanEval's evaluator does with an answer that repeats the definition.
    assert complete(PROMPT, ADD, "add") == PROMPT + ADD


def test_a_fenced_program_takes_the_place_of_the_definition_and_keeps_the_imports() -> None:
    code = complete(PROMPT, f"```python\n{ADD}```", "add")
    assert code == "from typing import List\n\n\n" + ADD


def test_a_fenced_program_with_a_future_import_stands_alone() -> None:
    whole = "from __future__ import annotations\n" + ADD
    assert complete(PROMPT, f"```python\n{whole}```", "add") == whole


@pytest.mark.parametrize("body", ["    return a + b\n", "return a + b\n"])
def test_a_fenced_body_continues_the_prompt(body: str) -> None:
    code = complete(PROMPT, f"```python\n{body}```", "add")
    assert code == PROMPT + "    return a + b\n"


def test_definitions_are_told_from_calls() -> None:
    assert defines("class Solution:\n    def add(self): ...\n", "add")
    assert defines("add = lambda a, b: a + b\n", "add")
    assert defines("async def add(): ...\n", "add")
    assert not defines("print(add(1, 2))\nadd == 3\n", "add")
    assert not defines("def add_all(): ...\n", "add")
    assert defines("const add = (a, b) => a + b\n", "add", "javascript")


@given(st.text(alphabet="`~ \n\tabc:=()defpython{}", max_size=200))
def test_any_answer_gives_a_part_of_itself(answer: str) -> None:
    lines = set(answer.split("\n"))
    assert set(extract_code(answer).split("\n")) <= lines | {""}
    once = normalise(answer)
    assert normalise(once) == once
