"""The core installs on a Jetson: JetPack 6's Python 3.10 on aarch64 finds wheels of everything."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLATFORM = ["--platform", "manylinux_2_28_aarch64", "--platform", "manylinux2014_aarch64", "--only-binary=:all:"]


@pytest.mark.parametrize("version", ["3.10", "3.12"])
def test_the_core_resolves_on_aarch64(version, wheel, run, tmp_path):
    report = tmp_path / "report.json"
    options = [
        *PLATFORM,
        "--python-version",
        version,
        "--target",
        tmp_path / "target",
        "--dry-run",
        "--ignore-installed",
    ]
    run(sys.executable, "-m", "pip", "install", "-q", *options, "--report", report, wheel)
    found = {item["metadata"]["name"].lower(): item for item in json.loads(report.read_text())["install"]}
    assert {"edgemm", "numpy", "onnxruntime", "pluggy", "pydantic", "pydantic-core"} <= {
        name.replace("_", "-") for name in found
    }
    compiled = found["onnxruntime"]["download_info"]["url"]
    assert "aarch64" in compiled
    assert f"cp{version.replace('.', '')}" in compiled
