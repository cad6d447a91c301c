"""The mutation tester breaks what it says, and leaves alone what it says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("cosmic_ray", reason="needs the mutation extra: pip install 'edgemm[mutation]'")
pytest.importorskip("parso")
import forks
import operators
import parso
import places


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


@pytest.fixture
def forked(tmp_path, monkeypatch):
    """A test of this text, run in a fork."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run(text, timeout_s=60.0):
        file = tmp_path / "test_it.py"
        file.write_text(text)
        return forks.run(["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(file)], timeout_s)

    return run


def test_a_fork_says_whether_its_tests_pass_and_what_they_printed(forked):
    assert forked("def test_it(): pass\n")[0] == 0
    status, printed = forked("def test_it(): assert 1 == 2\n")
    assert status == 1
    assert "FAILED" in printed


def test_a_fork_reads_what_is_there_now(forked, tmp_path):
    for number in range(3):  # as fast as mutants follow each other
        (tmp_path / "broken.py").write_text(f"NUMBER = {number}\n")
        assert forked(f"from broken import NUMBER\ndef test_it(): assert NUMBER == {number}\n")[0] == 0


def test_a_fork_that_never_ends_is_ended(forked):
    assert forked("import threading\ndef test_it(): threading.Event().wait()\n", 0.0) == (1, forks.TIMEOUT)
