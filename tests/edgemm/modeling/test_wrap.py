"""A user's own network, nothing of EdgeMM in it: one graph, split graphs, and splits that would be wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import edgemm
from edgemm.errors import SpecError, UnknownNameError, UsageError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.vision = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(140, 8)
        )
        self.hearing = nn.Sequential(nn.Linear(100, 8), nn.ReLU())
        self.head = nn.Linear(16, 3)
        self.eval()

    def forward(self, image, audio):
        return self.head(torch.cat([self.vision(image), self.hearing(audio)], 1))


class Leaky(Net):
    def forward(self, image, audio):
        return super().forward(image, audio) + image.mean(dim=(1, 2, 3), keepdim=False)[:, None]


class Changing(Net):
    def forward(self, image, audio):
        return super().forward(image * 2, audio)


class Masked(Net):
    def forward(self, image, audio, presence):
        features = torch.cat([self.vision(image) * presence[:, :1], self.hearing(audio) * presence[:, 1:]], 1)
        return {"class": self.head(features), "sum": features.sum(1, keepdim=True)}


class TwoCameras(nn.Module):
    def __init__(self):
        super().__init__()
        self.eye = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
        self.head = nn.Linear(10, 2)

    def forward(self, front, rear):
        return self.head(torch.cat([self.eye(front), self.eye(rear)], 1))


INPUTS = {"image": edgemm.Image(12, 16), "audio": edgemm.Audio(1000, 100, 20)}


def answer_of(net, frame, sound):
    image = torch.from_numpy(frame).float().permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        return net(image, torch.from_numpy(sound)[None])[0].numpy()


@pytest.fixture
def raw():
    generator = np.random.default_rng(1)
    return generator.integers(0, 255, (12, 16, 3), np.uint8), generator.uniform(-1, 1, 100).astype(np.float32)


@pytest.mark.parametrize("split", [False, True])
def test_a_plain_module_exports_and_answers_the_same(tmp_path, raw, split):
    torch.manual_seed(0)
    net = Net()
    parts = {"image": net.vision, "audio": net.hearing} if split else None
    model = edgemm.wrap(net, INPUTS, split=parts, labels=["a", "b", "c"])
    edgemm.export(model, tmp_path / "net.edgemm", precision="fp32")
    with edgemm.open(tmp_path / "net.edgemm") as opened:
        assert [node.name for node in opened.graph.nodes] == (["image", "audio", "fusion"] if split else ["net"])
        result = opened.infer(image=raw[0], audio=raw[1])
        np.testing.assert_allclose(result.outputs["answer"].scores, answer_of(net, *raw), atol=1e-5)
        missing = opened.infer(image=raw[0])
        assert missing.outputs == {}
        assert missing.inputs["audio"].state == "absent"


def test_a_module_that_takes_presence_answers_with_an_input_missing(tmp_path, raw):
    net = Masked()
    model = edgemm.wrap(
        net, INPUTS, split={"image": net.vision, "audio": net.hearing}, labels={"class": ["a", "b", "c"]}
    )
    edgemm.export(model, tmp_path / "net.edgemm", precision="fp32")
    with edgemm.open(tmp_path / "net.edgemm") as opened:
        both = opened.infer(image=raw[0], audio=raw[1])
        one = opened.infer(image=raw[0])
        assert set(one.outputs) == {"class", "sum"}
        assert not np.allclose(one.outputs["sum"], both.outputs["sum"])
        image = torch.from_numpy(raw[0]).float().permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            expected = net.vision(image).sum().item()
        assert one.outputs["sum"][0] == pytest.approx(expected, abs=1e-4)


def test_two_cameras_share_one_graph(tmp_path):
    net = TwoCameras().eval()
    inputs = {"front": edgemm.Image(2, 2), "rear": edgemm.Image(2, 2)}
    model = edgemm.wrap(net, inputs, split={"front": net.eye, "rear": net.eye})
    assert model.graph.graph_names == ("front", "fusion")
    edgemm.export(model, tmp_path / "two.edgemm", precision="fp32")
    front, rear = np.full((2, 2, 3), 10, np.uint8), np.full((2, 2, 3), 200, np.uint8)
    with edgemm.open(tmp_path / "two.edgemm") as opened:
        live = opened.live()
        live.push("front", front, 0)
        got = live.push("rear", rear, 1).outputs["answer"]
    tensors = [torch.from_numpy(frame).float().permute(2, 0, 1)[None] / 255 for frame in (front, rear)]
    with torch.no_grad():
        np.testing.assert_allclose(got, net(*tensors)[0].numpy(), atol=1e-5)


def test_a_split_that_would_change_the_answer_is_refused():
    net = Leaky()
    with pytest.raises(SpecError, match="uses an input outside its encoder"):
        edgemm.wrap(net, INPUTS, split={"image": net.vision})
    net = Changing()
    with pytest.raises(SpecError, match="not called with one input as it comes"):
        edgemm.wrap(net, INPUTS, split={"image": net.vision})
    assert edgemm.wrap(net, INPUTS).graph.graph_names == ("net",)


def test_wrong_arguments_say_what_is_wrong():
    net = Net()
    with pytest.raises(UnknownNameError, match="did you mean 'image'"):
        edgemm.wrap(net, INPUTS, split={"imge": net.vision})
    with pytest.raises(SpecError, match="could not be called with image"):
        edgemm.wrap(net, {"image": edgemm.Image(40, 40), "audio": INPUTS["audio"]})
    with pytest.raises(SpecError, match="it has 2 labels, but its scores are float32"):
        edgemm.wrap(net, INPUTS, labels=["a", "b"])
    with pytest.raises(SpecError, match="not a submodule"):
        edgemm.wrap(net, INPUTS, split={"image": nn.Linear(1, 1)})
    with pytest.raises(UnknownNameError, match="output that stops node 'net': 'eos'"):
        edgemm.wrap(net, INPUTS, trigger="until(eos)")
    assert net.training is False


@pytest.mark.parametrize(
    ("net", "kind", "message"),
    [
        (lambda x: x, edgemm.Tensor((4,)), r"expected a torch.nn.Module, got function"),
        (nn.Identity(), (4,), r"input 'x': expected a kind of input such as .*edgemm.Tensor\(\(4,\)\), got \(4,\)"),
        (nn.Identity(), edgemm.Tensor, r"input 'x': expected a kind of input"),
    ],
)
def test_what_is_no_network_or_no_kind_is_said(net, kind, message):
    with pytest.raises(SpecError, match=message):
        edgemm.wrap(net, {"x": kind})


def test_a_network_that_was_not_wrapped_is_told_how_to_be(tmp_path):
    with pytest.raises(UsageError, match=r"got Identity. A network of your own: edgemm.export\(edgemm.wrap\(net, "):
        edgemm.export(nn.Identity(), tmp_path / "b")
