"""Models with state from torch to a stream: what is streamed in pieces is what torch computes in one pass over everything."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.errors import ParityError
from edgemm.host.interfaces import Packet
from edgemm.host.optional import is_installed
from edgemm.runtime.batch import Batch, Measured

HOP, PART, WIDTH = 20, 10, 24  # samples: a hop is read in two parts
MS = 1_000_000
FP32_TOLERANCE = 1e-4  # the same operations in another order
# The state is quantized at every step, to 1/255 of a range of about 2, and so are products of it; a GRU's gates let errors fade, they do not add up.
INT8_TOLERANCE = 0.05


class Listener(nn.Module):
    """A GRU cell over the parts of one hop of sound."""

    def __init__(self):
        super().__init__()
        self.front, self.cell, self.head = nn.Linear(PART, WIDTH), nn.GRUCell(WIDTH, WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, sound, h):
        for part in sound.split(PART, dim=1):
            h = self.cell(torch.relu(self.front(part)), h)
        return self.head(h), h


def in_one_pass(net, sound):
    """torch's own GRU with the cell's weights over a whole sound: the answer at the end of every hop."""
    gru = nn.GRU(WIDTH, WIDTH, batch_first=True)
    gru.load_state_dict({f"{name}_l0": value for name, value in net.cell.state_dict().items()})
    with torch.no_grad():
        states, _ = gru(torch.relu(net.front(torch.from_numpy(sound).reshape(1, -1, PART))))
        return net.head(states[0, HOP // PART - 1 :: HOP // PART]).numpy()


def sound(seed, hops=40):
    """Tones that swell, fade and change their pitch."""
    generator = np.random.default_rng(seed)
    time = np.arange(hops * HOP)
    pitch = np.repeat(generator.uniform(0.1, 1.5, hops // 4), 4 * HOP)
    return (np.sin(pitch * time) * (0.6 + 0.4 * np.sin(time / 97))).astype(np.float32)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    made = Listener().eval()
    with torch.no_grad():
        made.cell.weight_hh.mul_(2)  # so that what was heard long ago still matters
    return made


@pytest.fixture(scope="module")
def exported(net, tmp_path_factory):
    """The bundle, and what its export said."""
    model = edgemm.wrap(
        net, {"sound": edgemm.Audio(1000, window_ms=20, hop_ms=20)}, state={"h": (WIDTH,)}, labels=["a", "b", "c"]
    )
    samples = [{"sound": hop} for hop in sound(100, 256).reshape(-1, HOP)]
    devices = ["cpu:fp32,int8"] + (["rtx-4090:fp16,int8+fp16"] if is_installed("tensorrt_rtx") else [])
    path = tmp_path_factory.mktemp("stateful") / "listener.edgemm"
    return path, edgemm.export(model, path, device=devices, calibration=samples)


@pytest.fixture
def opened(exported):
    with edgemm.open(exported[0], variant="fp32") as model:
        yield model


def pieces(sound, size):
    return [sound[start : start + size] for start in range(0, len(sound), size)]


def heard(live, sound, size=HOP, start_ms=0):
    """What a stream answers to a sound in pieces, hop by hop."""
    answers, at = [], start_ms * MS
    for piece in pieces(sound, size):
        result = live.push("sound", piece, at)
        at += len(piece) * MS
        if result is not None:
            answers.append(scores(result))
    return np.stack(answers)


def scores(result):
    return result.tensors["answer"]["scores"]


# ---- in pieces as in one pass


@pytest.mark.parametrize("size", [HOP, 7], ids=["hop by hop", "blocks that fit no hop"])
def test_pieces_give_what_torch_gives_in_one_pass(net, opened, size):
    heard_sound = sound(1)
    expected = in_one_pass(net, heard_sound)
    np.testing.assert_allclose(heard(opened.live(), heard_sound, size), expected, atol=FP32_TOLERANCE)
    alone = np.concatenate([in_one_pass(net, hop) for hop in pieces(heard_sound, HOP)])
    assert np.abs(expected - alone).max() > 0.1, "without its state it would say something else"


def test_a_reset_begins_anew(net, opened):
    live = opened.live()
    heard(live, sound(2))
    live.reset()
    np.testing.assert_allclose(heard(live, sound(3)), in_one_pass(net, sound(3)), atol=FP32_TOLERANCE)
    live.reset("sound")
    np.testing.assert_allclose(heard(live, sound(4)), in_one_pass(net, sound(4)), atol=FP32_TOLERANCE)


def test_two_streams_at_once_know_nothing_of_each_other(net, opened):
    lives, sounds = (opened.live(), opened.live()), (sound(5), sound(6))
    answers = ([], [])
    for moment, hops in enumerate(zip(*(pieces(each, HOP) for each in sounds), strict=True)):
        for live, hop, said in zip(lives, hops, answers, strict=True):
            said.append(scores(live.push("sound", hop, moment * HOP * MS)))
    for said, heard_sound in zip(answers, sounds, strict=True):
        np.testing.assert_allclose(np.stack(said), in_one_pass(net, heard_sound), atol=FP32_TOLERANCE)


@pytest.mark.parametrize("together", [True, False], ids=["as rows of one run", "one after the other"])
def test_a_batch_of_streams_keeps_a_state_for_each(net, opened, monkeypatch, together):
    monkeypatch.setattr(Batch, "_measure", lambda *_: Measured(together))
    batch, sounds = opened.batch(3), [sound(seed) for seed in (7, 8, 9)]
    assert batch.batched == {"net": Measured(together)}
    answers = [[], [], []]
    for moment, hops in enumerate(zip(*(pieces(each, HOP) for each in sounds), strict=True)):
        if moment == 20:
            batch.streams[1].reset()
        given = [None if row == 2 and moment % 2 else hop for row, hop in enumerate(hops)]
        for said, result in zip(answers, batch.push("sound", given, moment * HOP * MS), strict=True):
            if result is not None:
                said.append(scores(result))
    every_other = np.concatenate(pieces(sounds[2], HOP)[::2])
    expected = [
        in_one_pass(net, sounds[0]),
        np.concatenate([in_one_pass(net, half) for half in pieces(sounds[1], 20 * HOP)]),
        in_one_pass(net, every_other),
    ]
    for said, wanted in zip(answers, expected, strict=True):
        np.testing.assert_allclose(np.stack(said), wanted, atol=FP32_TOLERANCE)


class Recording:
    """A source that delivers a sound in blocks."""

    inputs, live = ("sound",), False

    def __init__(self, sound, size):
        self._pieces = pieces(sound, size)

    def packets(self, stopped):
        at = 0
        for count, piece in enumerate(self._pieces):
            yield Packet("sound", piece, at * MS, count)
            at += len(piece)

    def close(self):
        pass


def test_two_threaded_streams_of_one_model(net, opened):
    sounds = sound(10), sound(11)
    streams = [edgemm.stream(opened, {"sound": Recording(each, 7)}, realtime=False) for each in sounds]
    both = zip(*streams, strict=True)
    said = [[scores(result) for result in results] for results in both]
    for stream in streams:
        stream.close()
    for answers, heard_sound in zip(zip(*said, strict=True), sounds, strict=True):
        np.testing.assert_allclose(np.stack(answers), in_one_pass(net, heard_sound), atol=FP32_TOLERANCE)


def test_an_answer_alone_is_a_streams_first(net, opened):
    hop = sound(12)[:HOP]
    heard(opened.live(), sound(13))
    np.testing.assert_allclose(scores(opened.infer(sound=hop)), in_one_pass(net, hop)[0], atol=FP32_TOLERANCE)


# ---- quantized, and compiled


def test_int8_passes_its_gate_over_time_and_streams_close_to_torch(net, exported):
    path, summary = exported
    assert "cpu.onnxruntime.int8" not in summary.fallbacks
    with edgemm.open(path, variant="int8") as model:
        said, wanted = heard(model.live(), sound(14, 200)), in_one_pass(net, sound(14, 200))
    assert 1e-4 < np.abs(said - wanted).max() < INT8_TOLERANCE
    assert (said.argmax(1) == wanted.argmax(1)).mean() > 0.95


def test_every_rung_was_compared_over_time(exported):
    _, summary = exported
    assert summary.parity["torch → onnx fp32"]["net"]["rows"] == 32, "moments, one after the other"
    for rung in summary.parity.values():
        assert rung["net"]["cosine"] > 0.985


@pytest.mark.skipif(
    not is_installed("tensorrt_rtx"), reason="needs the tensorrt-rtx extra: pip install 'edgemm[tensorrt-rtx]'"
)
def test_engines_take_the_state_and_return_the_next(exported):
    path, summary = exported
    bundle = Bundle(path)
    engines = {key: v for key, v in bundle.manifest.variants.items() if v.backend == "tensorrt_rtx"}
    assert {variant.precision for variant in engines.values()} == {"fp16", "int8+fp16"}
    for key, variant in engines.items():
        assert bundle.read(variant.files["net"])[:4] == b"vtrt"
        assert key not in summary.fallbacks
    record = bundle.manifest.graphs["net"]
    assert [spec.name for spec in record.inputs] == ["sound", "h"]
    assert [spec.name for spec in record.outputs] == ["answer", "h_next"]


def test_verify_runs_every_variant_from_moment_to_moment(exported):
    found = edgemm.verify(exported[0])
    assert found.passed, str(found)
    assert all(records["net"]["rows"] == 16 for records in found.parity.values())


# ---- what is wrong only with time


class Forgetful(nn.Module):
    """Forgets a little when torch traces it: with a state of zeros nobody can tell."""

    def forward(self, x, h):
        h = (0.9 if torch.compiler.is_exporting() else 1.0) * h + x
        return 2 * h, h


def test_onnx_that_forgets_what_torch_remembers_leaves_no_bundle(tmp_path):
    model = edgemm.wrap(Forgetful(), {"x": edgemm.Tensor((4,))}, state={"h": (4,)})
    with pytest.raises(ParityError, match="node 'net': ONNX does not compute what torch does"):
        edgemm.export(model, tmp_path / "b", precision="fp32")
    assert list(tmp_path.iterdir()) == []
