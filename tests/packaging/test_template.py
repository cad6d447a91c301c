"""The plugin template is a distribution of its own: built, installed, listed, and used from end to end."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).parents[2] / "plugins" / "template"
END_TO_END = '''
import json
import sys

import numpy as np

import edgemm
from edgemm.modeling.compose import compose
from edgemm.modeling.spec import spec_from_text

SPEC = """
[model]
name = "motion"
width = 24

[inputs.motion]
kind = "motion"
channels = 6
samples = 50

[inputs.audio]
kind = "audio"
sample_rate_hz = 8000

[encoders.motion]
use = "imu.conv"

[encoders.audio]
use = "audio.logmel_cnn"

[fusion]
use = "fusion.joint"

[heads.answer]
use = "heads.classify"
labels = ["still", "moving"]
"""

model = compose(spec_from_text(SPEC))
random = np.random.default_rng(0)
samples = [
    {"motion": random.standard_normal((50, 6)).astype(np.float32), "audio": random.uniform(-1, 1, 8000).astype(np.float32)}
    for _ in range(8)
]
edgemm.export(model, sys.argv[1], device=["cpu"], precision="fp32", calibration=samples)
with edgemm.stream(sys.argv[1], {"audio": "tone:440"}, realtime=False, seconds=3) as results:
    records = [result.to_json() for result in results]
with edgemm.open(sys.argv[1]) as opened:
    alone = opened.infer(motion=samples[0]["motion"]).to_json()
    live = opened.live()
    moved = [live.push("motion", sample, 10_000_000 * number) for number, sample in enumerate(samples[0]["motion"])]
    assert [result is not None for result in moved].index(True) == 49, "as soon as a window is full"
print(json.dumps([len(records), records[-1], alone]))
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory, build_wheel, run) -> dict[str, str]:
    """Environment variables under which the template is installed beside this environment's packages."""
    folder = tmp_path_factory.mktemp("template")
    target = folder / "site-packages"
    wheel = build_wheel(TEMPLATE, folder / "dist")
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", target, wheel)
    return {"PYTHONPATH": str(target)}


def test_it_is_listed_with_its_distribution(installed, run):
    listing = json.loads(run(sys.executable, "-m", "edgemm", "plugins", "--json", **installed).stdout)
    ours = {
        (entry["kind"], entry["name"])
        for entry in listing["entries"]
        if entry["distribution"] == "edgemm-template 0.1.0"
    }
    assert ours == {("encoder", "imu.conv"), ("source", "tone")}
    assert listing["failures"] == []


def test_its_encoder_is_short():
    assert len((TEMPLATE / "edgemm_template" / "imu.py").read_text().splitlines()) <= 30


def test_its_own_tests_pass(installed, run):
    run(
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        TEMPLATE,
        TEMPLATE / "tests",
        **installed,
    )


def test_its_encoder_is_exported_and_streams_from_its_source(installed, run, tmp_path):
    script = tmp_path / "end_to_end.py"
    script.write_text(END_TO_END)
    out = run(
        sys.executable,
        script,
        tmp_path / "motion.edgemm",
        **installed,
        OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", "1"),
    )
    count, last, alone = json.loads(out.stdout.splitlines()[-1])
    assert count >= 20
    assert last["inputs"]["motion"]["state"] == "absent"
    assert alone["inputs"]["motion"]["state"] == "live"
    assert alone["outputs"]["answer"]["label"] in ("still", "moving")
