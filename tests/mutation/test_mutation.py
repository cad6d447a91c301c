"""The mutation tester breaks what it says, and leaves alone what it says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("cosmic_ray", reason="needs the mutation extra: pip install 'edgemm[mutation]'")
parso = pytest.importorskip("parso")

HERE = Path(__file__).parent


def load(name):
    """A module of this folder; it is no package, and `make mutants` runs it as a program."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


operators, places = load("operators"), load("places")


def mutants(operator, source):
    """Every mutant of a source."""
    from cosmic_ray.mutating import mutate_code

    made = []
    while (mutant := mutate_code(source, operator, len(made))) is not None:
        made.append(mutant)
    return made


def reason(source, word, operator="core/NumberReplacer"):
    """Why a place is not broken: the first one of `word`."""
    before = source[: source.index(word)]
    position = (before.count("\n") + 1, len(before.rpartition("\n")[2]))
    return places.skipped_because(parso.parse(source), SimpleNamespace(start_pos=position, operator_name=operator))


@pytest.mark.parametrize("operator", operators.OPERATORS.values())
def test_each_operator_does_what_its_examples_say(operator):
    for example in operator.examples():
        assert mutants(operator(), example.pre_mutation_code)[example.occurrence] == example.post_mutation_code


def test_every_statement_of_a_function_is_removed_in_turn_and_nothing_else():
    source = 'def f(x):\n    """Text."""\n    import os\n    y: int\n    x.call()  # why\n    return x\n'
    assert mutants(operators.RemoveStatement(), source) == [
        source.replace("x.call()", "pass"),
        source.replace("return x", "pass"),
    ]


def test_every_keyword_argument_is_removed_in_turn_and_no_default():
    assert mutants(operators.RemoveKeywordArgument(), "def f(a=1): g(a, b=2, c=3)\n") == [
        "def f(a=1): g(a, c=3)\n",
        "def f(a=1): g(a, b=2)\n",
    ]


@pytest.mark.parametrize(
    ("source", "word", "kind"),
    [
        ("def f(a: x | 1 = 2) -> 3: pass\n", "1", "annotation"),
        ("def f(a: x | 1 = 2) -> 3: pass\n", "2", ""),
        ("def f(a: x | 1 = 2) -> 3: pass\n", "3", "annotation"),
        ("a: b | 1 = 2\n", "1", "annotation"),
        ("a: b | 1 = 2\n", "2", ""),
        ("if TYPE_CHECKING:\n    a = 1\n", "1", "type_checking"),
        ("if checking:\n    a = 1\n", "1", ""),
        ("class A:\n    __slots__ = (1,)\n", "1", "slots"),
        ("@dataclass(slots=1)\nclass A: pass\n", "1", "slots"),
        ('raise Error(f"at least {1}")\n', "1", "message"),
        ("raise Error(1)\n", "1", ""),
        ('print(f"{1}")\n', "1", ""),
    ],
)
def test_places_that_nothing_depends_on_are_not_broken(source, word, kind):
    assert reason(source, word) == kind


def test_a_star_that_only_separates_parameters_is_not_broken():
    assert reason("def f(a, *, b): pass\n", "*", "core/ReplaceBinaryOperator_Mul_Div") == "separator"
