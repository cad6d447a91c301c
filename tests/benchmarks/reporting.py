"""How benchmarks show what they found: percentiles, the machine and its load, one JSON line. Measures nothing itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgemm.machine.facts import machine_facts


def heading(title: str) -> None:
    """What is measured, and on what."""
    facts = machine_facts()
    versions = facts["versions"]
    print(
        f"{title}, {facts['cpu']}, {facts['cores']} cores, load {facts['load']}, Python {versions['python']}, "
        f"onnxruntime {versions['onnxruntime']}"
    )


def percentiles(values: Sequence[float], *asked: int) -> dict[str, float]:
    """`{"p50": …}` of as many as are asked for, and the largest."""
    return {f"p{p}": round(float(np.percentile(values, p)), 3) for p in asked} | {"max": round(float(max(values)), 3)}


def finish(document: dict[str, Any], path: Path | None) -> None:
    """Print the numbers as one line of JSON, with the machine, and write them where that was asked for."""
    document = document | machine_facts()
    print("\n" + json.dumps(document))
    if path is not None:
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
