"""Triggers and policies: written as they are read, refused with what to write, and asked about cells."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edgemm.errors import SpecError, UnknownNameError
from edgemm.model.rules import (
    ARRIVAL,
    FINISH,
    LATEST,
    RESTART,
    Barrier,
    Change,
    Hop,
    Policy,
    Reference,
    Tick,
    Trigger,
    Until,
)

MS = 1_000_000


@dataclass
class Cell:
    version: int = 0
    changes: int = 0
    captured_ns: int = -1


@pytest.mark.parametrize(
    ("text", "trigger"),
    [
        ("arrival", ARRIVAL),
        ("hop(1)", Hop(1)),
        (" hop( 1000000 ) ", Hop(1_000_000)),
        ("change", Change()),
        ("tick(1000)", Tick(1000)),
        ("tick(0.5)", Tick(0.5)),
        ("until(stop)", Until("stop")),
        ("until(stop, 0)", Until("stop", 0, RESTART)),
        ("until( stop , 64 , finish )", Until("stop", 64, FINISH)),
        ("until(stop, 64, restart)", Until("stop", 64)),
    ],
)
def test_triggers_are_read(text, trigger):
    assert Trigger.parse(text) == trigger
    assert type(Trigger.parse(text)) is type(trigger)
    assert Trigger.parse(str(trigger)) == trigger


@pytest.mark.parametrize(
    ("trigger", "text"),
    [
        (ARRIVAL, "arrival"),
        (Change(), "change"),
        (Hop(4), "hop(4)"),
        (Tick(2.5), "tick(2.5)"),
        (Until("stop"), "until(stop)"),
        (Until("stop", 3), "until(stop, 3)"),
        (Until("stop", 0, FINISH), "until(stop, 0, finish)"),
    ],
)
def test_triggers_are_written(trigger, text):
    assert str(trigger) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hop(0)", r"node 'n': write hop\(COUNT\) with a whole number of arrivals, such as hop\(4\); got 'hop\(0\)'"),
        ("hop(1000001)", "whole number"),
        ("hop(2.5)", "whole number"),
        ("hop(1, 2)", "whole number"),
        ("hop(nan)", "expected a number"),
        ("hop(inf)", "expected a number"),
        ("hop(four)", "expected a number"),
        ("hop", "node 'n': expected a number in 'hop'"),
        ("hop()", "expected a number"),
        ("arrival(1)", r"'arrival' takes no arguments, got 'arrival\(1\)'"),
        ("change(x)", "'change' takes no arguments"),
        ("tick(0)", r"tick\(hz\) needs a rate above 0 and up to 1000"),
        ("tick(1000.5)", "needs a rate"),
        ("tick(-1)", "needs a rate"),
        ("tick(1, 2)", "needs a rate"),
        ("until", r"write until\(OUTPUT\)"),
        ("until(,3)", r"write until\(OUTPUT\)"),
        ("until(a, 1, finish, b)", r"write until\(OUTPUT\)"),
        ("until(a, 1.5)", "the limit of until"),
        ("until(a, -1)", "the limit of until"),
        ("until(a, many)", "expected a number"),
        ("Hop(3)", "node 'n': cannot read 'Hop"),
        ("hop(3) twice", "cannot read"),
        (3, "cannot read 3"),
        (None, "cannot read None"),
    ],
)
def test_triggers_that_cannot_be_say_what_to_write(text, message):
    with pytest.raises(SpecError, match=message):
        Trigger.parse(text, "node 'n'")


def test_unknown_triggers_name_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"unknown trigger in t: 'arival'; did you mean 'arrival'"):
        Trigger.parse("arival", "t")
    with pytest.raises(UnknownNameError, match=r"until\(…\) does on news in t: 'later'\n  known: finish, restart"):
        Trigger.parse("until(stop, 0, later)", "t")


def test_only_a_tick_has_a_period():
    assert Tick(25).period_ns == 40 * MS
    assert Tick(0.5).period_ns == 2_000 * MS
    assert Tick(3).period_ns == 333_333_333
    assert [trigger.period_ns for trigger in (ARRIVAL, Hop(2), Change(), Until("stop"))] == [0] * 4


def test_only_change_goes_by_changes():
    assert Change().by_changes
    assert not any(trigger.by_changes for trigger in (ARRIVAL, Hop(2), Tick(1), Until("stop")))


@pytest.mark.parametrize(
    ("trigger", "mark", "news"),
    [
        (ARRIVAL, 4, True),
        (ARRIVAL, 5, False),
        (Until("stop"), 4, True),
        (Until("stop"), 5, False),
        (Hop(2), 3, True),
        (Hop(2), 4, False),
        (Change(), 1, True),
        (Change(), 2, False),
    ],
)
def test_news_is_what_came_since(trigger, mark, news):
    assert trigger.news(Cell(version=5, changes=2), mark) is news


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("latest", LATEST),
        ("barrier", Barrier()),
        ("reference(image, 50)", Reference("image", 50)),
        ("reference(a, 0)", Reference("a", 0)),
    ],
)
def test_policies_are_written_as_they_are_read(text, policy):
    assert Policy.parse(text) == policy
    assert type(Policy.parse(text)) is type(policy)
    assert str(policy) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latest(1)", r"'latest' takes no arguments, got 'latest\(1\)'"),
        ("barrier(1)", "'barrier' takes no arguments"),
        ("reference(a)", r"node 'n': write reference\(edge, tolerance_ms\)"),
        ("reference(a, 1, 2)", r"write reference"),
        ("reference(a, -1)", "at least 0"),
        ("reference(, 1)", "write reference"),
        ("reference(a, b)", "expected a number"),
        ("reference(a, inf)", "expected a number"),
        ("", "cannot read ''"),
    ],
)
def test_policies_that_cannot_be_say_what_to_write(text, message):
    with pytest.raises(SpecError, match=message):
        Policy.parse(text, "node 'n'")


def test_unknown_policies_name_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"unknown sync policy in p: 'barier'; did you mean 'barrier'"):
        Policy.parse("barier", "p")


def asked(policy, trigger, cells, marks):
    return policy.bound(["input.a", "b"]).due(trigger)(cells, marks)


@pytest.mark.parametrize("trigger", [ARRIVAL, Hop(1)])
@pytest.mark.parametrize(
    ("marks", "latest", "barrier", "reference"),
    [
        ((1, 1), False, False, False),
        ((0, 1), True, False, False),
        ((1, 0), True, False, True),
        ((0, 0), True, True, True),
    ],
)
def test_when_a_policy_runs_a_node(trigger, marks, latest, barrier, reference):
    cells = [Cell(version=1), Cell(version=1)]
    assert asked(LATEST, trigger, cells, marks) is latest
    assert asked(Barrier(), trigger, cells, marks) is barrier
    assert asked(Reference("b", 0), trigger, cells, marks) is reference


@pytest.mark.parametrize("edge", ["a", "input.a"])
def test_a_reference_may_leave_out_that_it_is_an_input(edge):
    assert asked(Reference(edge, 0), ARRIVAL, [Cell(1), Cell(0)], [0, 0])
    assert not asked(Reference(edge, 0), ARRIVAL, [Cell(0), Cell(1)], [0, 0])


def test_a_reference_admits_what_was_captured_within_its_tolerance():
    bound = Reference("b", 2.5).bound(["a", "b"])
    cells = [Cell(), Cell(captured_ns=10 * MS)]
    at = {ns: bound.admits(Cell(captured_ns=ns), cells) for ns in (7_499_999, 7_500_000, 12_500_000, 12_500_001)}
    assert list(at.values()) == [False, True, True, False]
    assert bound.selective


def test_a_reference_that_is_not_there_admits_everything():
    bound = Reference("b", 0).bound(["a", "b"])
    assert bound.admits(Cell(captured_ns=5), [Cell(), Cell(captured_ns=-1)])
    assert not bound.admits(Cell(captured_ns=5), [Cell(), Cell(captured_ns=0)])


@pytest.mark.parametrize("policy", [LATEST, Barrier()])
def test_other_policies_admit_everything_and_need_not_be_asked(policy):
    bound = policy.bound(["a"])
    assert not bound.selective
    assert bound.admits(Cell(), [Cell()])


def test_rules_are_compared_as_data():
    assert Hop(2) == Hop(2) != Hop(3)
    assert Change() != ARRIVAL
    assert len({Tick(5), Tick(5), Until("a"), Until("a", 1)}) == 3
