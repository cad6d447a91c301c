"""A camera's frames as clips."""

from __future__ import annotations

import numpy as np
import pytest

from edgemm.errors import InputError, SpecError
from edgemm_plugins.inputs.clip import Clip

MS = 1_000_000


def frame(value, height=2, width=2):
    return np.full((height, width, 3), value, np.uint8)


def clips_of(feed, values, start_ms=0, step_ms=40):
    """(value of each frame of a clip, its time in ms) for every clip that frames of these values complete."""
    found = []
    for number, value in enumerate(values):
        for (clip,), at_ns in feed.push(frame(value), (start_ms + number * step_ms) * MS):
            found.append((clip[0, :, 0, 0, 0].tolist(), at_ns // MS))
    return found


def test_nothing_comes_until_a_clip_is_whole_and_then_one_per_hop():
    assert clips_of(Clip(3, 2, 2, hop=2).open_feed(), range(1, 9)) == [
        ([1, 2, 3], 80),
        ([3, 4, 5], 160),
        ([5, 6, 7], 240),
    ]


def test_every_so_many_frames_one_is_taken():
    feed = Clip(3, 2, 2, stride=4).open_feed()
    assert clips_of(feed, range(1, 15)) == [([1, 5, 9], 320), ([5, 9, 13], 480)]


def test_a_gap_starts_a_new_clip_and_a_new_stride():
    feed = Clip(2, 2, 2, stride=2, gap_ms=100).open_feed()
    assert clips_of(feed, range(1, 5)) == [([1, 3], 80)]
    assert clips_of(feed, range(11, 14), start_ms=120 + 101) == [([11, 13], 301)]


@pytest.mark.parametrize("back_ns", [1, MS])
def test_a_time_that_goes_back_starts_a_new_clip(back_ns):
    feed = Clip(2, 2, 2).open_feed()
    clips_of(feed, [1], start_ms=500)
    assert feed.push(frame(2), 500 * MS - back_ns) == ()
    assert clips_of(feed, [3], start_ms=540) == [([2, 3], 540)]


def test_a_gap_that_may_be_does_not():
    feed = Clip(2, 2, 2, gap_ms=100).open_feed()
    assert clips_of(feed, [1, 2], step_ms=100) == [([1, 2], 100)]


def test_a_reset_feed_has_seen_nothing():
    feed = Clip(2, 2, 2).open_feed()
    clips_of(feed, [1, 2, 3])
    feed.reset()
    assert clips_of(feed, [4, 5], start_ms=120) == [([4, 5], 160)]


def test_frames_are_fitted_as_an_image_is():
    feed = Clip(1, 4, 4, fit="letterbox").open_feed()
    (((clip,), _),) = feed.push(np.full((4, 8), 200, np.uint8), 0)
    assert clip.shape == (1, 1, 4, 4, 3)
    assert clip[0, 0, :, 0, 0].tolist() == [0, 200, 200, 0]


@pytest.mark.parametrize("stride", [1, 3])
def test_what_is_no_frame_is_refused_even_where_it_would_not_be_taken(stride):
    feed = Clip(2, 2, 2, stride=stride).open_feed()
    clips_of(feed, [1])
    with pytest.raises(InputError, match="expected a frame"):
        feed.push(np.zeros((2, 2, 3)), 40 * MS)
    assert clips_of(feed, range(2, 2 + stride), start_ms=40)[0][0] == [1, 1 + stride], "as if it had not come"


def test_clips_are_lent():
    feed = Clip(1, 2, 2).open_feed()
    assert feed.borrowed
    (((first,), _),) = feed.push(frame(1), 0)
    (((second,), _),) = feed.push(frame(2), 1)
    assert first.base is second.base, "no copy"


def test_a_whole_clip_is_taken_as_it_is_and_a_longer_piece_by_its_stride():
    kind = Clip(3, 2, 2, stride=2)
    video = np.stack([frame(value) for value in range(9)])
    (clip,) = kind.convert(video[:3])
    assert clip.shape == (1, 3, 2, 2, 3)
    assert np.shares_memory(clip, video)
    assert kind.convert(video)[0][0, :, 0, 0, 0].tolist() == [4, 6, 8]
    assert kind.convert([frame(value, 4, 4) for value in range(5)])[0][0, :, 0, 0, 0].tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (frame(1), "a clip of 3 frames"),
        (np.zeros((4, 2, 2, 3), np.uint8), r"3 frames, or at least 5 to take every 2\. of; got 4"),
        (np.zeros((3, 2, 2, 3)), "uint8 RGB"),
        (np.zeros(3, np.uint8), "numpy array, uint8 \\(n, height"),
        ("a clip", "numpy array, uint8 \\(n, height"),
        ([frame(1), "no", frame(1)], "expected a frame"),
    ],
)
def test_what_is_no_clip_is_refused(raw, message):
    with pytest.raises(InputError, match=message):
        Clip(3, 2, 2, stride=2).convert(raw)


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"stride": 0}, {"hop": 1.5}, {"gap_ms": 0}, {"fit": "zoom"}])
def test_what_cannot_be_declared(wrong):
    with pytest.raises(SpecError, match=f"clip input: {next(iter(wrong))} must be"):
        Clip(**{"frames": 3, "height": 2, "width": 2, **wrong})


def test_any_camera_feeds_it():
    assert Clip(2, 2, 2).modality == "image"
