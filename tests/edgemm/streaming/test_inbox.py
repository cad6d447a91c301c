"""An input that a program pushes into: what it holds, what it drops, and when its reader ends."""

from __future__ import annotations

import time

import pytest

from edgemm.errors import UsageError
from edgemm.host.interfaces import Source
from edgemm.streaming.inbox import Inbox


def values_of(inbox):
    """What a closed inbox still holds, as its stream reads it."""
    return [packet.value for packet in inbox.source("text").packets(lambda: False)]


def test_values_come_out_in_order_with_their_time_and_number():
    inbox = Inbox()
    inbox.put("one", captured_ns=5)
    inbox.put("two", captured_ns=6)
    inbox.close()
    packets = list(inbox.source("text").packets(lambda: False))
    assert [(packet.input, packet.value, packet.captured_ns, packet.sequence) for packet in packets] == [
        ("text", "one", 5, 0),
        ("text", "two", 6, 1),
    ]


def test_a_value_without_a_time_was_captured_now():
    inbox = Inbox()
    before = time.monotonic_ns()
    inbox.put("now")
    inbox.close()
    (packet,) = inbox.source("text").packets(lambda: False)
    assert before <= packet.captured_ns <= time.monotonic_ns()


def test_a_full_inbox_drops_the_oldest_and_counts_it():
    inbox = Inbox(limit=2)
    for number in range(5):
        inbox.put(number)
    inbox.close()
    packets = list(inbox.source("text").packets(lambda: False))
    assert [(packet.value, packet.sequence) for packet in packets] == [(3, 3), (4, 4)]
    assert inbox.dropped == 3


def test_an_inbox_that_was_never_full_dropped_nothing():
    inbox = Inbox(limit=2)
    inbox.put(1)
    inbox.put(2)
    assert inbox.dropped == 0


def test_an_inbox_holds_64_values_unless_told_otherwise():
    inbox = Inbox()
    for number in range(65):
        inbox.put(number)
    inbox.close()
    assert inbox.limit == 64
    assert values_of(inbox) == list(range(1, 65))


def test_an_inbox_may_hold_one_value_only():
    inbox = Inbox(limit=1)
    inbox.put(1)
    inbox.put(2)
    inbox.close()
    assert values_of(inbox) == [2]


def test_a_limit_below_one_is_refused():
    with pytest.raises(UsageError, match="limit=0"):
        Inbox(limit=0)


def test_a_reader_waits_for_what_is_pushed(background, waits_in):
    inbox = Inbox()
    reader = background(lambda: inbox.take(100))
    waits_in(reader, "take")
    inbox.put("here", captured_ns=1)
    assert reader.end() == (1, 0, "here")


def test_a_reader_gives_up_when_its_time_is_over():
    assert Inbox().take(0.01) is None


def test_closing_ends_a_waiting_reader(background, waits_in):
    inbox = Inbox()
    reader = background(lambda: inbox.take(100) or "nothing came")
    waits_in(reader, "take")
    inbox.close()
    assert reader.end() == "nothing came"


def test_a_closed_inbox_keeps_nobody_waiting():
    inbox = Inbox()
    inbox.close()
    assert inbox.take(1e6) is None


def test_an_inbox_is_finished_when_it_is_closed_and_empty():
    inbox = Inbox()
    assert not inbox.is_finished, "it is open"
    inbox.put(1)
    inbox.close()
    assert not inbox.is_finished, "it holds a value"
    inbox.take(0)
    assert inbox.is_finished


def test_closing_the_source_ends_its_packets(background, waits_in):
    source = Inbox().source("text")
    reader = background(lambda: list(source.packets(lambda: False)))
    waits_in(reader, "take")
    source.close()
    assert reader.end() == []


def test_a_stream_that_stops_is_noticed_while_nothing_comes(background):
    inbox = Inbox()
    stops = iter([False, True])
    reader = background(lambda: list(inbox.source("text").packets(lambda: next(stops))))
    assert reader.end() == []


def test_a_stopped_stream_takes_nothing_more():
    inbox = Inbox()
    inbox.put(1)
    assert list(inbox.source("text").packets(lambda: True)) == []


def test_a_closed_inbox_refuses_values():
    inbox = Inbox()
    inbox.source("text").close()
    with pytest.raises(UsageError, match="closed"):
        inbox.put("late")


def test_an_inbox_may_be_closed_again():
    inbox = Inbox()
    inbox.close()
    inbox.close()
    assert inbox.is_finished


def test_an_inbox_feeds_one_input_only():
    inbox = Inbox()
    inbox.source("text")
    with pytest.raises(UsageError, match="feeds 'text' already; make another one for 'other'"):
        inbox.source("other")


def test_its_source_is_live_and_delivers_its_input():
    source = Inbox().source("text")
    assert isinstance(source, Source)
    assert source.live is True, "values are stamped when they are put"
    assert source.inputs == ("text",)
