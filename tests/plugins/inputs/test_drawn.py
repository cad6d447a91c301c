"""What kinds draw for checks and give as examples, and how they describe themselves."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from edgemm_plugins.inputs.audio import Audio, Sound
from edgemm_plugins.inputs.clip import Clip
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.motion import Motion
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.inputs.text import Text


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("kind", "modality", "trigger", "live_packets"),
    [
        (Image(4, 6), "image", "arrival", 8),
        (Audio(8000), "audio", "arrival", 100),
        (Text(), "text", "change", 8),
        (Clip(8, 4, 6), "image", "arrival", 16),
        (Motion(), "imu", "arrival", 256),
        (Motion(modality="current"), "current", "arrival", 256),
        (Tensor((3,)), "tensor", "arrival", 8),
        (Tensor((3,), modality="depth"), "depth", "arrival", 8),
    ],
)
def test_kinds_say_what_feeds_them_when_they_run_and_how_much_may_wait(kind, modality, trigger, live_packets):
    assert (kind.modality, kind.trigger, kind.live_packets) == (modality, trigger, live_packets)


@pytest.mark.parametrize("kind", [Image(4, 6), Audio(8000), Text(), Clip(8, 4, 6), Motion(), Tensor((3,))])
def test_declarations_that_say_the_same_are_one_key(kind):
    assert {kind: 1}[replace(kind)] == 1


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Image(4, 6), "6 x 4 RGB, crop"),
        (Audio(22_050, 30, 10), "22.05 kHz, 30 ms by 10"),
        (Text(), "up to 64 bytes"),
        (Clip(8, 4, 6, hop=2), "8 frames, 6 x 4 RGB, crop; every 2"),
        (Clip(8, 4, 6, stride=2), "8 frames, one of 2, 6 x 4 RGB, crop; every 1"),
        (Motion(3, 50, 5, 12.5), "3 channels at 12.5 Hz, 50 samples every 5"),
        (Tensor((2, 3), "int8"), "int8 [2, 3]"),
    ],
)
def test_kinds_describe_themselves_in_a_line(kind, words):
    assert kind.describe() == words


@pytest.mark.parametrize(
    ("kind", "tensor"),
    [
        (Image(4, 6), "uint8 [batch, 4, 6, 3]"),
        (Audio(8000, 30, 10), "float32 [batch, 240]"),
        (Text(9), "int32 [batch, 9]"),
        (Clip(8, 4, 6), "uint8 [batch, 8, 4, 6, 3]"),
        (Motion(3, 50, 5), "float32 [batch, 50, 3]"),
        (Tensor([2, 3], "int8"), "int8 [batch, 2, 3]"),
    ],
)
def test_what_is_drawn_is_the_tensor_that_is_declared(kind, tensor, generator):
    (spec,) = kind.tensors
    (drawn,) = kind.draw(3, generator)
    assert str(spec) == tensor
    assert f"{drawn.dtype} {list(drawn.shape)}".replace("[3,", "[batch,") == tensor
    assert len({row.tobytes() for row in drawn}) == 3, "no two rows are alike"


@pytest.mark.parametrize("kind", [Image(40, 60), Clip(4, 40, 60)])
def test_drawn_frames_have_every_level(kind, generator):
    (drawn,) = kind.draw(2, generator)
    assert set(np.unique(drawn)) == set(range(256))


def test_each_frame_of_a_drawn_clip_is_the_one_before_moved_by_a_row(generator):
    (drawn,) = Clip(4, 5, 6).draw(2, generator)
    for clip in drawn:
        for before, after in pairwise(clip):
            np.testing.assert_array_equal(np.roll(before, 1, axis=0), after)


@pytest.mark.parametrize("kind", [Image(4, 6), Clip(8, 4, 6)])
def test_an_example_of_a_camera_is_a_frame_of_its_own_size(kind, generator):
    frame = kind.example(generator)
    assert (frame.dtype, frame.shape) == (np.uint8, (480, 640, 3))
    assert set(np.unique(frame)) == set(range(256))


def test_drawn_sound_is_loud_in_the_middle_and_neither_silent_nor_clipped_at_its_ends(generator):
    (drawn,) = Audio(8000, 500, 100).draw(20, generator)
    middle, ends = np.abs(drawn[:, 1500:2500]), np.abs(drawn[:, [0, -1]])
    assert np.abs(drawn).max() <= 1
    assert middle.max(axis=1).min() > 0.5
    assert middle.max() < 0.9, "half as loud as can be, and a little noise"
    assert ends.min() > 0
    assert ends.max() < 0.25


def test_drawn_tones_lie_between_100_hz_and_half_of_what_the_rate_can_tell(generator):
    (drawn,) = Audio(8000, 1000, 100).draw(200, generator)
    pitches_hz = np.abs(np.fft.rfft(drawn)).argmax(axis=1)
    assert 98 <= pitches_hz.min() < 140
    assert 1940 < pitches_hz.max() <= 2002


def test_a_window_of_one_sample_can_be_drawn(generator):
    (drawn,) = Audio(1000, 1, 1).draw(2, generator)
    assert drawn.shape == (2, 1)


def test_an_example_of_sound_is_the_newest_hop(generator):
    sound = Audio(8000, 30, 10).example(generator)
    assert isinstance(sound, Sound)
    assert (sound.samples.shape, sound.sample_rate_hz) == ((80,), 8000)
    window = Audio(8000, 30, 10).draw(1, np.random.default_rng(0))[0][0]
    np.testing.assert_array_equal(sound.samples, window[-80:])


def test_drawn_motion_swings_one_to_ten_times_per_window_each_channel_its_own(generator):
    (drawn,) = Motion(3, 200, 5).draw(50, generator)
    strongest = np.abs(np.fft.rfft(drawn, axis=1)).argmax(axis=1)
    assert set(strongest.ravel()) == set(range(1, 11))
    assert len({tuple(row) for row in strongest}) > 40
    assert 0.95 < np.abs(drawn).max() < 1.3
    starts = drawn[:, 0]
    assert starts.min() < -0.9
    assert starts.max() > 0.9, "each begins elsewhere"
    (other,) = Motion(3, 200, 5).draw(50, np.random.default_rng(1))
    still = np.abs(drawn - np.apply_along_axis(np.convolve, 1, drawn, np.ones(5) / 5, "same"))
    assert 0.02 < still[:, 5:-5].std() < 0.08, "a little noise"
    assert not np.array_equal(drawn, other)


def test_an_example_of_motion_is_the_newest_hop(generator):
    block = Motion(3, 50, 5).example(generator)
    assert block.shape == (5, 3)
    np.testing.assert_array_equal(block, Motion(3, 50, 5).draw(1, np.random.default_rng(0))[0][0, -5:])


def test_drawn_lines_are_an_example_with_a_number_behind_it(generator):
    (drawn,) = Text(64).draw(50, generator)
    lines = Text(64).raw_rows(drawn)
    examples, numbers = zip(*(line.rsplit(" ", 1) for line in lines), strict=True)
    assert set(examples) == {Text(64).example(np.random.default_rng(seed)) for seed in range(50)}
    assert 10_000 < max(map(int, numbers)) < 1_000_000


@pytest.mark.parametrize("rate_hz", [1, 100, 399, 400, 8000])
def test_sound_is_drawn_at_any_rate(rate_hz):
    kind = Audio(rate_hz, 1000, 1000)
    (drawn,) = kind.draw(2, np.random.default_rng(0))
    assert drawn.shape == (2, rate_hz)
    assert np.isfinite(drawn).all()
