"""What the plugin registers, and that looking it up loads nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

from edgemm.host.entries import CommandEntry, TaskEntry
from edgemm.host.plugin_host import default_host

HEAVY = {"numpy", "onnxruntime", "pydantic", "torch", "onnx", "av", "soxr", "rich", "espeakng_loader"}


def test_its_entries_come_from_its_own_distribution():
    for record, name in ((TaskEntry, "digit_desk"), (CommandEntry, "demo")):
        found = default_host().find(record, name)
        assert (found.plugin, found.distribution.split()[0]) == ("digit_desk", "edgemm-digit-desk")


def test_registering_needs_nothing_heavy():
    code = "import sys, json, edgemm_digit_desk as desk\nlist(desk.edgemm_tasks()), list(desk.edgemm_commands())\n"
    code += "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY & set(json.loads(done.stdout)) == set()
