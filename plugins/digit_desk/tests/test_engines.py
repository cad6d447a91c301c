"""Graphs of the shipped model, compiled by the real compiler for every desktop generation, without a GPU.

The demo compiles every graph in both precisions for one card, and each other card gets one of these graphs: every card, every graph and
both precisions in 13 builds, where all combinations would be 48.
"""

from __future__ import annotations

import pytest

from edgemm.bundle.files import Bundle
from edgemm.exporting.compile import shape_ranges
from edgemm.exporting.plan import find_exporter
from edgemm.host.entries import DeviceEntry
from edgemm.host.optional import is_installed
from edgemm.host.plugin_host import default_host
from edgemm.machine.profiles import find_device

GRAPHS = {"image", "audio", "text", "fusion"}
OTHER_CARDS = [
    ("rtx-2080-ti", "audio", "int8+fp16"),  # the oldest, and the graph with layers that stay in FP32
    ("a100", "image", "fp16"),
    ("rtx-3090", "fusion", "int8+fp16"),
    ("rtx-5090", "image", "int8+fp16"),
    ("dgx-spark", "fusion", "fp16"),
]
pytestmark = pytest.mark.skipif(not is_installed("tensorrt_rtx"), reason="needs the tensorrt-rtx extra")


@pytest.mark.parametrize("precision", ["fp16", "int8+fp16"])
def test_one_card_gets_an_engine_of_every_graph(bundle, precision):
    opened = Bundle(bundle)
    (variant,) = (v for v in opened.manifest.variants.values() if (v.device, v.precision) == ("rtx-4090", precision))
    assert variant.compute_capability == 89
    assert set(variant.files) == GRAPHS
    for graph, file in variant.files.items():
        assert len(opened.read(file)) == variant.build[graph]["engine_bytes"] > 10_000


@pytest.mark.parametrize(("card", "graph", "precision"), OTHER_CARDS)
def test_every_other_card_gets_an_engine(bundle, tmp_path, card, graph, precision):
    host, opened = default_host(), Bundle(bundle)
    (variant,) = (v for v in opened.manifest.variants.values() if (v.device, v.precision) == ("rtx-4090", precision))
    source, target = tmp_path / f"{graph}.onnx", tmp_path / f"{graph}.engine"
    source.write_bytes(opened.read(variant.sources[graph]))
    record = find_exporter(host, "tensorrt_rtx").build(
        source, target, device=find_device(host, card), shapes=shape_ranges(opened.manifest.graphs[graph].inputs)
    )
    assert target.stat().st_size == record.engine_bytes > 10_000


def test_no_desktop_card_is_left_out():
    host = default_host()
    desktop = {name for name in host.entries(DeviceEntry) if find_device(host, name).backend == "tensorrt_rtx"}
    assert {card for card, _, _ in OTHER_CARDS} | {"rtx-4090"} == desktop
