"""What every fusion promises, whatever it computes inside."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from edgemm_plugins.fusion import concat, joint

INPUTS = ("image", "audio", "text")
TOKEN_COUNTS = (3, 1, 2)
WIDTH = 24
BATCH = 5
FUSIONS: dict[str, Callable[[], nn.Module]] = {
    "fusion.concat": lambda: concat.build(concat.Config(hidden=32), INPUTS, WIDTH),
    "fusion.joint": lambda: joint.build(joint.Config(feedforward=32), INPUTS, WIDTH),
}
SUBSETS = list(itertools.product((0.0, 1.0), repeat=len(INPUTS)))
Sample = tuple[list[Tensor], list[Tensor], Tensor, Tensor]


@pytest.fixture(params=sorted(FUSIONS))
def fusion(request: pytest.FixtureRequest) -> nn.Module:
    """Each fusion in turn, untrained, in evaluation mode."""
    torch.manual_seed(0)
    return FUSIONS[request.param]().eval()


def draw(batch: int = BATCH) -> Sample:
    """Random tokens with everything valid, present and of some age."""
    generator = torch.Generator().manual_seed(1)
    tokens = [torch.randn(batch, count, WIDTH, generator=generator) for count in TOKEN_COUNTS]
    valid = [torch.ones(batch, count, dtype=torch.bool) for count in TOKEN_COUNTS]
    return tokens, valid, torch.ones(batch, len(INPUTS)), torch.rand(batch, len(INPUTS), generator=generator) * 4000


@pytest.mark.parametrize("subset", SUBSETS)
def test_every_subset_is_finite(fusion: nn.Module, subset: tuple[float, ...]) -> None:
    tokens, valid, presence, age = draw()
    fused = fusion(tokens, valid, presence * torch.tensor(subset), age)
    assert fused.shape == (BATCH, WIDTH)
    assert bool(torch.isfinite(fused).all())


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("subset", SUBSETS)
def test_absent_inputs_cannot_change_the_output(fusion: nn.Module, subset: tuple[float, ...], garbage: float) -> None:
    tokens, valid, presence, age = draw()
    presence = presence * torch.tensor(subset)
    expected = fusion(tokens, valid, presence, age)
    for index, present in enumerate(subset):
        if not present:
            tokens[index] = torch.full_like(tokens[index], garbage)
            valid[index] = torch.zeros_like(valid[index])
            age[:, index] = garbage
    assert torch.equal(fusion(tokens, valid, presence, age), expected)


@pytest.mark.parametrize("index", range(len(INPUTS)))
def test_invalid_tokens_are_exactly_absent(fusion: nn.Module, index: int) -> None:
    tokens, valid, presence, age = draw()
    absent = presence.clone()
    absent[:, index] = 0
    invalid = list(valid)
    invalid[index] = torch.zeros_like(valid[index])
    garbage = list(tokens)
    garbage[index] = torch.full_like(tokens[index], float("nan"))
    assert torch.equal(fusion(garbage, invalid, presence, age), fusion(tokens, valid, absent, age))


def test_one_invalid_token_cannot_change_the_output(fusion: nn.Module) -> None:
    tokens, valid, presence, age = draw()
    valid[0][:, 1] = False
    expected = fusion(tokens, valid, presence, age)
    tokens[0][:, 1] = float("nan")
    assert torch.equal(fusion(tokens, valid, presence, age), expected)


@pytest.mark.parametrize("index", range(len(INPUTS)))
def test_present_inputs_do_change_the_output(fusion: nn.Module, index: int) -> None:
    tokens, valid, presence, age = draw()
    expected = fusion(tokens, valid, presence, age)
    tokens[index] = tokens[index] + torch.randn(TOKEN_COUNTS[index], WIDTH, generator=torch.Generator().manual_seed(3))
    change = (fusion(tokens, valid, presence, age) - expected).detach().abs().amax(1)
    assert float(change.min()) > 1e-3


def test_batch_rows_are_independent(fusion: nn.Module) -> None:
    tokens, valid, presence, age = draw()
    presence[1, 0] = 0
    valid[2][3] = False
    whole = fusion(tokens, valid, presence, age)
    for row in range(BATCH):
        rows = slice(row, row + 1)
        alone = fusion([t[rows] for t in tokens], [v[rows] for v in valid], presence[rows], age[rows])
        torch.testing.assert_close(alone, whole[rows], rtol=1e-5, atol=1e-5)  # matmul kernels differ by batch size


def test_every_parameter_receives_a_gradient(fusion: nn.Module) -> None:
    tokens, valid, presence, age = draw()
    target = torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(2))
    (fusion.train()(tokens, valid, presence, age) - target).square().sum().backward()
    without = [n for n, p in fusion.named_parameters() if p.grad is None or float(p.grad.abs().max()) < 1e-8]
    assert without == []


@pytest.mark.parametrize("subset", SUBSETS)
def test_half_precision_stays_finite(fusion: nn.Module, subset: tuple[float, ...]) -> None:
    tokens, valid, presence, age = draw()
    presence = presence * torch.tensor(subset)
    expected = fusion(tokens, valid, presence, age)
    fused = fusion.half()([t.half() for t in tokens], valid, presence.half(), age.half())
    assert bool(torch.isfinite(fused).all())
    torch.testing.assert_close(fused.float(), expected, rtol=0.02, atol=0.02)  # 10 bits, a few layers deep


class Flat(nn.Module):
    """A fusion with one flat argument list, as ONNX wants it."""

    def __init__(self, fusion: nn.Module) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, *flat: Tensor) -> Tensor:
        count = len(INPUTS)
        fused: Tensor = self.fusion(list(flat[:count]), list(flat[count : 2 * count]), flat[-2], flat[-1])
        return fused


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the exporter's own
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_onnx_runtime_agrees_at_opset_18(fusion: nn.Module, tmp_path) -> None:  # type: ignore[no-untyped-def]
    tokens, valid, presence, age = draw()
    names = [f"tokens_{n}" for n in INPUTS] + [f"valid_{n}" for n in INPUTS] + ["presence", "age_ms"]
    path = tmp_path / "fusion.onnx"
    torch.onnx.export(
        Flat(fusion).eval(),
        (*tokens, *valid, presence, age),
        str(path),
        input_names=names,
        output_names=["fused"],
        dynamic_axes={name: {0: "batch"} for name in [*names, "fused"]},
        opset_version=18,
        dynamo=False,
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    tokens, valid, presence, age = draw(batch=3)
    valid[1][2] = False
    for subset in SUBSETS:
        masked = presence * torch.tensor(subset)
        poisoned = [torch.where(masked[:, i, None, None] > 0, t, torch.nan) for i, t in enumerate(tokens)]
        feed = dict(zip(names, [x.numpy() for x in (*poisoned, *valid, masked, age)], strict=True))
        feed = {n: feed[n] for n in (i.name for i in session.get_inputs())}  # a fusion may ignore ages
        expected = fusion(tokens, valid, masked, age).detach().numpy()
        # FP32 on both sides; only the order of summation differs.
        np.testing.assert_allclose(session.run(None, feed)[0], expected, rtol=1e-4, atol=2e-5)
