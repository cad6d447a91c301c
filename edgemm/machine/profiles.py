"""Device profiles: what a machine is and which precisions it takes, read from data files that plugins name.

A profile is data: it decides what `edgemm export` builds, and is never executed. It knows nothing of the compilers themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from edgemm.bundle.strict import record_from_json
from edgemm.errors import BundleError, ExportError, PluginError, UnknownNameError
from edgemm.host.entries import DeviceEntry
from edgemm.model.precision import PRECISIONS
from edgemm.reading.plain_toml import table_from_toml

if TYPE_CHECKING:
    from edgemm.host.plugin_host import PluginHost


@dataclass(frozen=True)
class DeviceProfile:
    """One kind of machine.

    Attributes:
        name: as `--device` takes it.
        title: as people call it.
        backend: `onnxruntime`, or that of the exporter that compiles for it: `tensorrt_rtx`, `tensorrt`, or a plugin's.
        compute_capability: of its GPU, as 89 for 8.9; 0 without one.
        precisions: what it takes, those of `auto` first.
        refused: precision -> why not, for those that a user may ask for.
        auto: of `precisions`, what `--precision auto` makes; empty for all of them.
        build: `here` (compiled ahead of time, on any machine) or `on-device`.
        memory_gb: of the GPU, or shared.
        bandwidth_gb_s: of that memory.
        notes: what to know before using it; shown by `edgemm devices`.
        source: where the figures come from.
        verified: whether EdgeMM has run on one.
    """

    name: str
    title: str
    backend: str
    precisions: tuple[str, ...]
    compute_capability: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    auto: tuple[str, ...] = ()
    build: str = "here"
    memory_gb: float = 0.0
    bandwidth_gb_s: float = 0.0
    aliases: tuple[str, ...] = ()
    notes: str = ""
    source: str = ""
    verified: bool = False

    @property
    def default_precisions(self) -> tuple[str, ...]:
        """What `--precision auto` makes."""
        return self.auto or self.precisions

    def check_precision(self, precision: str) -> None:
        """Raise `ExportError`, with the reason, for a precision that this device does not take."""
        if precision in self.precisions:
            return
        reason = self.refused.get(precision, "it is not among the precisions that this backend writes")
        raise ExportError(
            f"device '{self.name}' does not take {precision}: {reason}\n  it takes: {', '.join(self.precisions)}"
        )


def profile_from_content(content: bytes, where: str) -> DeviceProfile:
    """Make a profile from the content of a TOML file.

    Raises:
        PluginError: it is none, or says something that cannot be; the message says what.
    """
    try:
        table = table_from_toml(content)
    except ValueError as error:
        raise PluginError(f"{where}: cannot be read: {error}") from None
    return profile_from_table(table, where)


def profile_from_table(table: Mapping[str, Any], where: str) -> DeviceProfile:
    """Make a profile from a parsed TOML file.

    Raises:
        PluginError: for an unknown or missing key, another type, an unknown precision, or none at all.
    """
    known = {item.name for item in fields(DeviceProfile)}
    unknown = sorted(set(table) - known)
    if unknown:
        raise PluginError(f"{where}: unknown key '{unknown[0]}'; a device profile has: {', '.join(sorted(known))}")
    missing = [
        item.name
        for item in fields(DeviceProfile)
        if item.default is item.default_factory is MISSING and item.name not in table
    ]
    if missing:
        raise PluginError(f"{where}: '{missing[0]}' is missing; a device profile has: {', '.join(sorted(known))}")
    try:
        profile = record_from_json(DeviceProfile, table, where)
    except BundleError as error:
        raise PluginError(str(error)) from None
    if not profile.precisions:
        raise PluginError(f"{where}: a device takes at least one precision; known: {', '.join(PRECISIONS)}")
    for key, named, allowed in (
        ("precisions", profile.precisions, tuple(PRECISIONS)),
        ("auto", profile.auto, profile.precisions),
    ):
        wrong = [precision for precision in named if precision not in allowed]
        if wrong:
            raise PluginError(f"{where}: {key} names '{wrong[0]}'; it may name {', '.join(allowed)}")
    return profile


def profiles(host: PluginHost) -> dict[str, DeviceProfile]:
    """Every registered device profile, by name; one that cannot be read is recorded in the host's failures, and the others are there."""
    found = {}
    for name, registered in host.entries(DeviceEntry).items():
        try:
            found[name] = _profile(registered.entry)
        except PluginError as error:
            host.record_failure(registered.plugin, f"device '{name}'", error)
    return found


def _profile(entry: DeviceEntry) -> DeviceProfile:
    package, _, path = entry.factory.partition(":")
    where = f"{package}/{path}"
    try:
        content = files(package).joinpath(path).read_bytes()
    except (OSError, ImportError) as error:
        raise PluginError(f"{where}: cannot be read: {error}") from None
    return profile_from_content(content, where)


def find_device(host: PluginHost, name: str) -> DeviceProfile:
    """The profile of that name or alias.

    Raises:
        UnknownNameError: lists the known devices and suggests the nearest.
        PluginError: it is registered, and its profile cannot be read.
    """
    known = profiles(host)
    for profile in known.values():
        if name == profile.name or name in profile.aliases:
            return profile
    registered = host.entries(DeviceEntry).get(name)
    if registered is not None:
        _profile(registered.entry)  # says what is wrong with it
    raise UnknownNameError("device", name, known, "see 'edgemm devices'")
