"""Places of a file that are not worth breaking, because nothing that runs depends on them; rooms.toml says why for each kind."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any


def skipped_because(tree: Any, mutation: Any) -> str:
    """The kind of place that a mutation would change in vain, as rooms.toml names it; "" for a place worth breaking.

    Args:
        tree: parso's tree of the whole file.
        mutation: cosmic-ray's specification of one mutation.
    """
    leaf = tree.get_leaf_for_position(mutation.start_pos, include_prefixes=True)
    line = [leaf, *_parents(leaf)]
    for inner, outer in pairwise(line):
        if outer.type == "if_stmt" and outer.children[1].get_code().strip() == "TYPE_CHECKING":
            return "type_checking"
        if _is_annotation(inner, outer):
            return "annotation"
        if outer.type == "expr_stmt" and outer.children[0].get_code().strip() == "__slots__":
            return "slots"
        if outer.type == "argument" and outer.children[0].get_code().strip() == "slots":
            return "slots"
    if leaf.value == "*" and leaf.parent.type in ("parameters", "param"):
        return "separator"
    kinds = {node.type for node in line}
    return "message" if "raise_stmt" in kinds and "fstring" in kinds else ""


def _parents(node: Any) -> Iterator[Any]:
    while node.parent is not None:
        node = node.parent
        yield node


def _is_annotation(inner: Any, outer: Any) -> bool:
    if outer.type == "tfpdef":  # `name: annotation` of a parameter
        return inner is outer.children[2]
    if outer.type == "annassign":  # `: annotation = value` of a variable
        return inner is outer.children[1]
    return outer.type == "funcdef" and inner is outer.annotation
