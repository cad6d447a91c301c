import numpy as np

from edgemm_plugins.sources.timeline import BACK_NS, DEPTH_LIMIT, JUMP_NS, SECOND_NS, Timeline, TimesInOrder

MS = 1_000_000


def placed(timeline: Timeline, stream: int, times_ms: list[int], length_ms: int = 40) -> list[int]:
    return [timeline.place(stream, at_ms * MS, length_ms * MS) // MS for at_ms in times_ms]


def test_times_count_from_the_origin() -> None:
    timeline = Timeline(5 * SECOND_NS, may_jump=True)
    assert placed(timeline, 0, [5000, 5040, 4990, 5080]) == [0, 40, 0, 80]
    assert timeline.ends_ns == {0: 120 * MS}
    assert timeline.breaks == 0


def test_a_frame_without_a_time_follows_the_one_before() -> None:
    timeline = Timeline(0, may_jump=True)
    assert timeline.place(0, 7 * MS, 40 * MS) == 7 * MS
    assert timeline.place(0, None, 40 * MS) == 47 * MS


def test_a_restart_goes_on_and_both_streams_keep_together() -> None:
    timeline = Timeline(0, may_jump=False)
    placed(timeline, 0, [0, 1000, 2000], 1000)
    placed(timeline, 1, [0, 1000], 1000)
    assert placed(timeline, 0, [0, 1000], 1000) == [3000, 4000]
    assert placed(timeline, 1, [2000], 1000) == [2000]  # what is left of before the break
    assert placed(timeline, 1, [0, 1000], 1000) == [3000, 4000]
    assert timeline.breaks == 1


def test_one_damaged_time_moves_nothing_after_it() -> None:
    timeline = Timeline(0, may_jump=True)
    assert placed(timeline, 0, [0, 40, 72_000_000, 120, 160]) == [0, 40, 80, 120, 160]


def test_a_step_ahead_is_a_break_only_where_time_may_jump() -> None:
    ahead = JUMP_NS // MS + 1000
    assert placed(Timeline(0, may_jump=True), 0, [0, ahead]) == [0, 40]
    assert placed(Timeline(0, may_jump=False), 0, [0, ahead]) == [0, ahead]


def test_a_stream_that_pauses_while_another_goes_on_has_not_jumped() -> None:
    timeline = Timeline(0, may_jump=True)
    placed(timeline, 1, [0])
    placed(timeline, 0, list(range(0, 30_000, 1000)))
    assert placed(timeline, 1, [29_000]) == [29_000]


def test_a_damaged_length_does_not_carry_time_away() -> None:
    timeline = Timeline(0, may_jump=True)
    timeline.place(0, 0, 10**15)
    assert timeline.ends_ns[0] <= SECOND_NS


def test_pictures_out_of_order_within_the_limit_are_no_break() -> None:
    timeline = Timeline(0, may_jump=True)
    back = BACK_NS // MS - 1
    assert placed(timeline, 0, [1000, 1040 - back], 40)[1] == 1040 - back


def test_times_are_put_in_order_and_pictures_stay_in_theirs() -> None:
    order, given = TimesInOrder(), []
    for picture, time_ns in enumerate([1, 3, 4, 2, 6, 7, 5]):
        given += order.push(time_ns, picture)
    given += order.flush()
    assert given == [(number + 1, number) for number in range(7)]


def test_deeper_reordering_is_learnt_and_time_never_goes_back() -> None:
    order, given = TimesInOrder(), []
    shuffled = np.arange(160).reshape(-1, 8)[:, ::-1].ravel()
    for picture, time_ns in enumerate(shuffled):
        given += order.push(int(time_ns), picture)
        assert len(given) >= picture - DEPTH_LIMIT
    given += order.flush()
    assert [picture for _, picture in given] == list(range(160))
    times = [time_ns for time_ns, _ in given]
    assert times == sorted(times)
    assert times[-100:] == list(range(60, 160))
