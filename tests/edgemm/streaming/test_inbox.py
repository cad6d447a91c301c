import threading
import time

import pytest

from edgemm.errors import UsageError
from edgemm.host.interfaces import Source
from edgemm.streaming.inbox import Inbox


def test_values_come_out_in_order_with_their_time() -> None:
    inbox = Inbox()
    inbox.put("one", captured_ns=5)
    before = time.monotonic_ns()
    inbox.put("two")
    inbox.close()
    source = inbox.source("text")
    packets = list(source.packets(lambda: False))
    assert isinstance(source, Source)
    assert source.live
    assert source.inputs == ("text",)
    assert [(packet.input, packet.value, packet.sequence) for packet in packets] == [
        ("text", "one", 0),
        ("text", "two", 1),
    ]
    assert packets[0].captured_ns == 5
    assert before <= packets[1].captured_ns <= time.monotonic_ns()


def test_a_full_inbox_drops_the_oldest_and_counts_it() -> None:
    inbox = Inbox(limit=2)
    for number in range(5):
        inbox.put(number)
    inbox.close()
    packets = list(inbox.source("text").packets(lambda: False))
    assert [(packet.value, packet.sequence) for packet in packets] == [(3, 3), (4, 4)]
    assert inbox.dropped == 3


def test_closing_the_source_ends_a_waiting_reader() -> None:
    source = Inbox().source("text")
    reader = threading.Thread(target=lambda: list(source.packets(lambda: False)))
    reader.start()
    source.close()
    reader.join(5)
    assert not reader.is_alive()


def test_a_closed_inbox_refuses_values() -> None:
    inbox = Inbox()
    inbox.source("text").close()
    with pytest.raises(UsageError, match="closed"):
        inbox.put("late")


def test_an_inbox_feeds_one_input_only() -> None:
    inbox = Inbox()
    inbox.source("text")
    with pytest.raises(UsageError, match="feeds 'text' already; make another one for 'other'"):
        inbox.source("other")


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="limit=0"):
        Inbox(limit=0)
