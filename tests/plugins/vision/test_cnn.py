import numpy as np
import onnxruntime
import pytest
import torch

from edgemm.errors import SpecError
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.vision.cnn import Config, LocalContrast, build


def frames(count: int, height: int = 96, width: int = 96, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(("height", "width", "tokens", "scales"), [(96, 96, 1, 3), (48, 80, 4, 2), (65, 97, 2, 1)])
def test_any_frame_size_gives_the_configured_tokens(height, width, tokens, scales):
    encoder = build(Config(width=32, tokens=tokens, scales=scales), Image(height, width)).eval()
    z, valid = encoder(frames(3, height, width))
    assert z.shape == (3, tokens, 32)
    assert z.dtype == torch.float32
    assert valid.shape == (3, tokens)
    assert valid.dtype == torch.bool
    assert valid.all()


def test_tokens_are_invalid_when_nothing_is_more_probable_than_the_threshold():
    encoder = build(Config(classes=11, nothing_threshold=0.5, tokens=2), Image(96, 96)).eval()
    for nothing, expected in ((20.0, False), (-20.0, True)):
        with torch.no_grad():
            encoder.classifier.bias[-1] = nothing
        assert encoder(frames(2))[1].tolist() == [[expected] * 2] * 2


def test_rows_of_a_batch_do_not_touch_each_other():
    encoder = build(Config(classes=11), Image(96, 96)).eval()
    x = frames(4)
    together = encoder(x)[0]
    apart = torch.cat([encoder(x[i : i + 1])[0] for i in range(4)])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-4)  # other kernels for other batch sizes


def test_inverted_frames_encode_alike():
    encoder = build(Config(classes=11), Image(96, 96)).eval()
    x = frames(2)
    torch.testing.assert_close(encoder(255 - x)[0], encoder(x)[0], atol=1e-4, rtol=1e-3)


def test_contrast_is_bounded_and_ignores_light():
    contrast = LocalContrast(96, 96)
    x = frames(2).float() * 0.5 + 64
    out = contrast(x)
    assert out.shape == (2, 1, 96, 96)
    assert out.abs().max() < 1
    torch.testing.assert_close(contrast(x * 0.7 + 20), out, atol=1e-4, rtol=1e-3)


def test_an_even_frame_has_no_contrast():
    assert LocalContrast(96, 96)(torch.full((1, 96, 96, 3), 200.0)).abs().max() < 1e-3


def test_gradients_reach_every_weight_that_classify_uses():
    encoder = build(Config(classes=11), Image(96, 96)).train()
    encoder.classify(frames(4)).square().sum().backward()
    without = [name for name, weight in encoder.named_parameters() if weight.grad is None]
    assert without == ["posterior.weight"]


def test_classify_needs_classes():
    with pytest.raises(SpecError, match="classes"):
        build(Config(), Image(96, 96)).classify(frames(1))


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match="chanels"):
        Config(chanels=(8, 16))


@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
@pytest.mark.parametrize("tokens", [1, 3])
def test_onnx_computes_the_same(tmp_path, tokens):
    encoder = build(Config(classes=11, tokens=tokens), Image(96, 96)).eval()
    path = tmp_path / "encoder.onnx"
    batch = torch.export.Dim("batch", min=1, max=8)
    torch.onnx.export(
        encoder, (frames(2),), str(path), dynamo=True, opset_version=18, dynamic_shapes=({0: batch},), verbose=False
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = frames(3, seed=1)
    z, valid = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    expected, expected_valid = encoder(x)
    np.testing.assert_allclose(z, expected.detach().numpy(), atol=1e-4)  # order of sums differs
    np.testing.assert_array_equal(valid, expected_valid.numpy())
