from __future__ import annotations

import argparse

import pytest

from edgemm.errors import MissingDependencyError
from edgemm.host.entries import CommandEntry
from edgemm.host.plugin_host import default_host
from edgemm_plugins.digit_desk.demo import Shipped, add_arguments, demo


def is_complete(shipped):
    try:
        shipped.check()
    except MissingDependencyError:
        return False
    return True


def test_the_command_is_found_through_its_plugin():
    command = default_host().load(CommandEntry, "demo")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert parser.parse_args([]).out.name == "edgemm-demo"
    assert callable(command.run)
    assert command.add_arguments is add_arguments


def test_a_missing_file_is_named(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(MissingDependencyError, match=r"calibration\.npz"):
        demo(tmp_path / "out", shipped=Shipped(tmp_path))
    assert not (tmp_path / "out").exists()


@pytest.mark.export
@pytest.mark.media
@pytest.mark.skipif(not is_complete(Shipped()), reason="the shipped model and clip are not in this tree")
def test_the_main_job_end_to_end(tmp_path, capsys):
    assert demo(tmp_path, fast=True, devices=("cpu", "jetson-orin-nano")) == 0
    lines = capsys.readouterr().out.splitlines()
    words = [line.split()[0] for line in lines if line and not line[0].isdigit()]
    assert list(dict.fromkeys(words)) == [
        "accuracy",
        "parity",
        "size",
        "planned",
        "latency",
        "profile",
        "report",
    ]
    assert sum(line.startswith("size") for line in lines) == 2, "FP32 and INT8"
    assert (tmp_path / "desk.edgemm" / "manifest.json").is_file()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for part in ("The stream", "The model", "Variants", "Parity ladder", "Where the time goes", "Still to build"):
        assert f"<h2>{part}</h2>" in page
