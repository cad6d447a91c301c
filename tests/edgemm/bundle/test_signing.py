"""Who made a bundle: a signature by a key that is trusted opens it, and nothing else does once keys are given."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys

import numpy as np
import pytest

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.bundle.signing import make_key, sign, signers
from edgemm.cli.main import main
from edgemm.errors import BundleError, UsageError

NOT_SIGNED_BY = r"none of the keys that were given \(other.pub\) has signed this bundle"


@pytest.fixture
def keys(tmp_path):
    """Our pair of keys, and another's."""
    return make_key(tmp_path / "our.key"), make_key(tmp_path / "other.key")


def resign(path):
    """What an attacker does who has changed the manifest."""
    text = (path / "manifest.json").read_bytes()
    (path / "manifest.sha256").write_text(hashlib.sha256(text).hexdigest())


def answers(path, **trust):
    with edgemm.open(path, trust=edgemm.Trust(**trust)) as model:
        return model.infer(image=np.full((2, 2, 3), 9, np.uint8)).outputs


@pytest.mark.parametrize("zipped", [False, True])
def test_what_a_trusted_key_has_signed_opens_with_the_answers_it_had(three_inputs, keys, zipped):
    path, ((private, public), (_, other)) = three_inputs(zipped=zipped), keys
    before = answers(path)
    assert sign(path, private) == signers(Bundle(path))[0]
    after = answers(path, keys=[other, public])
    assert {name: str(value) for name, value in after.items()} == {name: str(value) for name, value in before.items()}


@pytest.mark.parametrize("zipped", [False, True])
def test_what_only_others_have_signed_does_not(three_inputs, keys, zipped):
    path, ((private, _), (_, other)) = three_inputs(zipped=zipped), keys
    public = sign(path, private)
    with pytest.raises(BundleError, match=rf"{NOT_SIGNED_BY}: it is signed by {public[:16]}; nothing of it was loaded"):
        edgemm.open(path, trust=edgemm.Trust(keys=other))


def test_what_nobody_has_signed_does_not(three_inputs, keys):
    with pytest.raises(BundleError, match=f"{NOT_SIGNED_BY}: it is not signed"):
        edgemm.open(three_inputs(), trust=edgemm.Trust(keys=[keys[1][1]]))


def test_a_changed_bundle_is_refused_before_its_manifest_is_parsed(three_inputs, keys):
    path, ((private, public), _) = three_inputs(), keys
    sign(path, private)
    (path / "manifest.json").write_text("{ this is no JSON")
    resign(path)
    with pytest.raises(BundleError, match="has signed this bundle"):
        edgemm.open(path, trust=edgemm.Trust(keys=public))


def test_a_signature_of_another_bundle_is_worth_nothing(three_inputs, keys, tmp_path):
    ours, ((private, public), _) = three_inputs(), keys
    sign(ours, private)
    signature = (ours / "manifest.sig").read_text()
    manifest = json.loads((ours / "manifest.json").read_text())
    manifest["name"] = "forged"
    (ours / "manifest.json").write_text(json.dumps(manifest))
    resign(ours)
    (ours / "manifest.sig").write_text(signature)
    assert signers(Bundle(ours)) == []
    with pytest.raises(BundleError, match="has signed this bundle"):
        edgemm.open(ours, trust=edgemm.Trust(keys=public))


def test_a_key_that_is_only_named_has_not_signed(three_inputs, keys):
    """Anybody can write a public key into the file."""
    path, ((private, _), (other_private, other)) = three_inputs(), keys
    ours = sign(path, private)
    theirs = sign(path, other_private)
    text = (path / "manifest.sig").read_text().splitlines()
    by_ours = next(line for line in text if ours in line)
    (path / "manifest.sig").write_text(by_ours.replace(ours, theirs) + "\n")
    with pytest.raises(BundleError, match=NOT_SIGNED_BY):
        edgemm.open(path, trust=edgemm.Trust(keys=other))


def test_signing_again_replaces_a_key_s_signature_and_leaves_the_others(three_inputs, keys):
    path, ((private, _), (other, _)) = three_inputs(), keys
    both = [sign(path, private), sign(path, other)]
    assert sign(path, private) in both
    assert sorted(signers(Bundle(path))) == sorted(both)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\n", b"ed25519 00\n", b"ed25519 " + b"z" * 64 + b" " + b"0" * 128])
def test_lines_that_are_no_signatures_vouch_for_nothing(three_inputs, keys, content):
    path = three_inputs()
    (path / "manifest.sig").write_bytes(content)
    assert signers(Bundle(path)) == []
    with pytest.raises(BundleError, match="it is not signed"):
        edgemm.open(path, trust=edgemm.Trust(keys=keys[0][1]))


