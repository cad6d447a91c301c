"""Two mutations that cosmic-ray does not bring: a statement that is gone, and an argument that is gone.

They are what "removing the line that does it" means. They know parso's tree and nothing of EdgeMM.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cosmic_ray.plugins
from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import Keyword

KEPT = {"import_name", "import_from", "global_stmt", "nonlocal_stmt", "string", "strings"}


class RemoveStatement(Operator):
    """Replaces a simple statement with `pass`; imports, docstrings and bare declarations stay."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """The statement's position, where there is one to remove."""
        if node.type == "simple_stmt" and _does_something(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """The same line without the statement."""
        statement = node.children[0]
        gone = Keyword("pass", statement.start_pos, statement.get_first_leaf().prefix)
        gone.parent = node
        node.children[0] = gone
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """What cosmic-ray's own tests would ask for."""
        return (Example("x += 1\n", "pass\n"), Example("if x:\n    return x\n", "if x:\n    pass\n"))


class RemoveKeywordArgument(Operator):
    """Drops one `name=value` of a call, so that the default serves."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """The argument's position."""
        if node.type == "argument" and node.children[1] == "=" and node.parent.type in ("arglist", "trailer"):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> None:
        """Nothing where the argument was; the comma after or before it goes too."""
        siblings = node.parent.children
        if node.parent.type == "arglist":
            at = siblings.index(node)
            comma = at + 1 if at + 1 < len(siblings) else at - 1
            siblings[comma].value = ""

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """What cosmic-ray's own tests would ask for."""
        return (Example("f(a, b=1)", "f(a)"), Example("f(b=1)", "f()"))


OPERATORS = {operator.__name__: operator for operator in (RemoveStatement, RemoveKeywordArgument)}


def register() -> None:
    """Make them known to cosmic-ray in this process as `edgemm/…`."""
    cosmic_ray.plugins.OPERATOR_PROVIDERS["edgemm"] = OPERATORS


def _does_something(statement: Any) -> bool:
    if statement.type in KEPT or statement.get_code(include_prefix=False) in ("pass", "..."):
        return False
    # `name: type` without a value declares, and does nothing
    return not (
        statement.type == "expr_stmt"
        and statement.children[1].type == "annassign"
        and len(statement.children[1].children) < 4
    )
