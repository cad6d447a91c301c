"""An old bundle opens, a newer one that says it may be read opens, and one that says it may not is refused with what to do."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.bundle.manifest import json_from_manifest
from edgemm.bundle.version import READS_FROM, VERSION, WRITTEN_BY
from edgemm.errors import BundleError, UsageError

NEWER = {"version": VERSION + 2, "reads_from": VERSION, "written_by": "edgemm 9.1.0"}


def write_manifest(path, text):
    (path / "manifest.json").write_text(text)
    (path / "manifest.sha256").write_text(hashlib.sha256(text.encode()).hexdigest() + "  manifest.json\n")


def change(path, *changes):
    value = json.loads((path / "manifest.json").read_text())
    for one in changes:
        one(value) if callable(one) else value.update(one)
    write_manifest(path, json.dumps(value))
    return path


def label(path):
    with edgemm.open(path) as model:
        return model.infer(a=np.zeros(3, np.float32), b=np.array([0, 9, 0], np.float32)).outputs["answer"].label


def test_what_is_written_says_its_version_and_who_reads_it(one_node):
    value = json.loads((one_node / "manifest.json").read_text())
    expected = {"format": "edgemm-bundle", "version": VERSION, "reads_from": READS_FROM}
    assert {key: value[key] for key in expected} == expected
    assert value["written_by"] == f"edgemm {edgemm.__version__}"


def test_an_old_bundle_is_refused_with_what_to_do(one_node):
    change(one_node, {"version": 1, "reads_from": 1})
    with pytest.raises(
        BundleError, match=r"bundle version 1; edgemm .* reads version 2 and later\. Export the model again"
    ):
        edgemm.open(one_node)


def test_a_manifest_that_is_written_anew_is_of_this_version(one_node):
    change(one_node, NEWER)
    anew = json_from_manifest(Bundle(one_node).manifest)
    assert (anew["version"], anew["reads_from"], anew["written_by"]) == (VERSION, READS_FROM, WRITTEN_BY)


@pytest.mark.parametrize(
    "add",
    [
        {"mood": "sunny"},
        lambda m: m["nodes"][0].update(mood="sunny"),
        lambda m: m["files"]["graphs/net/model.onnx"].update(mood="sunny"),
        lambda m: m["graphs"]["net"]["inputs"][0].update(mood="sunny"),
        lambda m: m["inputs"]["a"].update(mood="sunny"),
    ],
)
def test_a_key_that_is_not_known_is_overlooked_only_in_a_newer_bundle_that_admits_this_reader(one_node, add):
    change(one_node, NEWER, add)
    assert label(one_node) == "y"
    change(one_node, {"version": VERSION})
    with pytest.raises(BundleError, match="unknown key 'mood'"):
        edgemm.open(one_node)


def test_what_is_known_is_as_strict_in_a_newer_bundle(one_node):
    change(one_node, NEWER, lambda m: m["nodes"][0].update(hold="yes"))
    with pytest.raises(BundleError, match=r"manifest\.json\.nodes\[0\]\.hold: expected bool"):
        edgemm.open(one_node)


def test_a_bundle_for_newer_readers_is_refused_with_what_to_do(one_node):
    change(one_node, NEWER | {"reads_from": VERSION + 1}, {"nodes": "of another world"})
    said = rf"written by 'edgemm 9\.1\.0', for readers of version {VERSION + 1} or later; this is edgemm.*up to version {VERSION}\. Update EdgeMM"
    with pytest.raises(BundleError, match=said):
        edgemm.open(one_node)


@pytest.mark.parametrize(
    "versions",
    [
        {"version": "2"},
        {"version": True, "reads_from": True},
        {"version": None},
        {"reads_from": 0},
        {"reads_from": VERSION + 1},
        {"reads_from": "1"},
        {"version": 0, "reads_from": 0},
    ],
)
def test_versions_that_make_no_sense_are_refused(one_node, versions):
    change(one_node, versions)
    with pytest.raises(BundleError, match="version and reads_from must be whole numbers"):
        edgemm.open(one_node)


def test_a_version_older_than_any_that_is_read_is_refused_with_what_to_do(one_node, monkeypatch):
    monkeypatch.setattr("edgemm.bundle.version.OLDEST", VERSION + 1)
    with pytest.raises(BundleError, match=rf"bundle version {VERSION};.*Export the model again"):
        edgemm.open(one_node)


@pytest.mark.parametrize("text", ["[]", "3", '"edgemm-bundle"', "{}"])
def test_what_is_no_manifest_is_refused(one_node, text):
    write_manifest(one_node, text)
    with pytest.raises(BundleError, match="expected 'edgemm-bundle'"):
        edgemm.open(one_node)


def test_building_loses_nothing_of_a_newer_bundle(one_node):
    planned = {
        "device": "d",
        "backend": "b",
        "precision": "fp16",
        "sources": {"net": "graphs/net/model.onnx"},
        "reason": "",
    }
    change(one_node, NEWER, {"mood": "sunny", "planned": {"d.b.fp16": planned}})
    before = (one_node / "manifest.json").read_text()
    with pytest.raises(UsageError, match=r"'edgemm 9\.1\.0' wrote it.*update EdgeMM"):
        edgemm.build(one_node)
    assert (one_node / "manifest.json").read_text() == before
