"""The command: found through its plugin, complete, and the whole main job from end to end."""

from __future__ import annotations

import pytest

from edgemm.cli.main import main
from edgemm.errors import MissingDependencyError
from edgemm.host.optional import is_installed
from edgemm_digit_desk.demo import demo
from edgemm_digit_desk.shipped import Shipped


def test_the_command_is_found_through_its_plugin_and_teaches(capsys):
    assert main(["demo", "--help"]) == 0
    out = capsys.readouterr().out
    assert "usage: edgemm demo" in out
    assert "edgemm demo --all-devices" in out.split("examples:")[1]


def test_a_wrong_option_is_wrong_usage(capsys):
    assert main(["demo", "--no-such-option"]) == 2
    assert "usage: edgemm demo" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["weights.safetensors", "calibration.npz", "clip.mp4", "clip.srt", "clip.jsonl"])
def test_a_missing_file_is_named_before_anything_is_written(name, tmp_path):
    for path in Shipped().folder.iterdir():
        if path.is_file() and path.name != name:
            (tmp_path / path.name).write_bytes(b"")
    with pytest.raises(MissingDependencyError, match=f"(?s){name}.*install edgemm-digit-desk again"):
        demo(tmp_path / "out", shipped=Shipped(tmp_path))
    assert not (tmp_path / "out").exists()


@pytest.mark.media
def test_the_main_job_ends_with_what_it_found(demonstrated):
    assert demonstrated.exit_code == 0, demonstrated.printed
    lines = demonstrated.printed.splitlines()
    words = [line.split()[0] for line in lines if line and not line[0].isdigit()]
    assert list(dict.fromkeys(words)) == ["accuracy", "parity", "size", "planned", "latency", "profile", "report"]


@pytest.mark.media
def test_the_main_job_makes_every_variant(demonstrated):
    sizes = [line.split()[1] for line in demonstrated.printed.splitlines() if line.startswith("size")]
    made = {("cpu", "fp32"), ("cpu", "int8")}
    if is_installed("tensorrt_rtx"):
        made |= {("rtx-4090", "fp16"), ("rtx-4090", "int8+fp16")}
    assert {(key.split(".")[0], key.rpartition(".")[2]) for key in sizes} == made


@pytest.mark.media
def test_the_main_job_writes_a_whole_report(demonstrated):
    page = (demonstrated.folder / "report.html").read_text(encoding="utf-8")
    for part in ("The stream", "The model", "Variants", "Parity ladder", "Where the time goes", "Still to build"):
        assert f"<h2>{part}</h2>" in page
