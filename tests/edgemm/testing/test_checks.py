"""Each check passes what keeps the contract, and finds what breaks it."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from edgemm.host.interfaces import Packet
from edgemm.testing import ContractError, check_encoder, check_fusion, check_head, check_source, draw_inputs
from edgemm.testing.examples import extreme_inputs
from edgemm_plugins.inputs.audio import Audio, Sound
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.inputs.text import Text

WIDTH = 8
IMU = Tensor((10, 3), modality="imu")
NAMES = ("left", "right")


class GoodEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(3, WIDTH)

    def forward(self, x):
        return torch.tanh(self.project(x)).mean(1, keepdim=True), (x.abs().amax((1, 2)) > 0)[:, None]


class OneOutput(GoodEncoder):
    def forward(self, x):
        return super().forward(x)[0]


class FloatValid(GoodEncoder):
    def forward(self, x):
        tokens, valid = super().forward(x)
        return tokens, valid.float()


class WrongWidth(GoodEncoder):
    def forward(self, x):
        tokens, valid = super().forward(x)
        return tokens[..., :-1], valid


class RowsSeeEachOther(GoodEncoder):
    def forward(self, x):
        return super().forward(x - x.mean(0, keepdim=True))


class DividesByNothing(GoodEncoder):
    def forward(self, x):
        return super().forward(x / x.abs().amax((1, 2), keepdim=True))


class IdleParameter(GoodEncoder):
    def __init__(self):
        super().__init__()
        self.idle = nn.Parameter(torch.ones(3))


class ChangesItsInput(GoodEncoder):
    def forward(self, x):
        return super().forward(x.add_(1))


class DependsOnData(GoodEncoder):
    def forward(self, x):
        kept = torch.nonzero(x[:, :, 0].reshape(-1) > -99).shape[0] // x.shape[0]
        return super().forward(x[:, :kept])


class DrawsInEvaluation(GoodEncoder):
    def forward(self, x):
        return super().forward(x + torch.rand_like(x))


class NamesNoSubmodule(GoodEncoder):
    full_precision = ("frontend",)


def test_a_good_encoder_passes_and_is_left_as_it_was():
    encoder = GoodEncoder().train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    check_encoder(encoder, IMU, width=WIDTH)
    assert encoder.training
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    assert all(parameter.grad is None for parameter in encoder.parameters())


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (OneOutput, r"must return \(tokens, valid\), got Tensor"),
        (FloatValid, r"valid \(B, T\): expected bool"),
        (WrongWidth, r"tokens \(B, T, d\): expected float32 \[5, '\*', 8\], got float32 \[5, 1, 7\]"),
        (RowsSeeEachOther, "row 0 of a batch of 5, encoded alone: differs"),
        (DividesByNothing, "tokens is not finite"),
        (IdleParameter, "get no gradient.*idle"),
        (ChangesItsInput, "changes its input in place"),
        (DependsOnData, "cannot be exported|operators that TensorRT engines cannot have"),
        (DrawsInEvaluation, "differs"),
        (NamesNoSubmodule, "full_precision names 'frontend'"),
    ],
)
def test_a_bad_encoder_is_found(kind, message):
    with pytest.raises(ContractError, match=message):
        check_encoder(kind(), IMU, width=WIDTH)


class GoodFusion(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(WIDTH * len(NAMES), WIDTH)

    def forward(self, tokens, valid, presence, age_ms):
        return self.project(
            torch.cat([self.kept(*row, presence[:, i]) for i, row in enumerate(zip(tokens, valid, strict=True))], 1)
        )

    def kept(self, tokens, valid, presence):
        usable = valid & (presence[:, None] > 0.5)
        return torch.where(usable[..., None], tokens, 0.0).sum(1)


class Multiplies(GoodFusion):
    def kept(self, tokens, valid, presence):
        return (tokens * (valid & (presence[:, None] > 0.5))[..., None]).sum(1)


class IgnoresPresence(GoodFusion):
    def kept(self, tokens, valid, presence):
        return torch.where(valid[..., None], tokens, 0.0).sum(1)


class IgnoresValid(GoodFusion):
    def kept(self, tokens, valid, presence):
        return torch.where(presence[:, None, None] > 0.5, tokens, 0.0).sum(1)


class NothingWhenAllAbsent(GoodFusion):
    def forward(self, tokens, valid, presence, age_ms):
        return super().forward(tokens, valid, presence, age_ms) / presence.amax(1, keepdim=True)


class ReadsAgesOfTheAbsent(GoodFusion):
    def forward(self, tokens, valid, presence, age_ms):
        return super().forward(tokens, valid, presence, age_ms) + age_ms.sum(1, keepdim=True) * 1e-4


def test_a_good_fusion_passes():
    check_fusion(GoodFusion(), NAMES, WIDTH)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Multiplies, "nan in the absent inputs"),
        (IgnoresPresence, "in the absent inputs"),
        (IgnoresValid, "present without valid tokens"),
        (NothingWhenAllAbsent, "with no input present is not finite"),
        (ReadsAgesOfTheAbsent, "in the absent inputs' tokens and ages"),
    ],
)
def test_a_bad_fusion_is_found(kind, message):
    with pytest.raises(ContractError, match=message):
        check_fusion(kind(), NAMES, WIDTH)


class BatchNormAcrossRows(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(WIDTH, 3)

    def forward(self, f):
        return self.project(f) - self.project(f).mean(0)


def test_a_good_head_passes():
    check_head(nn.Linear(WIDTH, 3), WIDTH)


def test_a_head_whose_rows_see_each_other_is_found():
    with pytest.raises(ContractError, match="row 0 of a batch of 5, alone"):
        check_head(BatchNormAcrossRows(), WIDTH)


class Recorded:
    live = False
    inputs = ("sound",)

    def __init__(self, packets):
        self._packets = packets

    def packets(self, stopped):
        for packet in self._packets:
            if stopped():
                return
            yield packet

    def close(self):
        pass


class Endless(Recorded):
    live = True

    def __init__(self, heeds_close=True):
        self._heeds_close = heeds_close
        self._closed = threading.Event()

    def packets(self, stopped):
        yield sound(0, time.monotonic_ns())
        self._closed.wait(1.5)
        if not self._heeds_close:
            time.sleep(0.2)
            raise RuntimeError("the device is gone")

    def close(self):
        if self._heeds_close:
            self._closed.set()


def sound(sequence, captured_ns, rate=8000, name="sound"):
    return Packet(name, Sound(np.zeros(80, np.float32), rate), captured_ns, sequence)


INPUTS = {"sound": Audio(8000)}


def test_a_good_source_passes_and_gives_its_packets():
    packets = [sound(i, i * 10_000_000) for i in range(5)]
    assert check_source(Recorded(packets), INPUTS) == packets


def test_only_as_many_packets_as_asked_for_are_read():
    assert len(check_source(Recorded([sound(i, i) for i in range(100)]), count=3)) == 3


def test_a_live_source_that_waits_is_unblocked_by_close():
    assert len(check_source(Endless(), INPUTS, timeout_s=0.5)) == 1


@pytest.mark.parametrize(
    ("packets", "message"),
    [
        ([sound(0, 5), sound(1, 4)], "packet 1 at .* comes after packet 0"),
        ([sound(3, 5), sound(3, 6)], "packet 3 at .* comes after packet 3"),
        ([sound(0, -1)], "captured_ns is -1"),
        ([sound(0, 0.5)], "captured_ns is 0.5"),
        ([sound(0, 0, name="other")], "a packet of 'other'"),
        ([sound(0, 0, rate=44100)], "got 44100 Hz"),
        (["a string"], "yielded str"),
    ],
)
def test_wrong_packets_are_found(packets, message):
    with pytest.raises(ContractError, match=message):
        check_source(Recorded(packets), INPUTS)


def test_a_source_that_raises_is_found():
    with pytest.raises(ContractError, match=r"packets.* raised RuntimeError: the device is gone"):
        check_source(Endless(heeds_close=False), INPUTS)


def test_an_input_that_nobody_asked_for_is_found():
    with pytest.raises(ContractError, match="delivers input 'sound', which was not asked for"):
        check_source(Recorded([]), {"voice": Audio(8000)})


def test_a_source_without_its_methods_is_found():
    with pytest.raises(ContractError, match="lacks part of"):
        check_source(object())


@pytest.mark.parametrize(
    "spec", [Image(6, 8), Audio(8000, 200, 100), Text(16), Text(1), IMU, Tensor((2,), "bool"), Tensor((2,), "int8")]
)
def test_examples_are_legal_and_repeatable(spec):
    (first,) = draw_inputs(spec, 3, seed=1)
    spec.tensors[0].check(first)
    assert len(first) == 3
    np.testing.assert_array_equal(first, draw_inputs(spec, 3, seed=1)[0])
    spec.tensors[0].check(extreme_inputs(spec)[0])
