"""A bundle that is whole opens; one that was truncated, changed or made to reach outside is refused, and says so."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.bundle.writer import BundleWriter
from edgemm.errors import BundleError, UnknownNameError, UsageError


def resign(path):
    """Write the digest that fits a manifest that was changed."""
    text = (path / "manifest.json").read_bytes()
    (path / "manifest.sha256").write_text(hashlib.sha256(text).hexdigest() + "  manifest.json\n")


def change_manifest(path, change):
    value = json.loads((path / "manifest.json").read_text())
    change(value)
    (path / "manifest.json").write_text(json.dumps(value))
    resign(path)


def test_every_file_is_checked_and_the_id_is_the_manifests_hash(three_inputs):
    path = three_inputs()
    bundle = Bundle(path)
    assert bundle.check_all() == 4
    assert bundle.id == hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest()


def test_the_nodes_and_edges_of_a_manifest_are_built_once(three_inputs):
    manifest = Bundle(three_inputs()).manifest
    assert manifest.model is manifest.model


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sha256", "graphs/image/model.onnx"])
def test_one_changed_byte_is_noticed(three_inputs, name):
    path = three_inputs()
    file = path / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if name != "manifest.sha256" else 5] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match="changed"):
        edgemm.open(path)


def test_a_truncated_file_is_noticed(three_inputs):
    path = three_inputs()
    file = path / "graphs/fusion/model.onnx"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BundleError, match="the manifest says"):
        edgemm.open(path)


def test_a_truncated_zip_is_noticed(three_inputs):
    path = three_inputs(zipped=True)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match="not a readable bundle"):
        edgemm.open(path)


def test_a_zip_with_a_changed_member_is_noticed(three_inputs, tmp_path):
    path = three_inputs(zipped=True)
    changed = tmp_path / "changed.zip"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, content[:-1] + b"x" if name.endswith("image/model.onnx") else content)
    with pytest.raises(BundleError, match="SHA-256"):
        edgemm.open(changed)


def test_what_is_not_there_says_how_to_make_it(tmp_path):
    with pytest.raises(UsageError, match="edgemm export"):
        edgemm.open(tmp_path / "no.edgemm")
    with pytest.raises(BundleError, match=r"cannot read 'manifest\.json'"):
        edgemm.open(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format="zip"), "format is 'zip'"),
        (lambda m: m.update(colour="red"), "unknown key 'colour'"),
        (lambda m: m.pop("nodes"), "'nodes' is missing"),
        (
            lambda m: m["graphs"]["image"]["inputs"][0].update(colour="red"),
            r"manifest\.json\.graphs\.image\.inputs\[0\]: unknown key 'colour'",
        ),
        (
            lambda m: m["graphs"]["image"]["inputs"][0].pop("shape"),
            r"manifest\.json\.graphs\.image\.inputs\[0\]: 'shape' is missing",
        ),
        (lambda m: m["files"]["graphs/image/model.onnx"].update(bytes=-1), "a file cannot have -1 bytes"),
        (lambda m: m.update(name=3), r"manifest\.json\.name: expected str"),
        (lambda m: m["inputs"]["image"].update(height="tall"), "height must be a whole number"),
        (lambda m: m["nodes"][0].update(trigger="until(eos)"), "unknown output that stops node"),
        (lambda m: m["nodes"][0].update(graph="gone"), "lacks graph 'gone'"),
        (lambda m: m["nodes"][3]["reads"].update(image_tokens="image.depth"), "unknown output of 'image'"),
        (
            lambda m: m["variants"]["cpu.onnxruntime.fp32"]["files"].update(image="../../etc/passwd"),
            "not among its files",
        ),
    ],
)
def test_a_manifest_that_makes_no_sense_names_the_place(three_inputs, change, message):
    path = three_inputs()
    change_manifest(path, change)
    with pytest.raises(BundleError, match=message):
        edgemm.open(path).graph


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "c:\\x", "a\\b", "."])
def test_paths_cannot_leave_the_bundle(three_inputs, name):
    path = three_inputs()
    (path.parent / "secret").write_bytes(b"x")
    record = {"bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}

    def change(manifest):
        manifest["files"][name] = record

    change_manifest(path, change)
    with pytest.raises(BundleError, match="not a path inside the bundle"):
        Bundle(path).read(name)


def test_links_are_refused(three_inputs):
    path = three_inputs()
    file = path / "graphs/image/model.onnx"
    outside = path.parent / "outside.onnx"
    os.replace(file, outside)
    file.symlink_to(outside)
    with pytest.raises(BundleError, match="link"):
        edgemm.open(path)


def test_a_file_larger_than_the_manifest_says_is_not_read_whole(three_inputs):
    path = three_inputs()
    file = path / "graphs/image/model.onnx"
    with file.open("ab") as handle:
        handle.truncate(2**31)
    with pytest.raises(BundleError, match="the manifest says"):
        edgemm.open(path)


def repacked(path, change):
    """The same zip, where `change` says otherwise of the image's graph: its description and content."""
    changed = path.with_name("repacked.zip")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as target:
        for member in source.infolist():
            content = source.read(member)
            if member.filename == "graphs/image/model.onnx":
                content = change(member, content)
            target.writestr(member, content)
    return changed


