"""The bounded queues between threads: what they hold, whom they make wait, and what they say of every drop."""

from __future__ import annotations

import numpy as np
import pytest

from edgemm import Sound
from edgemm.errors import SourceError, UsageError
from edgemm.host.interfaces import Packet
from edgemm.streaming.channels import WHEN_FULL, Limits, Mailbox, size_of


def packet(value, at=0, name="image"):
    return Packet(name, value, at)


def block(size):
    return np.zeros(size, np.uint8)


def mailbox_of(*, told=None, **limits):
    made = Mailbox(None if told is None else lambda name, cause: told.append((name, cause)))
    made.open("a", Limits(**limits))
    return made


def taken(mailbox, *, in_order=False):
    """What can be taken now, without waiting."""
    values = []
    while (got := mailbox.take(0, in_order=in_order)) is not None:
        values.append(got.value)
    return values


# limits


def test_what_happens_when_full_is_one_of_four_words():
    with pytest.raises(UsageError, match="when_full must be one of block, drop_oldest, drop_newest, fail, got 'wait'"):
        Limits(when_full="wait")
    assert [Limits(when_full=word).when_full for word in WHEN_FULL] == [
        "block",
        "drop_oldest",
        "drop_newest",
        "fail",
    ]


@pytest.mark.parametrize("limits", [{"packets": 0}, {"bytes": 0}])
def test_a_channel_that_holds_nothing_is_refused(limits):
    with pytest.raises(UsageError, match="at least one packet and one byte"):
        Limits(**limits)


def test_one_packet_and_one_byte_are_enough():
    limits = Limits(packets=1, bytes=1)
    assert (limits.packets, limits.bytes) == (1, 1)


def test_limits_are_eight_packets_of_64_mib_and_the_newest_wins_unless_said_otherwise():
    assert (Limits().packets, Limits().bytes, Limits().when_full) == (8, 64 * 1024 * 1024, "drop_oldest")


# bounds by count


def test_a_full_channel_drops_its_oldest_and_tells_each():
    told = []
    mailbox = mailbox_of(packets=2, when_full="drop_oldest", told=told)
    for value in range(5):
        assert mailbox.put("a", packet(value, at=value))
    assert taken(mailbox) == [3, 4]
    assert mailbox.drops == {("image", "full"): 3}
    assert told == [("image", "full")] * 3


def test_a_full_channel_drops_the_newest_and_tells_each():
    told = []
    mailbox = mailbox_of(packets=2, when_full="drop_newest", told=told)
    for value in range(5):
        assert mailbox.put("a", packet(value, at=value)), "the sender goes on"
    assert taken(mailbox) == [0, 1]
    assert mailbox.drops == {("image", "full"): 3}
    assert told == [("image", "full")] * 3


def test_a_full_channel_that_must_not_drop_fails_its_sender():
    mailbox = mailbox_of(packets=2, when_full="fail")
    mailbox.put("a", packet(0))
    mailbox.put("a", packet(1))
    with pytest.raises(SourceError, match="input 'image': its channel of 2 packets is full"):
        mailbox.put("a", packet(2))
    assert taken(mailbox) == [0, 1]
    assert not mailbox.drops


def test_a_full_channel_makes_its_sender_wait_until_one_is_taken(background, waits_in):
    mailbox = mailbox_of(packets=2, when_full="block")
    mailbox.put("a", packet(0, at=0))
    mailbox.put("a", packet(1, at=1))
    sender = background(mailbox.put, "a", packet(2, at=2))
    waits_in(sender, "put")
    assert mailbox.take(0, in_order=False).value == 0
    assert sender.end() is True
    assert taken(mailbox) == [1, 2]
    assert not mailbox.drops


def test_a_drop_is_counted_for_the_input_of_the_packet_that_went():
    told = []
    mailbox = mailbox_of(packets=1, told=told)
    mailbox.put("a", packet(0, name="image"))
    mailbox.put("a", packet(1, name="text"))
    assert mailbox.drops == {("image", "full"): 1}
    assert told == [("image", "full")]


def test_drops_are_counted_when_nobody_listens():
    mailbox = mailbox_of(packets=1)
    mailbox.put("a", packet(0))
    mailbox.put("a", packet(1))
    assert mailbox.drops == {("image", "full"): 1}


def test_nobody_is_told_of_a_drop_that_did_not_happen():
    told = []
    mailbox = mailbox_of(packets=1, told=told)
    mailbox.put("a", packet(0))
    assert told == []


# bounds by size


def test_arrays_up_to_the_limit_in_bytes_fit():
    mailbox = mailbox_of(packets=100, bytes=100)
    mailbox.put("a", packet(block(50), at=0))
    mailbox.put("a", packet(block(50), at=1))
    assert len(taken(mailbox)) == 2
    assert not mailbox.drops


def test_one_byte_more_than_the_limit_drops():
    mailbox = mailbox_of(packets=100, bytes=100)
    mailbox.put("a", packet(block(50), at=0))
    mailbox.put("a", packet(block(51), at=1))
    assert [value.nbytes for value in taken(mailbox)] == [51]
    assert mailbox.drops == {("image", "full"): 1}


def test_a_large_packet_that_pushes_out_several_counts_and_tells_each():
    told = []
    mailbox = mailbox_of(packets=100, bytes=100, told=told)
    for at in range(4):
        mailbox.put("a", packet(block(25), at=at))
    mailbox.put("a", packet(block(80), at=4))
    assert [value.nbytes for value in taken(mailbox)] == [80]
    assert mailbox.drops == {("image", "full"): 4}
    assert told == [("image", "full")] * 4


