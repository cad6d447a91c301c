"""Raw frames, sounds and texts to tensors."""

from __future__ import annotations

import numpy as np
import pytest

from edgemm.errors import InputError, SpecError
from edgemm.host.declarations import declaration_from_table, table_from_declaration
from edgemm_plugins.inputs.audio import Audio, Sound
from edgemm_plugins.inputs.image import Image, resize
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.inputs.text import Text

MS = 1_000_000


def converted(kind, raw):
    """The only tensor that a kind makes of a value."""
    (tensor,) = kind.convert(raw)
    return tensor


def test_a_frame_of_the_right_size_is_not_copied():
    frame = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    assert np.shares_memory(converted(Image(4, 6), frame), frame)
    assert converted(Image(4, 6), frame).shape == (1, 4, 6, 3)


def test_resizing_keeps_a_flat_frame_flat_and_averages_when_it_shrinks():
    flat = np.full((37, 53, 3), 77, np.uint8)
    assert (resize(flat, 8, 9) == 77).all()
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)[:, :, None].repeat(3, 2)
    small = resize(checks, 8, 8)[1:-1, 1:-1]
    assert np.abs(small.astype(int) - 127).max() <= 3, "antialiased: no check of the pattern survives"


def test_resizing_is_what_pillow_does():
    pillow = pytest.importorskip("PIL.Image")
    frame = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    expected = np.asarray(pillow.fromarray(frame).resize((32, 24), pillow.Resampling.BILINEAR))
    assert np.abs(resize(frame, 24, 32).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("fit", "corner"), [("crop", 200), ("letterbox", 0), ("stretch", 10)])
def test_how_a_wide_frame_fits_a_square(fit, corner):
    frame = np.full((10, 30, 3), 200, np.uint8)
    frame[:, :5] = 10
    got = converted(Image(10, 10, fit), frame)
    assert got.shape == (1, 10, 10, 3)
    assert abs(int(got[0, 0, 0, 0]) - corner) <= 1


def test_grey_frames_become_rgb():
    got = converted(Image(2, 2), np.full((2, 2), 9, np.uint8))
    assert got.shape == (1, 2, 2, 3)
    assert (got == 9).all()


def test_a_sound_is_cut_to_its_newest_window_or_padded_in_front():
    kind = Audio(1000, 4, 2)
    assert converted(kind, np.arange(6, dtype=np.float32)).tolist() == [[2, 3, 4, 5]]
    assert converted(kind, np.ones(2, np.float32)).tolist() == [[0, 0, 1, 1]]
    assert converted(kind, Sound(np.full(4, -32768, np.int16), 1000)).tolist() == [[-1, -1, -1, -1]]


@pytest.mark.parametrize("wrong", [np.zeros((2, 4), np.float32), np.zeros(4), [0.0], "x"])
def test_what_is_no_sound_is_refused(wrong):
    with pytest.raises(InputError, match="expected sound"):
        Audio(1000, 4, 2).convert(wrong)


def test_text_is_cut_where_a_character_ends():
    row = converted(Text(4), " 加a加 ")
    assert bytes(row[0].astype(np.uint8)) == "加a".encode()
    assert row.dtype == np.int32
    assert converted(Text(4), "").sum() == 0
    with pytest.raises(InputError, match="expected text as str"):
        Text(4).convert(b"add")


def test_tensors_are_taken_as_they_are():
    kind = Tensor((2, 3), modality="imu")
    assert converted(kind, np.zeros((2, 3), np.float32)).shape == (1, 2, 3)
    with pytest.raises(InputError, match=r"expected float32 \[2, 3\]; got float64 \[2, 3\]"):
        kind.convert(np.zeros((2, 3)))
    with pytest.raises(InputError, match="got >f4"):
        kind.convert(np.zeros((2, 3), ">f4"))


def windows_of(sliding, samples, captured_ns):
    return [(window.copy(), end_ns) for (window,), end_ns in sliding.push(samples, captured_ns)]


def test_windows_do_not_depend_on_how_the_sound_is_cut():
    spec = Audio(1000, 50, 20)
    sound = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    whole = windows_of(spec.open_feed(), sound, 0)
    assert [end // MS for _, end in whole] == list(range(20, 1001, 20))
    np.testing.assert_array_equal(whole[-1][0][0], sound[-50:])
    pieces, sliding, start = [], spec.open_feed(), 0
    for size in np.random.default_rng(1).integers(1, 90, 40):
        pieces += windows_of(sliding, sound[start : start + size], start * MS)
        start += size
    for (left, at), (right, when) in zip(whole, pieces, strict=False):
        np.testing.assert_array_equal(left, right)
        assert at == when


def test_a_gap_in_a_sound_starts_a_new_window():
    sliding = Audio(1000, 50, 20).open_feed()
    windows_of(sliding, np.ones(40, np.float32), 0)
    windows = windows_of(sliding, np.full(20, 2, np.float32), 5000 * MS)
    assert windows[0][1] == 5020 * MS
    assert sorted(set(windows[0][0].ravel().tolist())) == [0, 2], "nothing of what was before the gap"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "image", "height": 3}, "width"),
        ({"kind": "image", "height": 3, "width": 0}, "at least 1"),
        ({"kind": "image", "height": 3, "width": 3, "hight": 3}, "unknown key 'hight'"),
        ({"kind": "image", "height": 3, "width": 3, "fit": "zoom"}, "crop, letterbox or stretch"),
        ({"kind": "audio", "sample_rate_hz": 8000, "window_ms": 10, "hop_ms": 20}, "must not exceed"),
        ({"kind": "tensor", "shape": [0]}, "at least 1"),
        ({"kind": "tensor", "shape": [1], "dtype": "complex64"}, "unknown dtype"),
        ({"height": 3}, "kind is missing"),
    ],
)
def test_inputs_that_cannot_be(table, message):
    with pytest.raises(SpecError, match=message):
        declaration_from_table("input", table, "x")


def test_inputs_survive_json():
    for spec in (Image(3, 4, "stretch"), Audio(8000), Text(9), Tensor((2,), "int32", "imu")):
        assert declaration_from_table("input", table_from_declaration(spec), "x") == spec