def test_a_member_of_a_zip_that_is_larger_than_the_manifest_says_is_not_unpacked(three_inputs):
    path = repacked(three_inputs(zipped=True), lambda member, content: content + b"more")
    with pytest.raises(BundleError, match=r"'graphs/image/model\.onnx' has \d+ bytes, expected at most \d+"):
        edgemm.open(path)


def test_a_link_in_a_zip_is_refused(three_inputs):
    def link(member, content):
        member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        return content

    with pytest.raises(BundleError, match="is a link"):
        edgemm.open(repacked(three_inputs(zipped=True), link))


def test_writing_is_all_or_nothing(tmp_path):
    target = tmp_path / "b.edgemm"

    def interrupted():
        with BundleWriter(target) as writer:
            writer.add("graphs/a/model.onnx", b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_bundle_is_kept_unless_told_otherwise_and_a_folder_always(three_inputs, tmp_path):
    path = three_inputs()
    before = (path / "manifest.json").read_bytes()
    with pytest.raises(UsageError, match="--overwrite"):
        BundleWriter(path)
    with pytest.raises(RuntimeError), BundleWriter(path, overwrite=True):
        raise RuntimeError
    assert (path / "manifest.json").read_bytes() == before
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes(b"x")
    with pytest.raises(UsageError, match="not a bundle"):
        BundleWriter(folder, overwrite=True)


def sealed(target, source, **options):
    """A writer that has all of another bundle, and only has to put it in place."""
    writer = BundleWriter(target, **options)
    manifest = Bundle(source).manifest
    for name in manifest.files:
        writer.add(name, (source / name).read_bytes())
    writer.seal(lambda records: replace(manifest, files=records))
    return writer


def precious(target):
    """What somebody else has put there."""
    target.mkdir()
    (target / "precious.txt").write_text("mine")
    return target / "precious.txt"


@pytest.mark.parametrize("zipped", [False, True])
def test_what_appeared_while_a_bundle_was_written_is_kept(three_inputs, tmp_path, zipped):
    target = tmp_path / "new.edgemm"
    with sealed(target, three_inputs(), zipped=zipped) as writer:
        file = precious(target)
        with pytest.raises(UsageError, match=r"has appeared meanwhile: choose another --out, or .*--overwrite"):
            writer.put_in_place()
    assert file.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("zipped", [False, True])
def test_what_a_bundle_was_replaced_by_while_it_was_made_anew_is_kept(three_inputs, tmp_path, zipped):
    source = three_inputs()
    target = tmp_path / "old.edgemm"
    with sealed(target, source) as first:
        first.put_in_place()
    with sealed(target, source, overwrite=True, zipped=zipped) as writer:
        shutil.rmtree(target)
        file = precious(target)
        with pytest.raises(UsageError, match="is not a bundle: not overwritten"):
            writer.put_in_place()
    assert file.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("zipped_before", [False, True])
def test_a_bundle_is_replaced_by_one_of_either_form(three_inputs, tmp_path, zipped_before, zipped):
    source, target = three_inputs(), tmp_path / "b.edgemm"
    with sealed(target, source, zipped=zipped_before) as first:
        first.put_in_place()
    with sealed(target, source, overwrite=True, zipped=zipped) as second:
        second.put_in_place()
    assert target.is_file() == zipped
    assert Bundle(target).manifest.files == Bundle(source).manifest.files


def test_of_two_writers_of_one_path_the_second_is_refused(three_inputs, tmp_path):
    source, target = three_inputs(), tmp_path / "b.edgemm"
    with sealed(target, source) as first, sealed(target, source) as second:
        first.put_in_place()
        with pytest.raises(UsageError, match="has appeared meanwhile"):
            second.put_in_place()
    assert Bundle(target).manifest.files


def test_a_bundle_is_on_the_disk_before_its_name_is(three_inputs, tmp_path, monkeypatch):
    source, done = three_inputs(), []
    fsync, replace_ = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: (done.append(os.readlink(f"/proc/self/fd/{handle}")), fsync(handle))
    )
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append("renamed"), replace_(old, new)))
    with sealed(tmp_path / "b.edgemm", source) as writer:
        written = {str(path) for path in writer.folder.rglob("*") if path.is_file()} | {str(writer.folder)}
        writer.put_in_place()
    assert set(done[: done.index("renamed")]) >= written
    assert done[done.index("renamed") :] == ["renamed", str(tmp_path)]