def test_one_packet_is_always_taken_however_large():
    mailbox = mailbox_of(packets=100, bytes=10, when_full="block")
    assert mailbox.put("a", packet(block(1000)))
    assert len(taken(mailbox)) == 1


def test_bytes_are_free_again_once_taken():
    mailbox = mailbox_of(packets=100, bytes=100, when_full="fail")
    mailbox.put("a", packet(block(60), at=0))
    mailbox.put("a", packet(block(40), at=1))
    assert mailbox.take(0, in_order=False).value.nbytes == 60
    mailbox.put("a", packet(block(60), at=2))
    assert [value.nbytes for value in taken(mailbox)] == [40, 60]


def test_a_packet_that_was_dropped_takes_no_room():
    mailbox = mailbox_of(packets=100, bytes=100, when_full="drop_newest")
    mailbox.put("a", packet(block(60), at=0))
    mailbox.put("a", packet(block(60), at=1))
    mailbox.put("a", packet(block(40), at=2))
    assert [value.nbytes for value in taken(mailbox)] == [60, 40]


def test_the_size_of_a_sound_is_that_of_its_samples():
    assert size_of(Sound(np.zeros(10, np.float32), 1000)) == 40


def test_the_size_of_a_text_is_nothing():
    assert size_of("a long text") == 0


# order


def test_what_was_captured_first_comes_out_first_across_channels():
    mailbox = Mailbox()
    for key, at in (("a", 5), ("b", 3), ("c", 4)):
        mailbox.open(key, Limits())
        mailbox.put(key, packet(at, at=at))
    assert taken(mailbox) == [3, 4, 5]


def test_in_order_a_packet_waits_for_every_open_channel():
    mailbox = Mailbox()
    mailbox.open("a", Limits())
    mailbox.open("b", Limits())
    mailbox.put("a", packet(1, at=1))
    assert taken(mailbox, in_order=True) == []
    mailbox.put("b", packet(0, at=0))
    assert taken(mailbox, in_order=True) == [0], "what comes after 0 in b may still be captured before 1"
    mailbox.close("b")
    assert taken(mailbox, in_order=True) == [1]


def test_out_of_order_nobody_waits_for_an_empty_channel():
    mailbox = Mailbox()
    mailbox.open("a", Limits())
    mailbox.open("b", Limits())
    mailbox.put("a", packet(1, at=1))
    assert taken(mailbox) == [1]


# taking


def test_taking_waits_for_what_comes(background, waits_in):
    mailbox = mailbox_of()
    taker = background(lambda: mailbox.take(None, in_order=False))
    waits_in(taker, "take")
    mailbox.put("a", packet("here"))
    assert taker.end().value == "here"


def test_taking_with_a_limit_waits_for_what_comes_in_time(background, waits_in):
    mailbox = mailbox_of()
    taker = background(lambda: mailbox.take(100, in_order=False))
    waits_in(taker, "take")
    mailbox.put("a", packet("here"))
    assert taker.end().value == "here"


def test_taking_with_a_limit_gives_up():
    assert mailbox_of().take(0.01, in_order=False) is None


def test_what_a_closed_channel_holds_can_still_be_taken():
    mailbox = mailbox_of()
    mailbox.put("a", packet("last"))
    mailbox.close("a")
    assert mailbox.take(None, in_order=True).value == "last"
    assert mailbox.take(None, in_order=True) is None


def test_closing_the_last_channel_ends_the_waiting(background, waits_in):
    mailbox = mailbox_of()
    taker = background(lambda: mailbox.take(None, in_order=False))
    waits_in(taker, "take")
    mailbox.close("a")
    assert taker.end() is None


def test_stopping_ends_the_waiting_of_a_taker(background, waits_in):
    mailbox = mailbox_of()
    taker = background(lambda: mailbox.take(None, in_order=False))
    waits_in(taker, "take")
    mailbox.stop()
    assert taker.end() is None


# ends


def test_a_mailbox_has_ended_when_its_channels_are_closed_and_empty():
    mailbox = mailbox_of()
    assert not mailbox.ended(), "it is open"
    mailbox.put("a", packet(1))
    mailbox.close("a")
    assert not mailbox.ended(), "it holds a packet"
    mailbox.take(0, in_order=False)
    assert mailbox.ended()


def test_one_open_channel_keeps_a_mailbox_going():
    mailbox = mailbox_of()
    mailbox.open("b", Limits())
    mailbox.close("a")
    assert not mailbox.ended()


def test_a_stopped_mailbox_has_ended_and_hands_out_nothing():
    mailbox = mailbox_of()
    mailbox.put("a", packet(1))
    assert not mailbox.stopped
    mailbox.stop()
    assert mailbox.stopped
    assert mailbox.ended()
    assert mailbox.take(None, in_order=False) is None


def test_a_stopped_mailbox_takes_nothing_and_says_so():
    mailbox = mailbox_of(packets=1)
    mailbox.put("a", packet(0))
    mailbox.stop()
    assert mailbox.put("a", packet(1)) is False
    assert not mailbox.drops, "what comes after the end is no drop"


def test_stopping_releases_a_sender_that_waits(background, waits_in):
    mailbox = mailbox_of(packets=1, when_full="block")
    mailbox.put("a", packet(0))
    sender = background(mailbox.put, "a", packet(1))
    waits_in(sender, "put")
    mailbox.stop()
    assert sender.end() is False
