"""Every graph of the shipped model, compiled by the real compiler for every desktop generation, without a GPU."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.host.optional import is_installed

HERE = Path(str(files("edgemm_plugins.digit_desk")))
CARDS = {"rtx-2080-ti": 75, "a100": 80, "rtx-3090": 86, "rtx-4090": 89, "rtx-5090": 120, "dgx-spark": 121}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (HERE / "weights.safetensors").exists(), reason="the checkpoint does not ship here"),
    pytest.mark.skipif(not is_installed("tensorrt_rtx"), reason="needs the tensorrt-rtx extra"),
]


def test_every_card_gets_an_engine_of_every_graph(tmp_path):
    path = tmp_path / "desk.edgemm"
    edgemm.export(HERE / "weights.safetensors", path, device=list(CARDS), calibration=HERE / "calibration.npz")
    bundle = Bundle(path)
    made = {(v.device, v.precision) for v in bundle.manifest.variants.values() if v.backend == "tensorrt_rtx"}
    assert made == {(card, precision) for card in CARDS for precision in ("fp16", "int8+fp16")}
    for variant in bundle.manifest.variants.values():
        if variant.backend != "tensorrt_rtx":
            continue
        assert variant.compute_capability == CARDS[variant.device]
        assert set(variant.files) == {"image", "audio", "text", "fusion"}
        for graph, file in variant.files.items():
            assert len(bundle.read(file)) == variant.build[graph]["engine_bytes"] > 10_000