def test_a_place_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BundleError, match="cannot write the bundle"):
        BundleWriter(tmp_path / "file" / "b.edgemm")


def test_variants_are_found_by_key_precision_or_device(three_inputs):
    manifest = Bundle(three_inputs()).manifest
    assert manifest.find_variant("fp32") == "cpu.onnxruntime.fp32"
    assert manifest.find_variant("cpu") == "cpu.onnxruntime.fp32"
    with pytest.raises(UnknownNameError, match=r"known: cpu\.onnxruntime\.fp32"):
        manifest.find_variant("int8")


def test_a_folder_opens_without_what_only_zips_and_errors_need(three_inputs):
    code = f"import sys, edgemm\nedgemm.open({str(three_inputs())!r}).close()\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"zipfile", "shutil", "difflib", "edgemm.uris", "edgemm.host.interfaces"} & set(done.stdout.split()) == set()


def test_results_do_not_depend_on_the_form_of_the_bundle(three_inputs):
    frame = np.full((2, 2, 3), 9, np.uint8)
    scores = []
    for zipped in (False, True):
        with edgemm.open(three_inputs(zipped=zipped)) as model:
            scores.append(model.infer(image=frame).outputs["answer"].tolist())
    assert scores[0] == scores[1]


@pytest.mark.parametrize("runner", [["edgemm"], ["edgemm", "a", "b"], ["edgemm", 5], "edgemm"])
def test_a_variant_s_runner_is_a_distribution_and_a_plugin(three_inputs, runner):
    path = three_inputs()
    change_manifest(path, lambda manifest: manifest["variants"]["cpu.onnxruntime.fp32"].update(runner=runner))
    with pytest.raises(BundleError, match="runner"):
        Bundle(path)


def test_a_bundle_whose_files_are_larger_than_any_is_refused_before_one_is_read(three_inputs, monkeypatch):
    monkeypatch.setattr("edgemm.limits.BUNDLE_BYTES", 100)
    with pytest.raises(BundleError, match=r"its files have .* bytes together, at most 100 are read"):
        Bundle(three_inputs())
