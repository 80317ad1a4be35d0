"""The Claude Sonnets that may be asked: names, succession, what they take, prices.

Nothing else may: refinement is Claude Sonnet's alone.  docs/models.md tells what is here, and
where a model goes that its provider has retired.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hpc_runner.errors import ConfigError


@dataclass(frozen=True)
class Price:
    """Dollars for a million tokens: of the prompt, read from and written to its cache, answered."""

    prompt: float
    cached: float
    written: float
    completion: float

    def usd(self, prompt: int, cached: int, written: int, completion: int) -> float:
        """``cached`` and ``written`` are parts of ``prompt``."""
        plain = prompt - cached - written
        paid = (
            plain * self.prompt
            + cached * self.cached
            + written * self.written
            + completion * self.completion
        )
        return paid / 1e6

    def times(self, factor: float) -> Price:
        return Price(
            self.prompt * factor,
            self.cached * factor,
            self.written * factor,
            self.completion * factor,
        )


@dataclass(frozen=True)
class Sonnet:
    """One model.  ``dated`` is the day of its release, where names need it."""

    version: str
    dated: str | None = None
    successor: str | None = None
    takes_temperature: bool = False
    """Another than the default one; later Sonnets answer 400 to it."""
    takes_forced_tools: bool = False
    takes_prefill: bool = False
    """An answer that is begun for it."""
    context_tokens: int | None = None
    price: Price | None = None
    """None: unknown, and so is the cost of an answer for which the provider tells none."""


SONNETS: Mapping[str, Sonnet] = {
    sonnet.version: sonnet
    for sonnet in (
        Sonnet("4", "20250514", "4.6", True, True, True, 200_000, Price(3, 0.3, 3.75, 15)),
        Sonnet("4.5", "20250929", "4.6", True, True, True, 200_000, Price(3, 0.3, 3.75, 15)),
        Sonnet("4.6", None, "5", True, True, False, 1_000_000, Price(3, 0.3, 3.75, 15)),
        Sonnet("5", None, "5.5", False, True, False, 1_000_000, Price(2, 0.2, 2.5, 10)),
        Sonnet("5.5", None, None, False, False, False, 1_000_000, Price(2, 0.1, 2.5, 10)),
    )
}

PROVIDERS = ("openrouter", "anthropic", "bedrock", "vertex_ai")

REGIONS: Mapping[str, float] = {
    "global": 1.0, "us": 1.1, "eu": 1.1, "apac": 1.1, "jp": 1.1, "au": 1.1, "us-gov": 1.2,
}  # fmt: skip
"""Of Bedrock's names: what their price is multiplied by, from 4.5 on."""

_NAME = re.compile(
    r"""(?:anthropic[/.])?claude-
        (?: sonnet-(?P<major>\d{1,2})(?:(?P<dot>[.-])(?P<minor>\d{1,2}))?(?!\d)
          | (?P<major2>\d{1,2})(?:[.-](?P<minor2>\d{1,2}))?-sonnet )
        (?P<tail>(?:[-@](?:\d{8}|default|latest))?(?:-v\d+(?::\d+)?)?)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Route:
    """A model at a provider.  ``str()`` is litellm's name for it."""

    provider: str
    sonnet: Sonnet
    region: str | None = None
    """Of Bedrock."""

    def __str__(self) -> str:
        return f"{self.provider}/{self.name}"

    @property
    def name(self) -> str:
        """As the provider spells it."""
        version, dated = self.sonnet.version, self.sonnet.dated
        dashed = f"claude-sonnet-{version.replace('.', '-')}"
        if self.provider == "openrouter":
            return f"anthropic/claude-sonnet-{version}"
        if self.provider == "anthropic":
            return f"{dashed}-{dated}" if dated else dashed
        if self.provider == "vertex_ai":
            return f"{dashed}@{dated}" if dated else dashed
        region = f"{self.region}." if self.region else ""
        return f"{region}anthropic.{dashed}" + (f"-{dated}-v1:0" if dated else "")

    @property
    def price(self) -> Price | None:
        price = self.sonnet.price
        if price is None or self.region is None or self.sonnet.version == "4":
            return price
        return price.times(REGIONS[self.region])

    def successor(self) -> Route | None:
        """The next Sonnet at the same provider; None: there is none that we know of."""
        following = self.sonnet.successor
        return (following and Route(self.provider, SONNETS[following], self.region)) or None


def parse_model(text: str) -> Route:
    """The model that ``text`` names, in any provider's spelling.

    ``anthropic/`` and no provider at all mean Anthropic's own API when the name is one of
    Anthropic's, OpenRouter otherwise.  Raises ``ConfigError`` with the reason for whatever isn't
    a Claude Sonnet from 4 on.
    """
    provider, rest = _provider(text)
    region = None
    if provider == "bedrock":
        head, _, tail = rest.partition(".anthropic.")
        if tail:
            region, rest = head, f"anthropic.{tail}"
            if region not in REGIONS:
                raise ConfigError(
                    f"--model {text}: unknown region {region!r}; known: {', '.join(REGIONS)}"
                )
    match = _NAME.fullmatch(rest)
    if match is None:
        raise ConfigError(f"--model {text}: {_why_not(rest)}; {_EXPECTED}")
    major = match["major"] or match["major2"]
    minor = match["minor"] or match["minor2"]
    version = major if minor in (None, "0") else f"{major}.{minor}"
    if int(major) < 4:
        raise ConfigError(f"--model {text}: Claude Sonnets before 4 are not asked; {_EXPECTED}")
    if provider is None:
        provider = "anthropic" if _is_anthropics_own(match, version) else "openrouter"
    return Route(provider, SONNETS.get(version) or Sonnet(version), region)


_EXPECTED = (
    "refinement is done by Claude Sonnet alone: openrouter/anthropic/claude-sonnet-4 or another"
    " one of docs/models.md, or scripted:FILE"
)


def _provider(text: str) -> tuple[str | None, str]:
    head, _, rest = text.partition("/")
    if head in PROVIDERS and head != "anthropic":
        # litellm's ways to call Bedrock are parts of its names.
        return head, rest.removeprefix("converse/").removeprefix("invoke/")
    return None, text


def _is_anthropics_own(match: re.Match[str], version: str) -> bool:
    """Whether the API of Anthropic knows the name: dashes, and a date for the old ones."""
    if match["major"] is None or match["dot"] == ".":
        return False
    sonnet = SONNETS.get(version)
    return bool(match["tail"]) or match["minor"] is not None or not (sonnet and sonnet.dated)


def _why_not(name: str) -> str:
    low = name.lower()
    if "sonnet" in low:
        return "not a name of a Claude Sonnet that is known here"
    if "claude" in low:
        return "a Claude, but not a Sonnet"
    return "not a Claude"
