"""Rings and sliding windows: the newest rows, whatever the pieces they came in."""

from __future__ import annotations

import numpy as np
import pytest

from edgemm.errors import InputError
from edgemm.inputs.kind import InputKind
from edgemm.inputs.windows import Ring, SlidingWindow

MS = 1_000_000


def rows_of(count, *row):
    """Rows that are all different and never zero."""
    return np.arange(1, 1 + count * int(np.prod(row)), dtype=np.float32).reshape(count, *row)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("row", [(), (3,), (2, 2)])
def test_a_ring_holds_the_newest_rows_behind_zeros(size, row):
    ring, rows = Ring(size, row, np.float32), rows_of(12, *row)
    padded = np.concatenate([np.zeros((size, *row), np.float32), rows])
    for count in range(12):
        assert ring.window().shape == (1, size, *row)
        np.testing.assert_array_equal(ring.window()[0], padded[count : count + size])
        np.testing.assert_array_equal(ring.append(rows[count])[0], padded[count + 1 : count + 1 + size])
        assert ring.written == count + 1


@pytest.mark.parametrize("size", [1, 4, 7])
def test_a_ring_takes_rows_in_pieces_of_any_length(size):
    rows = rows_of(300, 2)
    padded = np.concatenate([np.zeros((size, 2), np.float32), rows])
    ring, generator, count = Ring(size, (2,), np.float32), np.random.default_rng(size), 0
    while count < 280:
        piece = int(generator.integers(0, 2 * size + 3))
        ring.extend(rows[count : count + piece])
        count += piece
        assert ring.written == count
        np.testing.assert_array_equal(ring.window()[0], padded[count : count + size])


def test_a_window_of_a_ring_is_a_view_of_one_piece():
    ring = Ring(3, (2,), np.uint8)
    for value in range(5):
        window = ring.append(value)
        assert window.base is not None
        assert window.flags.c_contiguous
        assert window.base is ring.window().base, "no copy"


@pytest.mark.parametrize("written", [3, 4, 5])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_row_of_a_ring_that_is_blanked_is_zero_wherever_the_window_starts(written, place):
    ring, rows = Ring(3, (), np.float32), rows_of(written)
    ring.extend(rows)
    ring.blank((written + place) % 3)
    expected = [0.0 if number == place else row for number, row in enumerate(rows[-3:].tolist())]
    assert ring.window()[0].tolist() == expected
    for value in (7.0, 8.0, 9.0):
        expected = [*expected[1:], value]
        assert ring.append(value)[0].tolist() == expected


def test_a_cleared_ring_is_a_new_one():
    ring = Ring(3, (), np.float32)
    ring.extend(rows_of(5))
    ring.clear()
    assert ring.written == 0
    assert not ring.window().any()
    assert ring.append(7)[0].tolist() == [0, 0, 7]


class Numbers(InputKind):
    kind = "numbers"


def numbers(raw):
    if not isinstance(raw, np.ndarray):
        raise InputError("expected numbers")
    return raw


def feed(size=50, hop=20, rate_hz=1000, **options):
    return SlidingWindow(Numbers(), numbers, size=size, hop=hop, rate_hz=rate_hz, **options)


def windows_of(sliding, samples, captured_ns):
    return [(window[0].copy(), end_ns) for (window,), end_ns in sliding.push(samples, captured_ns)]


def test_windows_do_not_depend_on_how_the_samples_are_cut():
    samples = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    whole = windows_of(feed(), samples, 0)
    assert [end // MS for _, end in whole] == list(range(20, 1001, 20))
    np.testing.assert_array_equal(whole[-1][0], samples[-50:])
    np.testing.assert_array_equal(whole[0][0], [*np.zeros(30), *samples[:20]])
    pieces, sliding, start = [], feed(), 0
    for size in np.random.default_rng(1).integers(1, 90, 40):
        pieces += windows_of(sliding, samples[start : start + size], start * MS)
        start += size
    assert len(pieces) == len(whole)
    for (left, at), (right, when) in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(left, right)
        assert at == when


def test_a_window_may_wait_until_it_is_full():
    assert [end // MS for _, end in windows_of(feed(first=50), rows_of(95), 0)] == [50, 70, 90]


def test_rows_may_have_a_shape_and_the_rate_a_fraction():
    ((window, end_ns),) = windows_of(feed(size=2, hop=2, rate_hz=0.5, row=(3,)), rows_of(2, 3), 7)
    np.testing.assert_array_equal(window, rows_of(2, 3))
    assert end_ns == 7 + 4_000 * MS


@pytest.mark.parametrize("jump_ms", [26, 5000, -26])
def test_a_gap_of_more_than_half_a_window_starts_anew(jump_ms):
    sliding = feed()
    windows_of(sliding, rows_of(60), 100 * MS)
    at = (160 + jump_ms) * MS
    assert windows_of(sliding, np.full(19, 2000, np.float32), at) == []
    ((window, end_ns),) = windows_of(sliding, np.full(1, 2000, np.float32), at + 19 * MS)
    assert end_ns == at + 20 * MS
    assert window.tolist() == [0.0] * 30 + [2000.0] * 20, "nothing of what was before the gap"


@pytest.mark.parametrize("jump_ms", [25, -25])
def test_a_smaller_gap_is_slewed(jump_ms):
    sliding = feed()
    windows_of(sliding, rows_of(60), 0)
    ((window, end_ns),) = windows_of(sliding, np.full(20, 2000, np.float32), (60 + jump_ms) * MS)
    assert end_ns == 80 * MS + jump_ms * MS // 64
    np.testing.assert_array_equal(window[:30], rows_of(60)[30:])


def test_a_reset_window_is_a_new_one():
    sliding, fresh = feed(first=50), feed(first=50)
    windows_of(sliding, rows_of(65), 0)
    sliding.reset()
    for each in (sliding, fresh):
        assert windows_of(each, rows_of(49), 10_000 * MS) == []
    (left, right) = (windows_of(each, rows_of(1), 10_049 * MS) for each in (sliding, fresh))
    np.testing.assert_array_equal(left[0][0], right[0][0])
    assert left[0][1] == right[0][1] == 10_050 * MS


def test_what_does_not_fit_leaves_no_trace():
    sliding = feed()
    windows_of(sliding, rows_of(10), 0)
    with pytest.raises(InputError):
        sliding.push("no numbers", 99_000 * MS)
    ((window, end_ns),) = windows_of(sliding, rows_of(10), 10 * MS)
    assert end_ns == 20 * MS
    np.testing.assert_array_equal(window[30:], [*rows_of(10), *rows_of(10)])


def test_its_windows_are_lent():
    assert feed().borrowed
