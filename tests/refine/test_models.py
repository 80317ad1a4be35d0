"""Which models may be asked, however they are spelled, and what comes after them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpc_runner.errors import ConfigError
from hpc_runner.refine.models import PROVIDERS, REGIONS, SONNETS, Price, Route, parse_model
from hpc_runner.refine.refiner import DEFAULT_MODEL


@pytest.mark.parametrize(
    ("text", "route"),
    [
        # OpenRouter: the default, the document's spelling, litellm's, with and without the prefix
        ("openrouter/anthropic/claude-sonnet-4", "openrouter/anthropic/claude-sonnet-4"),
        ("anthropic/claude-sonnet-4", "openrouter/anthropic/claude-sonnet-4"),
        ("anthropic/claude-4-sonnet", "openrouter/anthropic/claude-sonnet-4"),
        ("openrouter/anthropic/claude-4-sonnet", "openrouter/anthropic/claude-sonnet-4"),
        ("claude-sonnet-4", "openrouter/anthropic/claude-sonnet-4"),
        ("anthropic/claude-sonnet-4.6", "openrouter/anthropic/claude-sonnet-4.6"),
        ("openrouter/anthropic/claude-sonnet-4-6", "openrouter/anthropic/claude-sonnet-4.6"),
        ("openrouter/anthropic/claude-sonnet-5.5", "openrouter/anthropic/claude-sonnet-5.5"),
        # Anthropic's own names
        ("anthropic/claude-sonnet-4-20250514", "anthropic/claude-sonnet-4-20250514"),
        ("claude-sonnet-4-20250514", "anthropic/claude-sonnet-4-20250514"),
        ("anthropic/claude-sonnet-4-0", "anthropic/claude-sonnet-4-20250514"),
        ("anthropic/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5-20250929"),
        ("anthropic/claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5-20250929"),
        ("anthropic/claude-sonnet-4-6", "anthropic/claude-sonnet-4-6"),
        ("anthropic/claude-sonnet-5", "anthropic/claude-sonnet-5"),
        ("claude-sonnet-5-5", "anthropic/claude-sonnet-5-5"),
        # Bedrock, with regions and litellm's ways to call it
        (
            "bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0",
            "bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0",
        ),
        (
            "bedrock/converse/anthropic.claude-sonnet-4-5-20250929-v1:0",
            "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        ("bedrock/anthropic.claude-sonnet-4-6", "bedrock/anthropic.claude-sonnet-4-6"),
        # Vertex AI
        ("vertex_ai/claude-sonnet-4@20250514", "vertex_ai/claude-sonnet-4@20250514"),
        ("vertex_ai/claude-sonnet-4-6@default", "vertex_ai/claude-sonnet-4-6"),
        # One that came after this was written
        ("openrouter/anthropic/claude-sonnet-7.1", "openrouter/anthropic/claude-sonnet-7.1"),
    ],
)
def test_a_model_is_known_in_every_spelling(text: str, route: str) -> None:
    assert str(parse_model(text)) == route


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("gpt-4o", "not a Claude"),
        ("openrouter/openai/gpt-5", "not a Claude"),
        ("anthropic/claude-opus-4.1", "a Claude, but not a Sonnet"),
        ("anthropic/claude-3-5-haiku-latest", "a Claude, but not a Sonnet"),
        ("openrouter/anthropic/claude-3.7-sonnet", "before 4"),
        ("anthropic/claude-3-5-sonnet-20241022", "before 4"),
        ("claude-sonnet", "not a name of a Claude Sonnet"),
        ("openrouter/evil/claude-sonnet-4", "not a name of a Claude Sonnet"),
        ("openrouter/anthropic/claude-sonnet-4:free", "not a name of a Claude Sonnet"),
        ("bedrock/mars.anthropic.claude-sonnet-4-6", "unknown region 'mars'"),
        ("", "not a Claude"),
    ],
)
def test_whatever_is_no_claude_sonnet_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_model(text)
    assert reason in str(caught.value) and f"--model {text}" in str(caught.value)


def test_the_default_is_the_documents() -> None:
    assert str(parse_model(DEFAULT_MODEL)) == DEFAULT_MODEL


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_name_that_we_write_is_one_that_we_read(provider: str) -> None:
    for sonnet in SONNETS.values():
        for region in (None, *REGIONS) if provider == "bedrock" else (None,):
            route = Route(provider, sonnet, region)
            assert parse_model(str(route)) == route


def test_the_succession_leads_from_every_sonnet_to_the_last_and_ends() -> None:
    for sonnet in SONNETS.values():
        passed = []
        route: Route | None = Route("bedrock", sonnet, "eu")
        while route is not None:
            passed.append(route.sonnet.version)
            assert route.region == "eu"
            route = route.successor()
        assert passed[-1] == "5.5" and len(passed) == len(set(passed))
    four = parse_model("claude-sonnet-4")
    assert [four.successor().sonnet.version] == ["4.6"]


def test_later_sonnets_take_less() -> None:
    takes = {v: (s.takes_temperature, s.takes_forced_tools) for v, s in SONNETS.items()}
    assert takes["4"] == (True, True)
    assert takes["5"] == (False, True)
    assert takes["5.5"] == (False, False)
    unknown = parse_model("claude-sonnet-8").sonnet
    assert not unknown.takes_temperature and unknown.price is None


def test_a_price_counts_what_the_cache_did() -> None:
    price = Price(3, 0.3, 3.75, 15)
    assert price.usd(1_000_000, 0, 0, 0) == 3
    assert price.usd(1_000_000, 1_000_000, 0, 0) == pytest.approx(0.3)
    assert price.usd(1_000_000, 0, 1_000_000, 1_000_000) == pytest.approx(18.75)


def test_regions_of_bedrock_cost_more() -> None:
    plain = parse_model("bedrock/anthropic.claude-sonnet-4-6").price
    assert parse_model("bedrock/global.anthropic.claude-sonnet-4-6").price == plain
    assert parse_model("bedrock/us.anthropic.claude-sonnet-4-6").price != plain
    assert (
        parse_model("bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0").price
        == SONNETS["4"].price
    )


def test_the_prices_are_litellms() -> None:
    """Where the table that litellm brings has a price, it is ours."""
    from hpc_runner.refine.claude import load_litellm

    table = load_litellm().model_cost
    compared = 0
    for provider in ("anthropic", "bedrock", "vertex_ai"):
        for sonnet in SONNETS.values():
            for region in (None, *REGIONS) if provider == "bedrock" else (None,):
                route = Route(provider, sonnet, region)
                row = table.get(route.name) or table.get(str(route))
                if row is None or route.price is None:
                    continue
                ours = (route.price.prompt, route.price.cached, route.price.completion)
                names = ("input", "cache_read_input_token", "output")
                theirs = (
                    row["input_cost_per_token"] * 1e6,
                    row["cache_read_input_token_cost"] * 1e6,
                    row["output_cost_per_token"] * 1e6,
                )
                assert ours == pytest.approx(theirs), (str(route), names)
                compared += 1
    assert compared > 15


def test_the_documents_table_is_the_succession(checkout: Path) -> None:
    rows = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in (checkout / "docs" / "models.md").read_text().splitlines()
        if line.startswith("| ")
    ]
    for sonnet in SONNETS.values():
        names = [Route(provider, sonnet).name for provider in PROVIDERS]
        assert [sonnet.version, *names, sonnet.successor or ""] in rows
