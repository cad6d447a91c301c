import numpy as np

from edgemm_plugins.sources.stream_clock import StreamClock

MS = 1_000_000
BLOCK_NS = 20 * MS
START_NS = 7_000_000_000


def errors_ms(clock: StreamClock, blocks: int, delay_ns, speed: float = 1.0, lost_ns=lambda number: 0) -> np.ndarray:
    """Stamp minus the true time of each block, ms; `delay_ns(i)` is how late block i comes, `lost_ns(i)` what was lost before it."""
    errors, arrival_ns = [], 0
    for number in range(blocks):
        device_ns = number * BLOCK_NS
        true_ns = START_NS + int(device_ns * speed) + lost_ns(number)
        arrival_ns = max(arrival_ns, true_ns + delay_ns(number))  # no block overtakes another
        errors.append((clock.stamp(device_ns, arrival_ns) - true_ns) / MS)
    return np.array(errors)


def test_bursts_do_not_make_time_jump() -> None:
    random = np.random.default_rng(0)
    errors = errors_ms(StreamClock(), 1000, lambda number: int(random.choice([0, 0, 40, 90])) * MS)
    assert np.abs(np.diff(errors[60:])).max() < 2
    assert np.abs(errors[60:]).max() < 2


def test_a_late_first_block_is_forgotten() -> None:
    errors = errors_ms(StreamClock(), 200, lambda number: 900 * MS if number == 0 else 5 * MS)
    assert np.abs(errors[45:] - 5).max() < 1e-6


def test_drift_is_followed() -> None:
    clock = StreamClock()
    errors = errors_ms(clock, 60_000, lambda number: 10 * MS, speed=1.0001)
    assert np.abs(errors - 10).max() < 3  # 20 minutes at 100 ppm are 120 ms when nobody follows
    assert clock.steps == 0


def test_lost_sound_sets_time_anew() -> None:
    clock = StreamClock()
    errors = errors_ms(clock, 1000, lambda number: 0, lost_ns=lambda number: 500 * MS if number >= 300 else 0)
    assert clock.steps == 1
    assert np.abs(errors[410:]).max() < 1
    assert np.abs(errors[:300]).max() < 1


def test_a_device_that_starts_counting_again_is_followed() -> None:
    clock = StreamClock()
    for number in range(100):
        clock.stamp(number * BLOCK_NS, START_NS + number * BLOCK_NS)
    assert clock.stamp(0, START_NS + 5_000_000_000) == START_NS + 5_000_000_000
    assert clock.steps == 1


def test_time_never_goes_back_nor_beyond_arrival() -> None:
    random = np.random.default_rng(1)
    clock, before_ns, arrival_ns = StreamClock(), 0, 0
    for number in range(2000):
        device_ns = number * BLOCK_NS
        arrival_ns = max(arrival_ns, START_NS + device_ns + int(random.integers(0, 400)) * MS)
        stamp_ns = clock.stamp(device_ns, arrival_ns)
        assert before_ns <= stamp_ns <= arrival_ns
        before_ns = stamp_ns
