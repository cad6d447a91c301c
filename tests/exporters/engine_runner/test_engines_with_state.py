"""Engines with state on an imitated GPU (see conftest.py): what they stream in pieces is what torch computes in one pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnxruntime import GraphOptimizationLevel
from torch import nn

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.host.optional import is_installed
from edgemm.runtime.batch import Batch, Measured

WIDTH = 8
TRUSTED = edgemm.Trust(engines=True)


class Net(nn.Module):
    """An encoder with state, and behind it the network's own memory."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.feel, self.recall, self.head = nn.GRUCell(4, WIDTH), nn.GRUCell(WIDTH, WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, motion, felt, recalled):
        felt = self.feel(motion, felt)
        recalled = self.recall(felt, recalled)
        return self.head(recalled), felt, recalled


def in_one_pass(net, motion):
    """torch's GRU of two layers over the whole sequence."""
    gru = nn.GRU(4, WIDTH, num_layers=2, batch_first=True)
    weights = {f"{name}_l{layer}": w for layer, cell in enumerate((net.feel, net.recall)) for name, w in cell.state_dict().items()}  # fmt: skip
    gru.load_state_dict(weights)
    with torch.no_grad():
        return net.head(gru(torch.from_numpy(motion)[None])[0][0]).numpy()


@pytest.fixture(scope="module")
def net():
    return Net().eval()


@pytest.fixture(scope="module")
def exported(net, tmp_path_factory):
    if not is_installed("tensorrt_rtx"):
        pytest.skip("tensorrt_rtx is not installed: pip install 'edgemm[tensorrt-rtx]'")
    state = {"felt": (WIDTH,), "recalled": (WIDTH,)}
    model = edgemm.wrap(net, {"motion": edgemm.Tensor((4,))}, split={"motion": net.feel}, state=state)
    path = tmp_path_factory.mktemp("engines") / "net.edgemm"
    edgemm.export(model, path, device="rtx-4090", precision="fp32")
    return path


@pytest.fixture
def on_gpu(machine, exported):
    """The model on its engines, known to the imitated module by the graphs that they were compiled from."""
    bundle = Bundle(exported)
    machine.rtx.optimisation = GraphOptimizationLevel.ORT_DISABLE_ALL
    key, variant = next((k, v) for k, v in bundle.manifest.variants.items() if v.backend == "tensorrt_rtx")
    for graph, source in variant.sources.items():
        machine.rtx.models[bundle.read(variant.files[graph])] = bundle.read(source)
    with edgemm.open(exported, variant=key, trust=TRUSTED) as model:
        yield model


def motion(seed, count=30):
    return np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)


def values(result):
    return result.tensors["answer"]["value"]


def test_an_engine_streams_in_pieces_what_torch_computes_in_one_pass(net, on_gpu):
    one, other = on_gpu.live(), on_gpu.live()
    said = [
        [values(live.push("motion", row, index)) for live, row in zip((one, other), rows, strict=True)]
        for index, rows in enumerate(zip(motion(1), motion(2), strict=True))
    ]
    for stream, seed in enumerate((1, 2)):
        np.testing.assert_allclose(np.array(said)[:, stream], in_one_pass(net, motion(seed)), atol=1e-4)
    one.reset()
    again = [values(one.push("motion", row, 100 + index)) for index, row in enumerate(motion(3))]
    np.testing.assert_allclose(again, in_one_pass(net, motion(3)), atol=1e-4)


def test_a_batch_on_engines_keeps_a_state_for_each_stream(net, on_gpu, monkeypatch):
    monkeypatch.setattr(Batch, "_measure", lambda *_: Measured(True))
    batch = on_gpu.batch(2)
    rows = list(zip(motion(4), motion(5), strict=True))
    said = [[values(result) for result in batch.push("motion", pair, index)] for index, pair in enumerate(rows)]
    for stream, seed in enumerate((4, 5)):
        np.testing.assert_allclose(np.array(said)[:, stream], in_one_pass(net, motion(seed)), atol=1e-4)


def test_verify_runs_the_engine_over_time(on_gpu, exported):
    found = edgemm.verify(exported, trust=TRUSTED)
    assert found.passed, str(found)
    assert found.skipped == {}
    assert {records["fusion"]["rows"] for records in found.parity.values()} == {16}


def test_state_never_leaves_the_gpu(on_gpu):
    """Of every moment the motion goes up and the answer comes down; the state is written where the next run reads it."""
    live = on_gpu.live()
    copied = {name: step.binding.copied_bytes for name, step in live.steps.items()}
    live.push("motion", motion(6)[0], 0)
    before = {name: dict(bytes_) for name, bytes_ in copied.items()}
    for index, row in enumerate(motion(6), 1):
        live.push("motion", row, index)
    moved = {name: {way: bytes_[way] - before[name][way] for way in bytes_} for name, bytes_ in copied.items()}
    assert moved == {"motion": {"up": 30 * 4 * 4, "down": 0}, "fusion": {"up": 0, "down": 30 * 3 * 4}}
