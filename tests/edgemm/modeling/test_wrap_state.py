"""Networks with state: how `wrap` is told of it, what it refuses and why, and encoders with state that are split off."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import edgemm
from edgemm.checking.rollout import rollout
from edgemm.errors import SpecError
from edgemm.modeling.graph_modules import module_runners
from edgemm.tensors import BATCH, TensorSpec

X = {"x": edgemm.Tensor((4,))}


class Net(nn.Module):
    """A function as a network."""

    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.forward = forward.__get__(self)


def gru(layers=1):
    torch.manual_seed(0)
    return nn.GRU(4, 8, num_layers=layers, batch_first=True)


def transposed(self, x, h):
    y, h = self.gru(x[:, None], h.transpose(0, 1).contiguous())
    return y[:, 0], h.transpose(0, 1)


def state_of(model):
    return {node.name: dict(node.state) for node in model.graph.nodes}


# ---- what is right


def test_state_becomes_inputs_and_outputs_of_the_graph():
    model = edgemm.wrap(Net(transposed, gru=gru(2)), X, state={"h": (2, 8)})
    (node,) = model.graph.nodes
    assert (node.outputs, dict(node.state)) == (("answer", "h_next"), {"h_next": "h"})
    assert model.state_by_graph == {"net": (TensorSpec("h", "float32", (BATCH, 2, 8)),)}
    assert set(model.graph.outputs) == {"answer"}, "the state is no answer"


def as_dict(self, x, h):
    y, after = transposed(self, x, h)
    return {"h": after, "features": y, "sum": y.sum(1, keepdim=True)}


def test_a_dict_returns_the_state_by_its_own_name():
    model = edgemm.wrap(Net(as_dict, gru=gru()), X, state={"h": (1, 8)})
    assert model.graph.nodes[0].outputs == ("features", "sum", "h_next")
    assert set(model.graph.outputs) == {"features", "sum"}


def two_states(self, x, c, h):
    return x, 2 * x, h + 1, c + 2


def test_a_tuple_returns_the_states_last_in_the_order_of_their_declaration():
    model = edgemm.wrap(Net(two_states), X, state={"h": (3,), "c": ()})
    (node,) = model.graph.nodes
    assert node.outputs == ("output_0", "output_1", "h_next", "c_next")
    done = module_runners(model)["net"].run(
        {"x": torch.ones(2, 4).numpy(), "h": torch.full((2, 3), 5.0).numpy(), "c": torch.full((2,), 7.0).numpy()}
    )
    assert (done[2][0, 0], done[3][0]) == (6, 9)


# ---- what is refused


def fixed(result):
    """A network that returns what `result` makes of its arguments."""
    return Net(lambda self, x, h: result(x, h))


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda x, h: (x, h.transpose(0, 1)), r"declared as \[2, 8\] .* at a batch of 5 it must come back as float32 \[5, 2, 8\].*"
         r"returned float32 \[2, 5, 8\]\. Its batch axis is second, as torch's RNN, GRU and LSTM have it: transpose it.*h\.transpose\(0, 1\)"),
        (lambda x, h: (x, h[:, 0]), r"'h' is declared as \[2, 8\].*returned float32 \[5, 8\]$"),
        (lambda x, h: (x, h.long()), r"'h' must come back as float32 \[5, 2, 8\], but the network returned int64 \[5, 2, 8\]"),
        (lambda x, h: (x, (h, h)), r"each a tensor of its own \(return y, h, c rather than y, \(h, c\)\); it returned float32 \[5, 4\], \(float32"),
        (lambda x, h: h, r"must return its outputs, then the next h, .*; it returned float32 \[5, 2, 8\]"),
        (lambda x, h: {"y": x}, "dict has no 'h', by which it must return the next state; it has y"),
        (lambda x, h: {"y": x, "h": h, "h_next": x}, "output 'h_next' has the name that the next 'h' gets"),
        (lambda x, h: {"h": h}, "dict has no outputs beside its state h"),
        (lambda x, h: {"y": x, "h": [h]}, r"'h' must come back as a tensor float32 \[5, 2, 8\], got \(float32"),
    ],
    ids=["batch second", "other shape", "whole numbers", "nested", "state alone", "dict without", "name taken", "dict of state", "list"],
)  # fmt: skip
def test_what_comes_back_and_cannot_be_given_again_is_refused(result, message):
    with pytest.raises(SpecError, match=message):
        edgemm.wrap(fixed(result), X, state={"h": (2, 8)})


@pytest.mark.parametrize("layers", [1, 3, 5])
def test_a_state_with_its_batch_second_is_refused_whatever_the_number_of_layers(layers):
    """At a batch of as many rows as there are layers it cannot be told from one that is right."""
    net = Net(lambda self, x, h: (x, self.gru(x[:, None], h)[1]), gru=gru(layers))
    with pytest.raises(SpecError, match=r"could not be called|batch axis is second"):
        edgemm.wrap(net, X, state={"h": (layers, 8)})


def test_a_recurrent_layer_that_is_given_its_batch_first_says_to_transpose():
    net = Net(lambda self, x, h: self.gru(x[:, None], h), gru=gru(2))
    with pytest.raises(
        SpecError,
        match=r"(?s)could not be called with x.*batch axis first, h float32 \[5, 2, 8\]; torch's RNN, GRU and LSTM want "
        r"\(layers, batch, hidden\): give them h\.transpose\(0, 1\)",
    ):
        edgemm.wrap(net, X, state={"h": (2, 8)})


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"g": (8,)}, r"Net\.forward\(x, h, presence\) has no argument 'g'"),
        ({"x": (8,)}, "'x' is an input, so it cannot be state too"),
        ({"presence": (8,)}, r"'presence' is what EdgeMM says about the inputs \(presence, age_ms\)"),
        ({"h": 8}, r"the shape of 'h' is whole numbers without the batch axis, such as \(64,\); got 8"),
        ({"h": (0,)}, r"whole numbers .* got \(0,\)"),
        ({"h": (2.0,)}, r"whole numbers .* got \(2\.0,\)"),
    ],
)
def test_what_is_no_declaration_of_state_is_refused(state, message):
    net = Net(lambda self, x, h, presence: (x, h))
    with pytest.raises(SpecError, match=message):
        edgemm.wrap(net, X, state=state)


# ---- split


class Hear(nn.Module):
    """A GRU over the pieces of one hop: features, and its state with the batch axis first."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(5, 8, batch_first=True)

    def forward(self, sound, *, h):
        y, h = self.gru(sound.reshape(sound.shape[0], -1, 5), h.transpose(0, 1).contiguous())
        return y.mean(1), h.transpose(0, 1)


