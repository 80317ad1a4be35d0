"""What the command line's options about policy come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpc_runner.commands.policy_options import policy_values
from hpc_runner.config import RunConfig
from hpc_runner.errors import ConfigError


def test_options_become_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = policy_values(
        "refuse", ["HR301=off", "HR503=warn"], ["numpy"], ["APP_*", "B"], Path("wheels")
    )
    config = RunConfig.parse({"corpus": ("c",), **values})
    assert config.policy.mode == "refuse"
    assert config.policy.rules == {"HR301": "off", "HR503": "warn"}
    assert config.policy.allow_dependencies == ("numpy",)
    assert config.policy.allow_env == ("APP_*", "B")
    assert config.wheelhouse == str(tmp_path / "wheels")


def test_no_options_are_the_defaults() -> None:
    values = policy_values("warn", None, None, None, None)
    assert RunConfig.parse({"corpus": ("c",), **values}) == RunConfig(corpus=("c",))


@pytest.mark.parametrize("text", ["HR301", "HR301=", "HR301=no", "=", ""])
def test_a_rule_is_given_with_what_it_does(text: str) -> None:
    with pytest.raises(ConfigError, match="as HR301=off"):
        policy_values("warn", [text], None, None, None)


def test_a_rule_that_is_given_twice_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="HR301 is given twice"):
        policy_values("warn", ["HR301=off", "HR301=warn"], None, None, None)


def test_an_unknown_mode_is_a_mistake_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"policy\.mode.*'off', 'warn' or 'refuse'"):
        RunConfig.parse({"corpus": ("c",), **policy_values("maybe", None, None, None, None)})
