"""Sampled sensors as windows."""

from __future__ import annotations

import numpy as np
import pytest

from edgemm.errors import InputError, SpecError
from edgemm_plugins.inputs.motion import Motion

MS = 1_000_000
ROWS = np.arange(1, 61, dtype=np.float32).reshape(20, 3)


def windows_of(feed, pieces, start_ms=0, step_ms=10):
    """(window, its time in ms) of every window that samples or blocks complete, at 100 Hz."""
    found, at_ms = [], start_ms
    for piece in pieces:
        found += [(window[0].tolist(), end_ns // MS) for (window,), end_ns in feed.push(piece, at_ms * MS)]
        at_ms += step_ms * len(np.atleast_2d(piece))
    return found


def test_it_has_a_rate_and_a_window_of_its_own():
    kind = Motion()
    assert (kind.rate_hz, kind.modality) == (100.0, "imu")
    assert [str(spec) for spec in kind.tensors] == ["float32 [batch, 100, 6]"]


def test_single_samples_and_blocks_make_the_same_windows():
    kind = Motion(3, samples=4, hop=2)
    alone = windows_of(kind.open_feed(), list(ROWS))
    blocks = windows_of(kind.open_feed(), [ROWS[:3], ROWS[3:4], ROWS[4:15], ROWS[15:]])
    assert alone == blocks
    assert [at for _, at in alone] == [40, 60, 80, 100, 120, 140, 160, 180, 200]
    assert alone[1][0] == ROWS[2:6].tolist()


def test_the_rate_is_the_declared_one():
    feed = Motion(3, samples=4, hop=4, rate_hz=0.5).open_feed()
    assert [at for _, at in windows_of(feed, list(ROWS[:8]), step_ms=2000)] == [8000, 16000]


def test_a_gap_starts_anew_and_waits_until_the_window_is_full():
    feed = Motion(3, samples=4, hop=1).open_feed()
    windows_of(feed, list(ROWS[:6]))
    assert windows_of(feed, list(ROWS[10:14]), start_ms=1000) == [(ROWS[10:14].tolist(), 1040)]


@pytest.mark.parametrize("raw", [[1, 2, 3], (1.5, 2.0, 3.0), np.array([1, 2, 3], np.int16), np.array([[1.0, 2, 3]])])
def test_what_drivers_deliver_is_taken(raw):
    block = Motion(3).block(raw)
    assert block.dtype == np.float32
    np.testing.assert_allclose(block, np.atleast_2d(raw))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.zeros(4, np.float32), r"expected numbers \(3,\), or a block of them \(n, 3\); got float32 \[4\]"),
        (np.zeros((2, 4), np.float32), r"got float32 \[2, 4\]"),
        (np.zeros((1, 2, 3)), r"got float64 \[1, 2, 3\]"),
        (np.zeros((0, 3)), r"got float64 \[0, 3\]"),
        (np.zeros(3, bool), "got bool"),
        (["x", "y", "z"], "got <U1"),
        ([[1, 2, 3], [1]], "got list"),
        (1.0, "got float"),
        ([1.0, float("nan"), 2.0], "got NaN or infinity"),
    ],
)
def test_what_is_no_sample_is_refused(raw, message):
    feed = Motion(3, samples=2, hop=1).open_feed()
    windows_of(feed, [ROWS[0]])
    with pytest.raises(InputError, match=message):
        feed.push(raw, 9_000 * MS)
    assert windows_of(feed, [ROWS[1]], start_ms=10) == [(ROWS[:2].tolist(), 20)], "as if it had not come"


def test_a_block_of_the_graphs_own_numbers_is_not_copied():
    assert np.shares_memory(Motion(3).block(ROWS), ROWS)


def test_a_single_call_takes_the_newest_window_of_a_block():
    kind = Motion(3, samples=4, hop=4)
    assert kind.convert(ROWS)[0].tolist() == [ROWS[-4:].tolist()]
    with pytest.raises(InputError, match="expected at least 4 samples for a window, got 3"):
        kind.convert(ROWS[:3])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"channels": 0}, "channels must be a whole number"),
        ({"samples": 1.5}, "samples must be a whole number"),
        ({"hop": 0}, "hop must be a whole number"),
        ({"hop": 101}, r"hop \(101\) must not exceed samples \(100\)"),
        ({"rate_hz": 0}, "rate_hz must be a number above 0"),
        ({"rate_hz": True}, "rate_hz must be a number above 0"),
        ({"rate_hz": float("inf")}, "rate_hz must be a number above 0"),
        ({"rate_hz": "fast"}, "rate_hz must be a number above 0"),
        ({"modality": ""}, "modality must be a name"),
    ],
)
def test_what_cannot_be_declared(wrong, message):
    with pytest.raises(SpecError, match=message):
        Motion(**wrong)


def test_a_hop_may_be_a_whole_window_and_a_rate_a_whole_number():
    kind = Motion(samples=10, hop=10, rate_hz=50)
    assert isinstance(kind.rate_hz, float)
    assert kind.describe().startswith("6 channels at 50 Hz")
