import numpy as np
import onnxruntime
import pytest
import torch

from edgemm.errors import SpecError
from edgemm_plugins.inputs.text import Text
from edgemm_plugins.text.char_cnn import Config, build

TEXTS = ("add them", "哪个大？", "x", "")


def rows(*texts: str, max_bytes: int = 64) -> torch.Tensor:
    encoded = [text.encode()[:max_bytes].ljust(max_bytes, b"\0") for text in texts]
    return torch.tensor([list(row) for row in encoded], dtype=torch.int32)


@pytest.mark.parametrize("max_bytes", [1, 7, 64])
def test_any_length_gives_one_token(max_bytes):
    encoder = build(Config(width=32), Text(max_bytes)).eval()
    z, valid = encoder(rows(*TEXTS, max_bytes=max_bytes))
    assert z.shape == (4, 1, 32)
    assert torch.isfinite(z).all()
    assert valid.tolist() == [[True], [True], [True], [False]]


def test_empty_text_is_never_valid():
    encoder = build(Config(classes=9), Text()).eval()
    with torch.no_grad():
        encoder.classifier.bias[-1] = -20.0
    assert encoder(rows(*TEXTS))[1].tolist() == [[True], [True], [True], [False]]


def test_text_that_asks_for_nothing_is_invalid():
    encoder = build(Config(classes=9), Text()).eval()
    with torch.no_grad():
        encoder.classifier.bias[-1] = 20.0
    assert not encoder(rows(*TEXTS))[1].any()


def test_padding_changes_nothing():
    encoder = build(Config(classes=9), Text()).eval()
    short, long = encoder(rows(*TEXTS, max_bytes=16))[0], encoder(rows(*TEXTS, max_bytes=64))[0]
    torch.testing.assert_close(short, long, atol=1e-5, rtol=1e-4)


def test_case_changes_nothing():
    encoder = build(Config(classes=9), Text()).eval()
    torch.testing.assert_close(encoder(rows("Add THEM é"))[0], encoder(rows("add them é"))[0])


def test_rows_of_a_batch_do_not_touch_each_other():
    encoder = build(Config(classes=9), Text()).eval()
    x = rows(*TEXTS)
    apart = torch.cat([encoder(x[i : i + 1])[0] for i in range(len(TEXTS))])
    torch.testing.assert_close(encoder(x)[0], apart, atol=1e-5, rtol=1e-4)


def test_gradients_reach_every_weight_that_classify_uses():
    encoder = build(Config(classes=9), Text()).train()
    encoder.classify(rows(*TEXTS)).square().sum().backward()
    without = [name for name, weight in encoder.named_parameters() if weight.grad is None]
    assert without == ["posterior.weight"]


def test_classify_needs_classes():
    with pytest.raises(SpecError, match="classes"):
        build(Config(), Text()).classify(rows("add"))


@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
def test_onnx_computes_the_same(tmp_path):
    encoder = build(Config(classes=9), Text()).eval()
    path = tmp_path / "encoder.onnx"
    batch = torch.export.Dim("batch", min=1, max=8)
    torch.onnx.export(
        encoder,
        (rows("a", "b"),),
        str(path),
        dynamo=True,
        opset_version=18,
        dynamic_shapes=({0: batch},),
        verbose=False,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = rows(*TEXTS)
    z, valid = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    expected, expected_valid = encoder(x)
    np.testing.assert_allclose(z, expected.detach().numpy(), atol=1e-4)  # order of sums differs
    np.testing.assert_array_equal(valid, expected_valid.numpy())