def test_a_bundle_that_is_not_whole_is_not_signed(three_inputs, keys):
    path = three_inputs()
    model = next(path.rglob("model.onnx"))
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(BundleError, match="truncated"):
        sign(path, keys[0][0])
    assert not (path / "manifest.sig").exists()


def test_no_keys_at_all_is_a_mistake():
    with pytest.raises(UsageError, match="expected at least one public key"):
        edgemm.Trust(keys=[])


def test_a_private_key_is_its_owner_s_alone_and_never_overwritten(tmp_path):
    private, public = make_key(tmp_path / "a.key")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes()
    for taken in (private, public):
        with pytest.raises(UsageError, match="a key is never overwritten"):
            make_key(taken)
    assert private.read_bytes() == before


def test_where_the_public_key_exists_no_private_one_is_written(tmp_path):
    (tmp_path / "a.pub").write_text("another's")
    with pytest.raises(UsageError, match=r"a\.pub' exists"):
        make_key(tmp_path / "a.key")
    assert not (tmp_path / "a.key").exists()


def test_a_private_key_is_not_named_as_the_public_one(tmp_path):
    with pytest.raises(UsageError, match=r"would be the public key; .*a\.key"):
        make_key(tmp_path / "a.pub")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [".manifest.sig.new", "manifest.sig"])
def test_signing_follows_no_link_that_lies_in_the_bundle(three_inputs, keys, tmp_path, name):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    bundle = three_inputs()
    (bundle / name).symlink_to(victim)
    sign(bundle, keys[0][0])
    assert victim.read_text() == "precious"
    assert answers(bundle, keys=keys[0][1])
    assert not (bundle / "manifest.sig").is_symlink()


def test_a_signature_that_cannot_be_written_leaves_nothing(three_inputs, keys, monkeypatch):
    bundle = three_inputs()
    before = sorted(path.name for path in bundle.iterdir())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(BundleError, match="No space left"):
        sign(bundle, keys[0][0])
    assert sorted(path.name for path in bundle.iterdir()) == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path, keys: path, "cannot read the key"),
        (lambda path, keys: path.write_text("no key") and path, "it is none"),
        (lambda path, keys: keys[0][1], "it is none"),
        (lambda path, keys: openssl(path, "genpkey", "-algorithm", "rsa"), "another kind of key"),
        (
            lambda path, keys: openssl(path, "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:a"),
            "passphrase",
        ),
    ],
    ids=["missing", "text", "a public key", "RSA", "locked"],
)
def test_a_key_that_cannot_be_used_says_why_and_how_to_make_one(three_inputs, keys, tmp_path, make, message):
    with pytest.raises(UsageError, match=f"{message}.*edgemm sign --new-key"):
        sign(three_inputs(), make(tmp_path / "given.key", keys))


def openssl(path, *words):
    subprocess.run(["openssl", *words, "-out", str(path)], check=True, capture_output=True, timeout=60)
    return path


def test_keys_of_openssl_do_as_well(three_inputs, tmp_path):
    private = openssl(tmp_path / "a.key", "genpkey", "-algorithm", "ed25519")
    public = openssl(tmp_path / "a.pub", "pkey", "-in", str(private), "-pubout")
    path = three_inputs()
    sign(path, private)
    assert answers(path, keys=public)


def test_from_the_command_line(three_inputs, tmp_path, capsys):
    path, private = three_inputs(), tmp_path / "publisher.key"
    assert main(["sign", "--new-key", str(private)]) == 0
    assert main(["sign", str(path), "--key", str(private)]) == 0
    signer = signers(Bundle(path))[0][:16]
    assert f"signed by {signer}" in capsys.readouterr().out
    public = str(private.with_suffix(".pub"))
    assert main(["profile", str(path), "--runs", "1", "--key", public]) == 0
    make_key(tmp_path / "other.key")
    assert main(["profile", str(path), "--runs", "1", "--key", str(tmp_path / "other.pub")]) == BundleError.exit_code
    assert "has signed this bundle" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["sign"], ["sign", "a.edgemm"], ["sign", "a.edgemm", "--new-key", "k"], ["sign", "--key", "k"]]
)
def test_a_command_that_says_too_little_or_too_much_is_told(words, capsys):
    assert main(words) == UsageError.exit_code
    assert "edgemm sign" in capsys.readouterr().err


def test_an_open_model_is_asked_too(three_inputs, keys):
    with edgemm.open(three_inputs()) as model, pytest.raises(BundleError, match="it is not signed"):
        edgemm.profile(model, trust=edgemm.Trust(keys=keys[0][1]))


def test_opening_without_keys_needs_no_cryptography(three_inputs):
    code = f"import sys, edgemm; edgemm.open({str(three_inputs())!r}); assert 'cryptography' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