class Desk(nn.Module):
    """Two encoders with state, of which one is a bare cell; one without; and a memory of what they say together."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.see, self.feel, self.hear = nn.Linear(3, 6), nn.GRUCell(4, 5), Hear()
        self.recall, self.head = nn.GRUCell(19, 7), nn.Linear(7, 3)
        self.eval()

    def forward(self, image, motion, sound, felt, heard, recalled):
        features, heard = self.hear(sound, h=heard)
        felt = self.feel(motion, felt)
        recalled = self.recall(torch.cat([self.see(image), felt, features], 1), recalled)
        return self.head(recalled), felt, heard, recalled


INPUTS = {"image": edgemm.Tensor((3,)), "motion": edgemm.Tensor((4,)), "sound": edgemm.Tensor((20,))}
STATE = {"felt": (5,), "heard": (1, 8), "recalled": (7,)}


def test_state_goes_to_the_encoder_that_is_given_it_and_the_rest_stays_with_the_rest():
    net = Desk()
    model = edgemm.wrap(net, INPUTS, split={"image": net.see, "motion": net.feel, "sound": net.hear}, state=STATE)
    assert state_of(model) == {
        "image": {},
        "motion": {"felt_next": "felt"},
        "sound": {"heard_next": "heard"},
        "fusion": {"recalled_next": "recalled"},
    }
    specs = {graph: [spec.name for spec in specs] for graph, specs in model.state_by_graph.items()}
    assert specs == {"motion": ["felt"], "sound": ["heard"], "fusion": ["recalled"]}
    assert model.graph.node("fusion").outputs == ("answer", "recalled_next")


def test_only_some_of_the_encoders_may_be_split_off():
    net = Desk()
    model = edgemm.wrap(net, INPUTS, split={"sound": net.hear}, state=STATE)
    assert state_of(model) == {
        "sound": {"heard_next": "heard"},
        "fusion": {"felt_next": "felt", "recalled_next": "recalled"},
    }


@pytest.mark.parametrize("split", [(), ("sound",), ("image", "motion", "sound")], ids=["whole", "one", "all"])
def test_parts_over_time_compute_what_the_network_computes(split):
    net = Desk()
    parts = {"image": net.see, "motion": net.feel, "sound": net.hear}
    model = edgemm.wrap(net, INPUTS, split={name: parts[name] for name in split}, state=STATE)
    torch.manual_seed(1)
    tensors = {name: torch.randn(6, *kind.shape) for name, kind in INPUTS.items()}
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    got = rollout(model.graph, module_runners(model), arrays, streams=1).outputs()
    states = [torch.zeros(1, *shape) for shape in STATE.values()]
    for moment in range(6):
        with torch.no_grad():
            answer, *states = net(*(tensor[moment : moment + 1] for tensor in tensors.values()), *states)
        torch.testing.assert_close(torch.from_numpy(got["answer"]["value"][moment]), answer[0], atol=1e-6, rtol=0)


class TwoEars(nn.Module):
    def __init__(self):
        super().__init__()
        self.ear = nn.GRUCell(4, 5)

    def forward(self, left, right, hl, hr):
        hl, hr = self.ear(left, hl), self.ear(right, hr)
        return hl - hr, hl, hr


def test_encoders_that_share_a_graph_have_a_state_each():
    net = TwoEars()
    inputs = {"left": edgemm.Tensor((4,)), "right": edgemm.Tensor((4,))}
    model = edgemm.wrap(net, inputs, split={"left": net.ear, "right": net.ear}, state={"hl": (5,), "hr": (5,)})
    assert model.graph.graph_names == ("left", "fusion")
    assert state_of(model) == {"left": {"hl_next": "hl"}, "right": {"hl_next": "hl"}, "fusion": {}}
    left, right = torch.randn(2, 3, 4)
    tensors = {"left": left.numpy(), "right": right.numpy()}
    got = rollout(model.graph, module_runners(model), tensors, streams=1).outputs()["answer"]["value"]
    hl, hr = torch.zeros(2, 1, 5)
    with torch.no_grad():
        for row in range(3):
            answer, hl, hr = net(left[row : row + 1], right[row : row + 1], hl, hr)
    torch.testing.assert_close(torch.from_numpy(got[-1:]), answer, atol=1e-6, rtol=0)


def split_error(forward, state, message):
    net = Net(forward, part=nn.GRUCell(4, 4), hear=Backwards())
    with pytest.raises(SpecError, match=message):
        edgemm.wrap(net, X, split={"x": net.hear if "hear" in message else net.part}, state=state)


class Backwards(nn.Module):
    """Returns its state first."""

    def forward(self, x, h):
        return h + 1, x


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda self, x, h: (self.part(x, 2 * h), h), "cannot split at 'part': it is not called with one input as it comes .*, and then its state"),
        (lambda self, x, h: (self.part(x, h), h), "cannot split at 'part': it must return .*features, next h.*hand the state on as it is"),
        (lambda self, x, h: self.hear(x, h)[::-1], r"cannot split at 'hear': it must return \(features, next h\)"),
        (lambda self, x, h: ((after := self.part(x, h)) + h, after), "gives another 'answer', so it uses an input or a state outside"),
        (lambda self, x, h: ((after := self.part(x, h)) + self.part(x, h), after), "the encoders were called for x, x, expected once each"),
    ],
    ids=["changed on its way in", "not handed on", "state first", "used elsewhere", "called twice"],
)  # fmt: skip
def test_a_split_of_state_that_cannot_be_proven_is_refused(forward, message):
    split_error(forward, {"h": (4,)}, message)


class OneMemory(TwoEars):
    def forward(self, left, right, h):
        return self.ear(left, h) - (after := self.ear(right, h)), after


def test_a_state_of_two_encoders_is_refused():
    net = OneMemory()
    inputs = {"left": edgemm.Tensor((4,)), "right": edgemm.Tensor((4,))}
    with pytest.raises(SpecError, match="state 'h' is given to several encoders; give each its own"):
        edgemm.wrap(net, inputs, split={"left": net.ear, "right": net.ear}, state={"h": (5,)})
