"""The doctor says what is there, what is not, and what brings it; and never falls over."""

from __future__ import annotations

import json
import sys

import pytest

from edgemm.cli.main import main
from edgemm.machine.doctor import (
    BROKEN,
    MISSING,
    NOTE,
    OK,
    Check,
    Report,
    doctor,
    look_from_outside,
    requirements_of_extras,
)
from edgemm.machine.machine import Gpu, L4t, Machine

MODULE = sys.modules["edgemm.machine.doctor"]


@pytest.fixture(scope="module")
def report() -> Report:
    return doctor()


def checks(report: Report, topic: str) -> dict[str, Check]:
    return {check.name: check for check in report.checks if check.topic == topic}


def test_the_core_of_a_machine_that_runs_tests_works(report):
    assert report.passed
    assert {check.state for check in checks(report, "core").values()} == {OK}
    assert {"Python", "numpy", "onnxruntime", "pydantic", "pluggy"} <= set(checks(report, "core"))


def test_every_topic_is_there(report):
    topics = ["core", "extras", "machine", "engines", "cameras", "sound", "plugins", "disk"]
    assert list(dict.fromkeys(check.topic for check in report.checks)) == topics


def test_board_release_and_gpus_are_told(monkeypatch):
    gpus = (Gpu("Orin (nvgpu)", 87, "540.4.0"), Gpu("another", 89))
    machine = Machine("aarch64", cores=6, memory_gb=7.4, board="NVIDIA Jetson Orin Nano", l4t=L4t(36, "4.3"), gpus=gpus)
    monkeypatch.setattr(MODULE, "this_machine", lambda: machine)
    told = [(check.name, check.detail) for check in MODULE._machine()]
    assert told == [
        ("processor", "aarch64, 6 cores, 7.4 GB memory"),
        ("board", "NVIDIA Jetson Orin Nano, L4T 36.4.3"),
        ("GPU", "Orin (nvgpu) (SM87), driver 540.4.0"),
        ("GPU", "another (SM89)"),
        ("device profile", "jetson-orin-nano"),
    ]


def test_a_machine_without_a_gpu_is_no_fault(monkeypatch):
    monkeypatch.setattr(MODULE, "this_machine", Machine)
    (gpu,) = [check for check in MODULE._machine() if check.name == "GPU"]
    assert (gpu.state, gpu.detail.partition(":")[0]) == (NOTE, "no NVIDIA driver answers")


def test_what_is_missing_has_a_remedy(report):
    assert [check for check in report.checks if check.state in (MISSING, BROKEN) and not check.remedy] == []


def test_states_are_the_documented_ones(report):
    assert {check.state for check in report.checks} <= {OK, NOTE, MISSING, BROKEN}


def test_extras_are_those_of_the_package():
    extras = requirements_of_extras()
    assert {"media", "export", "tensorrt-rtx", "dev"} <= set(extras)
    assert "torch" in extras["export"]
    assert "edgemm" not in {name for names in extras.values() for name in names}


def test_an_absent_extra_names_the_command(monkeypatch):
    monkeypatch.setattr(MODULE, "is_installed", lambda module: module not in ("av", "torch"))
    found = {check.name: check for check in MODULE._extras()}
    assert found["media"].state == MISSING
    assert "without av" in found["media"].detail
    assert found["media"].remedy == "pip install 'edgemm[media]'"
    assert found["export"].remedy == "pip install 'edgemm[export]'"


def test_a_broken_core_fails_the_report(monkeypatch, capsys):
    monkeypatch.setattr(MODULE, "look_from_outside", lambda code: {"error": "ImportError: numpy is broken"})
    assert not doctor().passed
    assert main(["doctor"]) == 3
    assert "the core is broken" in capsys.readouterr().out


def test_a_look_that_raises_is_a_line_of_the_report(monkeypatch):
    def fails():
        raise OSError("the bus is on fire")
        yield

    monkeypatch.setattr(MODULE, "_cameras", fails)
    (found,) = [check for check in doctor().checks if check.topic == "cameras"]
    assert (found.state, found.detail) == (BROKEN, "OSError: the bus is on fire")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it crashed (signal 11)"),
        ("import a_module_that_nobody_has", "ModuleNotFoundError: No module named 'a_module_that_nobody_has'"),
        ("print('[1]')", "it answered nothing readable"),
        ("pass", "it answered nothing readable"),
    ],
)
def test_a_probe_that_breaks_is_an_error(code, error):
    assert look_from_outside(code) == {"error": error}


def test_a_probe_that_hangs_is_an_error(monkeypatch):
    monkeypatch.setattr(MODULE, "PROBE_LIMIT_S", 0.5)
    assert look_from_outside("import time; time.sleep(60)") == {"error": "it did not answer within 0.5 s"}


def test_the_command_prints_json(capsys):
    assert main(["doctor", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["passed"] is True
    assert {"topic", "name", "state", "detail", "remedy"} == set(answer["checks"][0])
