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


def test_a_sound_of_exactly_a_window_is_not_copied():
    sound = np.arange(4, dtype=np.float32)
    assert np.shares_memory(converted(Audio(1000, 4, 2), sound), sound)


def test_whole_numbers_of_sound_are_scaled_to_one():
    window = converted(Audio(1000, 4, 2), np.array([-32768, -16384, 0, 16384], np.int16))
    assert window.dtype == np.float32
    assert window.tolist() == [[-1, -0.5, 0, 0.5]]


def test_sound_at_another_rate_is_refused():
    with pytest.raises(InputError, match=r"takes sound at 1000 Hz, got 8000 Hz; resample it first, e.g. soxr"):
        Audio(1000, 4, 2).convert(Sound(np.zeros(4, np.float32), 8000))


def test_windows_and_hops_are_whole_samples_and_a_hop_is_at_least_one():
    kind = Audio(11_025, 30, 10)
    assert (kind.window_samples, kind.hop_samples) == (330, 110)
    assert Audio(48_000).hop_samples == 4800
    assert Audio(500, 10, 1).hop_samples == 1
    assert Audio(8000).window_samples == 10 * Audio(8000).hop_samples == 8000


@pytest.mark.parametrize("name", ["sample_rate_hz", "window_ms", "hop_ms"])
def test_sound_without_a_rate_a_window_or_a_hop_cannot_be(name):
    with pytest.raises(SpecError, match=f"{name} must be a whole number"):
        Audio(**{"sample_rate_hz": 8000, name: 0})


def test_a_hop_may_be_a_whole_window():
    assert Audio(8000, 20, 20).hop_samples == Audio(8000, 20, 20).window_samples


def test_text_is_cut_where_a_character_ends():
    row = converted(Text(4), " 加a加 ")
    assert bytes(row[0].astype(np.uint8)) == "加a".encode()
    for size in (5, 6):
        assert bytes(converted(Text(size), "加a加")[0, :6].astype(np.uint8)).rstrip(b"\0") == "加a".encode()
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


def test_a_tensor_may_come_with_its_batch_axis_and_is_never_handed_on_itself():
    kind = Tensor((2, 3))
    for raw in (np.zeros((2, 3), np.float32), np.zeros((1, 2, 3), np.float32)):
        got = converted(kind, raw)
        assert got.shape == (1, 2, 3)
        assert got is not raw
        assert np.shares_memory(got, raw)


@pytest.mark.parametrize("wrong", [np.zeros((2, 2, 3), np.float32), np.zeros((3, 2), np.float32), [[0.0] * 3] * 2])
def test_a_tensor_of_another_shape_or_type_is_refused(wrong):
    with pytest.raises(InputError, match=r"expected float32 \[2, 3\]"):
        Tensor((2, 3)).convert(wrong)


@pytest.mark.parametrize("shape", [(), (2, 0), (2, 1.5), ("2",), 3])
def test_a_shape_is_whole_numbers_of_at_least_one(shape):
    with pytest.raises(SpecError, match="shape must be whole numbers of at least 1"):
        Tensor(shape)


def test_a_shape_may_be_a_list_and_of_single_numbers():
    assert Tensor([1]) == Tensor((1,))


def test_text_loses_white_space_around_it_and_what_would_end_it():
    assert bytes(converted(Text(8), "\t a\0b\n")[0].astype(np.uint8)) == b"ab\0\0\0\0\0\0"


def test_half_a_character_is_no_reason_to_fail():
    assert converted(Text(8), "\ud800").tolist() == converted(Text(8), "?").tolist()


def test_text_of_no_bytes_cannot_be():
    with pytest.raises(SpecError, match="max_bytes must be a whole number"):
        Text(0)


def test_rows_of_a_calibration_file_are_lines_or_their_bytes():
    lines = ["ab", "加", ""]
    assert Text(4).raw_rows(np.array(lines)) == lines
    assert Text(4).raw_rows(np.concatenate([converted(Text(4), line) for line in lines])) == lines


def test_half_a_character_in_a_row_of_bytes_is_left_out():
    assert Text(4).raw_rows(np.array([["加".encode()[0], 0, 0, 0]])) == [""]


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
        ({"kind": "audio", "sample_rate_hz": 768_001}, "sample_rate_hz must be at most 768000, got 768001"),
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
