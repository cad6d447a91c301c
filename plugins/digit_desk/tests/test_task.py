"""The digit desk's truth is exact, and its test sets are what they say."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgemm.training.scores import ceiling
from edgemm.training.task import SkippedSet, TestSet
from edgemm_digit_desk.instructions import INSTRUCTIONS, NAMES, answer, needs
from edgemm_digit_desk.task import INPUTS, DigitDesk, posterior_table
from edgemm_digit_desk.text.phrases import bytes_from_texts, held_out_phrases

ABSENT = -1


def everything(rows: int) -> dict[str, np.ndarray]:
    return dict.fromkeys(INPUTS, np.ones(rows, bool))


def test_with_everything_present_the_posterior_is_the_answer() -> None:
    table = posterior_table()
    for index, name in enumerate(NAMES):
        for seen, heard in itertools.product(range(10), repeat=2):
            row = table[index, seen, heard]
            assert row[answer(name, seen, heard)] == 1
            assert row.sum() == 1


def test_missing_inputs_are_averaged_over() -> None:
    table = posterior_table()
    see, add = NAMES.index("see"), NAMES.index("add")
    assert table[see, 4, ABSENT, 4] == 1
    np.testing.assert_allclose(table[see, ABSENT, 7, :10], 0.1, rtol=1e-6)
    np.testing.assert_allclose(table[add, 3, ABSENT, 3:13], 0.1, rtol=1e-6)
    assert table[add, 3, ABSENT, 13:].sum() == 0
    sums = np.zeros(19)
    for a, b in itertools.product(range(10), repeat=2):
        sums[a + b] += 0.01
    np.testing.assert_allclose(table[add, ABSENT, ABSENT], sums, rtol=1e-5)
    np.testing.assert_allclose(table[ABSENT, 2, 5], table[:-1, 2, 5].mean(0), rtol=1e-5)
    np.testing.assert_allclose(table.sum(-1), 1, rtol=1e-5)


def test_a_class_that_says_nothing_counts_as_absent(desk: DigitDesk) -> None:
    labels = {"image": np.array([10, 3]), "audio": np.array([4, 10]), "text": np.array([0, 0])}
    presence = everything(2)
    absent = {**presence, "image": np.array([False, True]), "audio": np.array([True, False])}
    np.testing.assert_array_equal(desk.posterior(labels, presence), desk.posterior(labels, absent))


def test_most_instructions_need_both_picture_and_sound(desk: DigitDesk) -> None:
    both = [instruction.name for instruction in INSTRUCTIONS if len(needs(instruction.name)) == 2]
    assert len(both) >= 0.7 * len(INSTRUCTIONS)
    assert ceiling(desk, INPUTS) == pytest.approx(1)
    for name in INPUTS:
        assert ceiling(desk, [other for other in INPUTS if other != name]) < 0.5


@pytest.fixture(scope="module")
def sets(desk: DigitDesk) -> list[TestSet]:
    """All test sets, 48 rows each."""
    return [test for test in desk.test_sets(48, seed=0) if isinstance(test, TestSet)]


def test_test_sets_hold_what_their_labels_say(sets: list[TestSet]) -> None:
    texts = {row.tobytes(): label for row, (_, label) in zip(
        bytes_from_texts([text for text, _ in held_out_phrases()]), held_out_phrases(), strict=True)}  # fmt: skip
    assert [test.name for test in sets] == ["centred", "varied", "synthesizer", "silence", "noise"]
    for test in sets:
        assert test.inputs["image"].shape == (48, 96, 96, 3)
        assert test.inputs["audio"].shape == (48, 8000)
        assert [texts[row.tobytes()] for row in test.inputs["text"]] == test.labels["text"].tolist()
        assert np.bincount(test.labels["text"], minlength=len(NAMES)).tolist() == [6] * len(NAMES)
        assert set(np.bincount(test.labels["image"])) == set(np.bincount(test.labels["audio"])) == {4, 5}
        assert test.groups == tuple(NAMES[label] for label in test.labels["text"])


def test_the_sound_of_a_test_row_is_its_word(desk: DigitDesk) -> None:
    test = next(iter(desk.test_sets(40, seed=0)))
    assert isinstance(test, TestSet)
    spectra = np.abs(np.fft.rfft(test.inputs["audio"]))  # bins of 1 Hz
    np.testing.assert_allclose(spectra.argmax(1), 150 * (test.labels["audio"] + 2), atol=3)


def test_silence_and_noise_carry_no_word(sets: list[TestSet]) -> None:
    named = {test.name: test for test in sets}
    assert named["silence"].ignored == named["noise"].ignored == "audio"
    assert np.abs(named["silence"].inputs["audio"]).max() < 0.001
    assert np.abs(named["noise"].inputs["audio"]).max(1).min() > 0


def test_the_same_seed_gives_the_same_test_sets(desk: DigitDesk) -> None:
    first, second = (next(iter(desk.test_sets(16, seed=5))) for _ in range(2))
    assert isinstance(first, TestSet)
    assert isinstance(second, TestSet)
    for name in INPUTS:
        np.testing.assert_array_equal(first.inputs[name], second.inputs[name])


def test_without_the_held_out_synthesizer_its_test_is_skipped_with_a_reason(desk: DigitDesk, tmp_path: Path) -> None:
    shutil.copytree(desk.speech_folder, tmp_path / "speech", ignore=shutil.ignore_patterns("flite*"))
    other = DigitDesk(tmp_path)
    other.__dict__["digits"] = desk.digits
    skipped = next(test for test in other.test_sets(16, seed=0) if isinstance(test, SkippedSet))
    assert "flite" in skipped.reason
