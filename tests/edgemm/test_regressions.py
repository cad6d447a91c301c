"""Faults that were there once, one test each."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import nn

import edgemm
from edgemm.bundle.writer import BundleWriter
from edgemm.errors import UsageError
from edgemm.uris import redact


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.eye = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 4))
        self.touch = nn.Linear(5, 4)
        self.head = nn.Linear(8, 3)

    def forward(self, image, touch):
        return self.head(torch.cat([self.eye(image), self.touch(touch)], 1))


INPUTS = {"image": edgemm.Image(4, 4), "touch": edgemm.Tensor((5,))}


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Net().train()


@pytest.fixture(scope="module")
def tiny(net, tmp_path_factory):
    model = edgemm.wrap(net, INPUTS, split={"touch": net.touch, "image": net.eye})
    path = tmp_path_factory.mktemp("tiny") / "tiny.edgemm"
    edgemm.export(model, path, precision="fp32")
    return path


class Endless:
    live = False
    inputs = ("image", "touch")

    def packets(self, stopped):
        number = 0
        while not stopped():
            yield edgemm.Packet("touch", np.zeros(5, np.float32), number, number)
            yield edgemm.Packet("image", np.zeros((4, 4, 3), np.uint8), number, number)
            number += 1

    def close(self):
        pass


def test_a_network_in_training_mode_is_exported_as_it_answers_and_is_not_touched(net, tiny):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    edgemm.wrap(net, INPUTS)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    frame, touch = np.full((4, 4, 3), 90, np.uint8), np.ones(5, np.float32)
    net.eval()
    with torch.no_grad():
        expected = net(torch.full((1, 3, 4, 4), 90 / 255), torch.ones(1, 5))[0].numpy()
    net.train()
    with edgemm.open(tiny) as model:
        np.testing.assert_allclose(
            model.infer(image=frame, touch=touch).outputs["answer"], expected, atol=1e-5
        )  # float32 in another order


def test_closing_does_not_wait_for_results_that_nobody_takes(tiny):
    source = Endless()
    with edgemm.stream(tiny, {"image": source, "touch": source}, realtime=False) as stream:
        next(iter(stream))
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("edgemm")]


def test_a_closed_model_says_so(tiny):
    model = edgemm.open(tiny)
    model.close()
    with pytest.raises(UsageError, match="closed"):
        model.infer(touch=np.zeros(5, np.float32))


def test_only_a_bundle_is_overwritten(tmp_path):
    thesis, project = tmp_path / "thesis.txt", tmp_path / "project"
    thesis.write_text("years of work")
    project.mkdir()
    (project / "manifest.json").write_text("{}")
    for target in (thesis, project):
        with pytest.raises(UsageError, match="not a bundle"):
            BundleWriter(target, overwrite=True)


@pytest.mark.parametrize("slip", ["rtsp:admin:s3cret@10.0.0.1/x", "rtsp:/admin:s3cret@10.0.0.1/x"])
def test_a_slip_in_a_url_shows_no_password(slip):
    assert "s3cret" not in redact(slip)
