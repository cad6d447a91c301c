"""`edgemm devices`: what one can export for, and which of it this machine is."""

from __future__ import annotations

import json

import pytest

from edgemm.cli import devices
from edgemm.cli.main import main
from edgemm.machine.machine import Gpu, Machine


@pytest.fixture(autouse=True)
def here(monkeypatch):
    machine = Machine("x86_64", "Linux", "a processor", 8, 31.3, gpus=(Gpu("NVIDIA L4", 89, "580.65.06", 22.5),))
    monkeypatch.setattr(devices, "this_machine", lambda: machine)


def test_the_device_that_this_machine_is_is_marked(capsys):
    assert main(["devices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("*")] == ["rtx-4090"]
    assert lines[-1] == "this machine: x86_64, 8 cores, 31.3 GB, NVIDIA L4 -> rtx-4090"


def test_json_has_the_machine_as_it_was_found(capsys):
    assert main(["devices", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["detected"] == "rtx-4090"
    assert answer["machine"]["gpus"] == [
        {"name": "NVIDIA L4", "compute_capability": 89, "driver": "580.65.06", "memory_gb": 22.5}
    ]
    assert {device["name"] for device in answer["devices"]} > {"cpu", "rtx-4090"}
