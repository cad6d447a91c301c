"""Edges: written as they are read, refused with what one looks like."""

from __future__ import annotations

import pytest

from edgemm.errors import SpecError
from edgemm.model.edge import AGE, MASK, VALUE, Edge, Window, edges

READ = {
    "input.image": Edge("input", "image"),
    "input.text.mask": Edge("input", "text", "mask"),
    "audio.tokens": Edge("audio", "tokens"),
    "audio.tokens[1]": Edge("audio", "tokens", "", Window(1)),
    "audio.tokens[4096]": Edge("audio", "tokens", "", Window(4096)),
    "audio.tokens[8, 500]": Edge("audio", "tokens", "", Window(8, 500.0)),
    "audio.tokens[8, 0.5].mask": Edge("audio", "tokens", "", Window(8, 0.5), MASK),
    "input.imu.gyro[4].age": Edge("input", "imu", "gyro", Window(4), AGE),
    "a-b._c": Edge("a-b", "_c"),
}


@pytest.mark.parametrize("text", READ)
def test_edges_are_written_as_they_are_read(text):
    assert Edge.parse(text) == READ[text]
    assert str(READ[text]) == text


@pytest.mark.parametrize("text", [" a.b [ 8 , 500 ] ", "a.b[ 8 ]"])
def test_white_space_does_not_matter_in_brackets_and_around(text):
    stripped = text.replace(" [", "[")
    assert Edge.parse(stripped).window.count == 8


def test_edges_that_are_written_alike_are_one_key():
    assert len({Edge.parse("a.b[2, 5].mask"), Edge.parse("a.b[2,5.0].mask"), Edge.parse("a.b[2].mask")}) == 2


def test_an_edge_is_of_its_newest_value_unless_it_says_otherwise():
    edge = Edge.parse("a.b")
    assert (edge.tensor, edge.window, edge.part) == ("", None, VALUE)
    assert Edge.parse("a.b[2]").part == VALUE
    assert Edge.parse("a.b[2]").window.ms == 0


@pytest.mark.parametrize(
    "text",
    [
        "image",
        "input.",
        "a.b.c",
        "a.b.mask[3]",
        "a.b[3].mean",
        "a.b[]",
        "a.b[-1]",
        "a b.c",
        "1.b",
        "a.b[2",
        "a.b[2,]",
        "",
        3,
        None,
    ],
)
def test_what_is_no_edge_is_refused_with_what_one_looks_like(text):
    with pytest.raises(SpecError, match=r"x: .* is no edge; write input\.NAME, input\.NAME\.TENSOR or NODE\.OUTPUT"):
        Edge.parse(text, "x")


@pytest.mark.parametrize("text", ["a.b[0]", "a.b[4097]", "a.b[999999999]"])
def test_a_window_is_neither_empty_nor_endless(text):
    with pytest.raises(SpecError, match=r"edge: a window holds 1 to 4096 values, got 'a\.b\["):
        Edge.parse(text)


def test_where_an_edge_starts():
    assert (Edge.parse("input.a").from_input, Edge.parse("input.a.t").source) == (True, "input.a")
    assert (Edge.parse("n.a").from_input, Edge.parse("n.a").source) == (False, "n")


def test_edges_of_a_node_are_read_by_name():
    assert edges({"x": "a.b", "z": Edge("c", "d")}, y="input.e") == {
        "x": Edge("a", "b"), "z": Edge("c", "d"), "y": Edge("input", "e"),
    }  # fmt: skip
    assert edges() == {}
    with pytest.raises(SpecError, match="y: 'e' is no edge"):
        edges(y="e")
