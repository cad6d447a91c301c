"""Plugin `devices`: the device profiles in `profiles/`, one TOML file each, and what machine this is.

To add a device, add a file: its name is the device's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING

from edgemm.host.entries import DeviceEntry
from edgemm.host.marker import hookimpl

if TYPE_CHECKING:
    from edgemm.machine.machine import Machine


@hookimpl
def edgemm_devices() -> Iterator[DeviceEntry]:
    """One entry per file in `profiles/`."""
    for file in sorted(files(__name__).joinpath("profiles").iterdir(), key=lambda file: file.name):
        name, dot, ending = file.name.rpartition(".")
        if dot and ending == "toml":
            yield DeviceEntry(
                name=name, factory=f"{__name__}:profiles/{file.name}", summary=_title(file.read_text(encoding="utf-8"))
            )


@hookimpl
def edgemm_detect_device(machine: Machine) -> str | None:
    """The profile that fits `machine`."""
    from edgemm_devices.detection import detect_device

    return detect_device(machine).device


def _title(text: str) -> str:
    """The `title` of a profile, without a TOML parser: listing plugins stays cheap."""
    for line in text.splitlines():
        if line.startswith("title = "):
            return line.removeprefix("title = ").strip('"')
    return ""
