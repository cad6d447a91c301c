"""What the fuzzer found once stays mended, every format holds some hundred cases more, and the fuzzer sees what it is there to see."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

pytest.importorskip("av")
pytest.importorskip("torch")
import fuzz
import mutations
import targets

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow

CASES = 200
SEED = 20261124


@pytest.mark.parametrize("name", targets.TARGETS)
def test_every_format_is_read_or_refused_and_nothing_else_happens(name, tmp_path):
    report = fuzz.fuzz(targets.TARGETS[name], cases=CASES, seed=SEED, findings=tmp_path, plain=True)
    assert [path.with_name(f"{path.name}.txt").read_text() for path in report.findings] == []
    assert report.count.cases == CASES
    assert report.count.refused > 0


@pytest.fixture
def hostile(tmp_path):
    """Runs one sound case and others that do what they say; gives the report, and what was found."""

    def run(*contents):
        folder = tmp_path / "hostile"
        folder.mkdir()
        (folder / "sound").write_bytes(b"sound")
        for number, content in enumerate(contents):
            (folder / f"found-{number}").write_bytes(content)
        path = shutil.copy(HERE / "hostile_targets.py", tmp_path)
        target = targets.targets_of(str(path))["hostile"]
        findings = tmp_path / "findings"
        findings.mkdir()
        report = fuzz.fuzz(target, cases=1 + len(contents), seed=0, findings=findings, plain=True, targets=str(path))
        return report, {path.name.partition("-")[0]: path.read_bytes() for path in report.findings}

    return run


def test_a_refusal_is_none_and_every_other_end_of_a_case_is_a_finding(hostile, monkeypatch):
    monkeypatch.setattr(fuzz, "STUCK_S", 6.0)
    contents = (b"refuse", b"raise", b"leave", b"crash", b"slow", b"hang", b"take", b"grab")
    report, found = hostile(*contents)
    assert found == {
        "KeyError": b"raise", "SystemExit": b"leave", "crash": b"crash", "hang": found["hang"], "memory": b"take", "MemoryError": b"grab",
    }  # fmt: skip
    assert found["hang"] in (b"slow", b"hang")  # one of each kind and place is kept
    assert (report.count.cases, report.count.accepted, report.count.refused) == (9, 3, 1)
    assert report.count.slowest_s > 2
    assert report.count.largest_bytes > 64 << 20


def test_one_seed_gives_the_same_cases_again_and_another_gives_others():
    def cases_of(seed):
        return [
            mutations.mutated(b'{"a": [1, "b"]}', mutations.of_json, random)
            for random in [Random(seed)]
            for _ in range(50)
        ]

    assert cases_of(1) == cases_of(1) != cases_of(2)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_every_format_is_changed_in_its_own_way(name):
    """Most changes of a grammar are not those of bytes, where it has one; none is longer than a case may be."""
    target = targets.TARGETS[name]
    grammar = mutations.grammar_of(f".{target.suffix}")
    content = target.seeds[0].read_bytes()
    made = {mutations.mutated(content, grammar, Random(seed)) for seed in range(100)}
    assert len(made - {content}) > 50
    assert max(map(len, made)) <= mutations.LONGEST
