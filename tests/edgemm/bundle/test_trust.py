"""Trust is one value: every door that opens a bundle takes it, and refuses before anything of the bundle is read for use."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.cli.main import main
from edgemm.errors import BundleError, UsageError

OTHER = edgemm.Trust(id="0" * 64)


def doors(path, tmp_path):
    """Every function that opens a bundle, by name, as a call that takes `trust`."""
    inputs = {"image": edgemm.Inbox()}
    return {
        "open": lambda trust: edgemm.open(path, trust=trust),
        "stream": lambda trust: edgemm.stream(path, inputs, trust=trust),
        "profile": lambda trust: edgemm.profile(path, trust=trust),
        "verify": lambda trust: edgemm.verify(path, trust=trust),
        "evaluate": lambda trust: edgemm.evaluate(path, trust=trust, data=tmp_path),
        "build": lambda trust: edgemm.build(path, trust=trust),
    }


@pytest.mark.parametrize("length", [12, 64])
def test_the_bundle_that_was_expected_opens(three_inputs, length):
    path = three_inputs()
    expected = Bundle(path).id[:length].upper()
    with edgemm.open(path, trust=edgemm.Trust(id=expected)) as model:
        assert model.infer(image=np.full((2, 2, 3), 9, np.uint8)).outputs


@pytest.mark.parametrize("door", ["open", "stream", "profile", "verify", "evaluate", "build"])
def test_every_door_refuses_another_bundle_than_the_one_expected(three_inputs, tmp_path, door):
    with pytest.raises(BundleError, match=f"expected the bundle {OTHER.id}, this one is"):
        doors(three_inputs(), tmp_path)[door](OTHER)


@pytest.mark.parametrize("ask", [edgemm.stream, lambda model, inputs, trust: edgemm.profile(model, trust=trust)])
def test_an_open_model_is_not_taken_for_the_bundle_that_was_expected(three_inputs, ask):
    with edgemm.open(three_inputs()) as model, pytest.raises(BundleError, match="expected the bundle"):
        ask(model, {"image": edgemm.Inbox()}, trust=OTHER)


def test_another_bundle_is_refused_before_its_manifest_is_parsed(three_inputs):
    path = three_inputs()
    (path / "manifest.json").write_text("{ this is no JSON")
    digest = hashlib.sha256(b"{ this is no JSON").hexdigest()
    (path / "manifest.sha256").write_text(digest)
    with pytest.raises(BundleError, match="expected the bundle"):
        edgemm.open(path, trust=OTHER)
    with pytest.raises(BundleError, match="is not JSON"):
        edgemm.open(path, trust=edgemm.Trust(id=digest))


@pytest.mark.parametrize("text", ["", "3f2a9c01b7d", "3f2a9c01b7dg", "0" * 65])
def test_what_cannot_be_an_id_is_refused(text):
    with pytest.raises(UsageError, match="12 to 64 hexadecimal digits"):
        edgemm.Trust(id=text)


def test_no_id_can_be_expected_of_a_checkpoint(tmp_path):
    with pytest.raises(UsageError, match="a checkpoint, which has no id"):
        edgemm.evaluate(tmp_path / "model.safetensors", trust=OTHER)


@pytest.mark.parametrize("words", [["run", "-i", "image=x.mp4"], ["profile"], ["verify"], ["evaluate"], ["build"]])
def test_every_command_that_opens_a_bundle_takes_the_expected_id(three_inputs, capsys, words):
    assert main([words[0], str(three_inputs()), *words[1:], "--expect-id", "0" * 12]) == BundleError.exit_code
    assert "expected the bundle 000000000000, this one is" in capsys.readouterr().err


def test_a_command_goes_on_with_the_bundle_that_was_expected(three_inputs, capsys):
    path = three_inputs()
    expected = Bundle(path).id
    assert main(["profile", str(path), "--runs", "2", "--json", "--expect-id", expected[:12]]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == expected
