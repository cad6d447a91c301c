"""`audio.logmel_cnn`: shapes, validity, the front end against a plain Fourier transform, export."""

import numpy as np
import pydantic
import pytest
import torch

from edgemm.errors import SpecError
from edgemm_plugins.audio.logmel_cnn import Config, build
from edgemm_plugins.inputs.audio import Audio


def encoder(**options):
    torch.manual_seed(0)
    return build(Config(**{"classes": 11, **options}), Audio(8000)).eval()


def sounds(count, samples=8000, seed=1):
    return 0.1 * torch.randn(count, samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("rate_hz", "window_ms"), [(8000, 1000), (16_000, 1000), (16_000, 2000), (48_000, 500)])
def test_any_rate_and_window_gives_one_token(rate_hz, window_ms):
    made = build(Config(width=32), Audio(rate_hz, window_ms)).eval()
    tokens, valid = made(sounds(3, rate_hz * window_ms // 1000))
    assert tokens.shape == (3, 1, 32)
    assert tokens.dtype == torch.float32
    assert valid.shape == (3, 1)
    assert valid.dtype == torch.bool
    assert bool(tokens.isfinite().all())


def test_power_is_that_of_a_plain_fourier_transform():
    x, frontend = sounds(2), encoder().frontend
    window = np.hanning(257)[:256]
    padded = np.pad(x.numpy().astype(np.float64), ((0, 0), (88, 88)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 256, axis=1)[:, ::80]
    expected = np.abs(np.fft.rfft(frames * window)) ** 2 / np.square(window).sum()
    power = frontend.power(x)
    assert power.shape == (2, 129, 1, 100)
    # float32 sums of 256 products
    np.testing.assert_allclose(power[:, :, 0].numpy(), expected.transpose(0, 2, 1), rtol=1e-4, atol=1e-6)


def test_a_low_tone_sounds_in_a_low_band_and_a_high_one_in_a_high_band():
    time = torch.arange(8000) / 8000
    power = encoder().frontend.power(
        torch.stack([torch.sin(2 * torch.pi * 200 * time), torch.sin(2 * torch.pi * 3000 * time)])
    )
    bands = torch.nn.functional.conv2d(power, encoder().frontend.mel).mean(dim=(2, 3))
    low, high = bands.argmax(dim=1).tolist()
    assert low < 8
    assert high > 32


def test_loudness_does_not_matter_above_the_floor():
    made, x = encoder(), sounds(4)
    torch.testing.assert_close(made.classify(x), made.classify(x * 0.05), rtol=1e-3, atol=1e-3)


def test_a_muted_microphone_is_finite_and_shows_nothing():
    features, power = encoder().frontend(torch.zeros(2, 8000))
    assert bool((features == 0).all())
    assert bool((power == 0).all())
    assert bool(encoder()(torch.zeros(2, 8000))[0].isfinite().all())


def test_valid_follows_the_probability_of_the_last_class():
    made = encoder()
    with torch.no_grad():
        made.classifier.weight.zero_()
        made.classifier.bias.zero_()
        assert made(sounds(2))[1].tolist() == [[True], [True]]
        made.classifier.bias[-1] = 10
        assert made(sounds(2))[1].tolist() == [[False], [False]]


def test_without_classes_a_window_is_valid_when_it_is_not_silent():
    made = encoder(classes=0)
    x = torch.stack([torch.zeros(8000), sounds(1)[0], sounds(1)[0] * 1e-4])
    assert made(x)[1].tolist() == [[False], [True], [False]]
    with pytest.raises(SpecError, match="set classes"):
        made.classify(x)


def test_the_token_carries_the_posterior():
    made, x = encoder(), sounds(3)
    with torch.no_grad():
        posterior = torch.softmax(made.classify(x), dim=1)
        expected = made.pool(x)[0] + posterior @ made.posterior.weight.T
        torch.testing.assert_close(made(x)[0][:, 0], expected)


def test_rows_of_a_batch_do_not_see_each_other():
    made, x = encoder(), sounds(5)
    alone = torch.cat([made(row[None])[0] for row in x])
    torch.testing.assert_close(made(x)[0], alone, rtol=1e-4, atol=1e-4)


def test_augmentation_happens_in_training_only():
    class Deafen(torch.nn.Module):
        def forward(self, power):
            return power * 0

    made, x = encoder(dropout=0.0), sounds(4)
    before = made.classify(x)
    made.augment = Deafen()
    torch.testing.assert_close(made.classify(x), before)
    made.train()
    deaf = made.classify(x)
    torch.testing.assert_close(deaf, made.classify(x * 0))


def test_training_reaches_every_weight():
    made = encoder().train()
    tokens, _ = made(sounds(4))
    tokens.square().sum().backward()
    assert [name for name, parameter in made.named_parameters() if parameter.grad is None] == []


def test_weights_are_contiguous_outside_training():
    made = encoder().train()
    made.classify(sounds(2)).sum().backward()
    made.eval()
    assert all(tensor.is_contiguous() for tensor in made.state_dict().values())


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")  # torch 2.13's exporter warns about itself
def test_the_exported_graph_computes_the_same_for_any_batch(tmp_path):
    import onnxruntime

    made, path = encoder(), tmp_path / "encoder.onnx"
    torch.onnx.export(
        made, (sounds(2),), path, dynamo=True, opset_version=18, input_names=["x"], output_names=["tokens", "valid"],
        dynamic_shapes={"x": {0: torch.export.Dim("batch", min=1, max=64)}}, verbose=False, external_data=False,
    )  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for count in (1, 3):
        x = sounds(count, seed=count)
        tokens, valid = session.run(None, {"x": x.numpy()})
        expected, expected_valid = made(x)
        # float32 convolutions in another order; tokens are of the order of 1
        np.testing.assert_allclose(tokens, expected.detach().numpy(), rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(valid, expected_valid.numpy())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lowest_hz": 5000.0}, "lowest_hz"),
        ({"highest_hz": 4500.0}, "highest_hz"),
        ({"frame_ms": 1500.0}, "frame_ms"),
        ({"frame_ms": 600.0}, r"frame_ms \(600\) at 8000 Hz has 4800 samples; at most 4096"),
    ],
)
def test_options_that_do_not_fit_the_sound_are_refused(options, says):
    with pytest.raises(SpecError, match=says):
        build(Config(**options), Audio(8000))


def test_a_misspelt_option_is_refused():
    with pytest.raises(pydantic.ValidationError, match="mel_bands"):
        Config(mel_bands=40)
