"""A manifest is JSON that no two readers see differently."""

from __future__ import annotations

import hashlib
from time import process_time

import pytest

import edgemm
from edgemm import limits
from edgemm.errors import BundleError
from edgemm.reading.plain_json import value_from_json


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"stale_after_ms": 1000.0', '"stale_after_ms": NaN', "NaN is no number"),
        ('"stale_after_ms": 1000.0', '"stale_after_ms": Infinity', "Infinity is no number"),
        ('"valid_for_ms": 0.0', '"valid_for_ms": -Infinity', "-Infinity is no number"),
        ('"valid_for_ms": 0.0', '"valid_for_ms": 1e999', "1e999 is larger than any number"),
        ('"valid_for_ms": 0.0', '"valid_for_ms": ' + "9" * 400, "has 400 digits"),
        ('"valid_for_ms": 0.0', '"valid_for_ms": ' + "9" * 5000, "has 5000 digits"),
        ('"name": "three"', '"name": "three", "name": "four"', "the key 'name' is there twice"),
        ('"hold": false', '"hold": false, "hold": true', "the key 'hold' is there twice"),
        ('"provenance": {}', '"provenance": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_manifest_that_is_no_plain_json_is_refused(three_inputs, old, new, message):
    path = three_inputs()
    text = (path / "manifest.json").read_text()
    assert old in text
    text = text.replace(old, new, 1)
    (path / "manifest.json").write_text(text)
    (path / "manifest.sha256").write_text(hashlib.sha256(text.encode()).hexdigest())
    with pytest.raises(BundleError, match=f"manifest.json is not JSON: .*{message}"):
        edgemm.open(path)


def test_numbers_of_64_bits_are_read():
    numbers = [-(2**63), 2**64 - 1, 1.5e300, 0.0]
    assert value_from_json(str(numbers)) == numbers
    assert value_from_json("9" * limits.NUMBER_DIGITS) == int("9" * limits.NUMBER_DIGITS)


def test_a_key_that_is_there_twice_is_found_at_once_among_many():
    many = ",".join(f'"{number}":0' for number in range(100_000))
    begun_s = process_time()
    with pytest.raises(ValueError, match="the key '99999' is there twice"):
        value_from_json(f'{{{many},"99999":0}}')
    assert process_time() - begun_s < 5
