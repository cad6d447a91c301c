"""`edgemm devices`."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from edgemm.cli.printing import print_json, print_table, print_text
from edgemm.host.plugin_host import default_host
from edgemm.machine.machine import Machine
from edgemm.machine.probe import detect_device, this_machine
from edgemm.machine.profiles import DeviceProfile, profiles

EXAMPLES = """\
'engines here' says that this device's engines can be compiled on any machine, without the device's GPU;
'on the device' that 'edgemm build' compiles them there.

examples:
  edgemm devices
  edgemm devices rtx-4090             all that is known of one
  edgemm export desk.ckpt --out desk.edgemm --device rtx-4090 --device cpu
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.description = "List the devices that a model can be exported for, and which of them this machine is."
    parser.epilog = EXAMPLES
    parser.add_argument("name", nargs="?", help="show this device only, in full; an alias such as sm89 will do")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List the profiles."""
    from edgemm.machine.profiles import find_device

    host = default_host()
    if arguments.name:
        found = find_device(host, arguments.name)
        print_json(asdict(found)) if arguments.json else _print_one(found)
        return 0
    machine = this_machine()
    detected = detect_device(host, machine)
    known = [profile for _, profile in sorted(profiles(host).items())]
    if arguments.json:
        print_json(
            {"detected": detected, "machine": asdict(machine), "devices": [asdict(profile) for profile in known]}
        )
        return 0
    rows = [_row(profile, detected) for profile in known]
    print_table(rows, header=("", "name", "what it is", "backend", "sm", "engines", "precisions, the default first"))
    print_text(f"\nthis machine: {_described(machine)} -> {detected}")
    return 0


def _row(profile: DeviceProfile, detected: str) -> tuple[str, ...]:
    place = "here" if profile.build == "here" else "on the device"
    return (
        "*" if profile.name == detected else "",
        profile.name,
        profile.title,
        profile.backend,
        str(profile.compute_capability or "-"),
        place,
        ", ".join(profile.precisions),
    )


def _described(machine: Machine) -> str:
    gpus = ", ".join(gpu.name for gpu in machine.gpus) or "no NVIDIA GPU found"
    return f"{machine.architecture}, {machine.cores} cores, {machine.memory_gb} GB, {gpus}"


def _print_one(profile: DeviceProfile) -> None:
    rows = []
    for name, value in asdict(profile).items():
        if isinstance(value, dict):
            rows += [(f"{name} {key}", reason) for key, reason in value.items()]
        elif value not in ("", (), 0, 0.0):
            rows.append((name.replace("_", " "), ", ".join(value) if isinstance(value, tuple) else str(value)))
    print_table(rows)
