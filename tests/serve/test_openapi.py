"""The OpenAPI document, held against the service by schemathesis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any


def test_every_answer_is_what_the_document_says(service: Any, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    # Not checked: that what fits the document is accepted (a program that fails is a 400 of /run,
    # as KGoT's executor has it), and that what doesn't fit is refused ("64m" is read as a size).
    options = {
        "exclude-checks": "positive_data_acceptance,negative_data_rejection",
        "max-examples": "2",
        "request-timeout": "60",
        "seed": "1",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(
        [program, "run", f"{service.url}/openapi.json", "--no-color", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Tested: 7" in done.stdout
