"""A measurement says what it was made on."""

from __future__ import annotations

import onnxruntime

import edgemm
from edgemm.machine import facts
from edgemm.machine.machine import Gpu, Machine


def test_facts_are_those_of_this_machine_and_its_packages(monkeypatch):
    machine = Machine(cpu="a processor", cores=6, gpus=(Gpu("NVIDIA L4", 89), Gpu("NVIDIA A2", 86)))
    monkeypatch.setattr(facts, "this_machine", lambda: machine)
    monkeypatch.setattr(facts.os, "getloadavg", lambda: (1.234, 0, 0))
    found = facts.machine_facts()
    assert (found["cpu"], found["cores"], found["gpus"]) == ("a processor", 6, ["NVIDIA L4", "NVIDIA A2"])
    assert found["load"] == 1.23
    assert found["versions"]["onnxruntime"] == onnxruntime.__version__
    assert found["versions"]["edgemm"] == edgemm.__version__


def test_a_system_that_tells_no_load_has_none(monkeypatch):
    def fails():
        raise OSError

    monkeypatch.setattr(facts.os, "getloadavg", fails)
    assert facts.machine_facts()["load"] is None
