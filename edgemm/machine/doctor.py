"""What this machine can do with EdgeMM, and what to install for the rest.

Whatever loads a native library is looked at in a process of its own with a time limit: one that hangs or crashes is a line of the report, not
its end. (What asks the NVIDIA driver is the machine's own probe.) It repairs nothing.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgemm.host.optional import is_installed
from edgemm.machine.probe import detect_device, this_machine
from edgemm.runners.providers import BROUGHT_BY, PROVIDERS

OK, NOTE, MISSING, BROKEN = "ok", "note", "missing", "broken"
CORE = ("numpy", "onnxruntime", "pydantic", "pluggy")
IMPORT_NAMES = {"tensorrt-rtx-cu13": "tensorrt_rtx", "cuda-python": "cuda", "nvidia-ml-py": "pynvml"}
WHAT_FOR = {
    "media": "cameras, microphones, media files and the live view",
    "export": "making bundles from PyTorch models",
    "tensorrt-rtx": "engines for desktop RTX cards",
    "tensorrt": "engines for this machine's GPU",
    "cuda": "running engines",
    "nvml": "asking the NVIDIA driver directly instead of through nvidia-smi",
}
WITHOUT_REMEDY = ("all", "dev")
PROBE_LIMIT_S = 60
DEMO_BYTES = 4 * 10**9  # an environment with PyTorch and TensorRT-RTX, and what the demo writes
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?[^;]*;.*extra == ['\"]([^'\"]+)['\"]")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        topic: heading that it belongs under.
        name: what was looked at.
        state: `ok`, `note` (worth knowing), `missing` (something optional is not there) or `broken`.
        detail: what was found.
        remedy: what to do about it; "" when nothing needs doing.
    """

    topic: str
    name: str
    state: str
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Report:
    """Everything that was looked at, in order."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether the core works: bundles can be opened and run."""
        return not any(check.state == BROKEN and check.topic == "core" for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {"passed": self.passed, "checks": [asdict(check) for check in self.checks]}

    def __str__(self) -> str:
        lines = [f"{c.state:8} {c.topic:10} {c.name:22} {c.detail}{_then(c.remedy)}" for c in self.checks]
        return "\n".join(lines)


def doctor() -> Report:
    """Look at this machine; takes a few seconds, changes nothing, and never raises."""
    checks: list[Check] = []
    topics: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("core", _core),
        ("extras", _extras),
        ("machine", _machine),
        ("engines", _engines),
        ("cameras", _cameras),
        ("sound", _sound),
        ("plugins", _plugins),
        ("disk", _disk),
    )
    for topic, look in topics:
        try:
            checks.extend(look())
        except Exception as error:  # the report goes on whatever one look runs into
            checks.append(Check(topic, "this look", BROKEN, f"{type(error).__name__}: {error}"))
    return Report(tuple(checks))


def look_from_outside(code: str) -> dict[str, Any]:
    """Run `code` in a Python of its own; what it prints is read as JSON, and what goes wrong is its `error`."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=PROBE_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it did not answer within {PROBE_LIMIT_S} s"}
    if done.returncode == 0:
        try:
            answer = json.loads(done.stdout.strip().splitlines()[-1])
        except (ValueError, IndexError):
            return {"error": "it answered nothing readable"}
        return answer if isinstance(answer, dict) else {"error": "it answered nothing readable"}
    if done.returncode < 0:
        return {"error": f"it crashed (signal {-done.returncode})"}
    return {"error": (done.stderr.strip().splitlines() or ["it failed without a word"])[-1]}


def _core() -> Iterator[Check]:
    version = platform.python_version()
    enough = sys.version_info >= (3, 10)
    yield Check(
        "core", "Python", OK if enough else BROKEN, version, "" if enough else "EdgeMM needs Python 3.10 or newer"
    )
    versions = "{n: __import__(n).__version__ for n in %r}" % (CORE,)  # noqa: UP031 (braces inside)
    providers = "__import__('onnxruntime').get_available_providers()"
    answer = look_from_outside(f"import json; print(json.dumps({{'versions': {versions}, 'providers': {providers}}}))")
    if "error" in answer:
        yield Check("core", "packages", BROKEN, str(answer["error"]), "pip install --force-reinstall edgemm")
        return
    for name, found in answer["versions"].items():
        yield Check("core", name, OK, found)
    yield _providers(answer["providers"])


def _providers(available: list[str]) -> Check:
    """Which execution providers the installed build has, by the names that `--provider` takes."""
    has = [name for name, full in PROVIDERS.items() if full in available]
    lacks = [f"{name} (pip install {BROUGHT_BY[name]})" for name in PROVIDERS if name not in has]
    return Check(
        "core", "ONNX Runtime runs on", OK, ", ".join(has) + (f"; other builds: {', '.join(lacks)}" if lacks else "")
    )


def _extras() -> Iterator[Check]:
    extras = requirements_of_extras()
    if not extras:
        yield Check("extras", "edgemm", NOTE, "it is not installed as a package", "pip install -e .")
    for extra, packages in extras.items():
        if extra in WITHOUT_REMEDY:
            continue
        absent = [name for name in packages if not is_installed(IMPORT_NAMES.get(name, name.replace("-", "_")))]
        detail = f"for {WHAT_FOR.get(extra, 'more')}"
        if absent:
            yield Check(
                "extras", extra, MISSING, f"{detail}; without {', '.join(absent)}", f"pip install 'edgemm[{extra}]'"
            )
        else:
            yield Check("extras", extra, OK, detail)


def requirements_of_extras() -> dict[str, list[str]]:
    """Extra -> distributions that it brings by itself, as the installed package says; empty when EdgeMM is not installed."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        lines = requires("edgemm") or []
    except PackageNotFoundError:
        return {}
    found: dict[str, list[str]] = {}
    for line in lines:
        match = _REQUIREMENT.match(line)
        if match and match[1] != "edgemm":
            found.setdefault(match[3], []).append(match[1])
    return found


def _machine() -> Iterator[Check]:
    from edgemm.host.plugin_host import default_host

    machine = this_machine()
    yield Check(
        "machine", "processor", OK, f"{machine.architecture}, {machine.cores} cores, {machine.memory_gb} GB memory"
    )
    if machine.board or machine.l4t:
        release = f"L4T {machine.l4t}" if machine.l4t else ""
        yield Check("machine", "board", OK, ", ".join(filter(None, (machine.board, release))))
    for gpu in machine.gpus:
        yield Check("machine", "GPU", OK, f"{gpu}, driver {gpu.driver}" if gpu.driver else str(gpu))
    if not machine.gpus:
        yield Check(
            "machine", "GPU", NOTE, "no NVIDIA driver answers: models run on the CPU; engines can be made, not run"
        )
    yield Check("machine", "device profile", OK, detect_device(default_host(), machine), "")


def _engines() -> Iterator[Check]:
    code = """
import json, {module} as trt
sms = [int(n[2:]) for n in dir(getattr(trt, 'ComputeCapability', None)) if n[:2] == 'SM' and n[2:].isdigit()]
print(json.dumps({{'version': trt.__version__, 'sms': sorted(sms)}}))
"""
    remedies = {
        "tensorrt_rtx": "pip install 'edgemm[tensorrt-rtx]'",
        "tensorrt": "on a Jetson: python3 -m venv --system-site-packages; elsewhere: pip install 'edgemm[tensorrt]'",
    }
    for module, remedy in remedies.items():
        if not is_installed(module):
            yield Check("engines", module, MISSING, "not installed", remedy)
            continue
        answer = look_from_outside(code.format(module=module))
        if "error" in answer:
            yield Check("engines", module, BROKEN, str(answer["error"]), remedy)
            continue
        targets = ", ".join(f"SM{sm}" for sm in answer["sms"]) or "this machine's GPU"
        yield Check("engines", module, OK, f"{answer['version']}, compiles for {targets}")


def _cameras() -> Iterator[Check]:
    nodes = sorted(Path("/dev").glob("video[0-9]*"))
    if not nodes:
        yield Check("cameras", "local", NOTE, "no /dev/video*; network cameras (rtsp://, http://) need none")
    for node in nodes:
        if os.access(node, os.R_OK | os.W_OK):
            yield Check("cameras", str(node), OK, "readable")
        else:
            yield Check(
                "cameras", str(node), MISSING, "not readable by you", "sudo usermod -aG video $USER, then log in again"
            )


def _sound() -> Iterator[Check]:
    if not is_installed("sounddevice"):
        yield Check("sound", "microphone", MISSING, "sounddevice is not installed", "pip install 'edgemm[media]'")
        return
    code = """
import json, sounddevice
try:
    device = sounddevice.query_devices(kind='input')
except (ValueError, sounddevice.PortAudioError):
    device = {}
print(json.dumps({'portaudio': sounddevice.get_portaudio_version()[1], 'name': device.get('name', ''),
                  'rate': device.get('default_samplerate', 0)}))
"""
    answer = look_from_outside(code)
    if "error" in answer:
        yield Check("sound", "PortAudio", BROKEN, str(answer["error"]), "sudo apt-get install libportaudio2")
        return
    yield Check("sound", "PortAudio", OK, str(answer["portaudio"]).split(",")[0])
    if answer["name"]:
        yield Check("sound", "microphone", OK, f"{answer['name']}, {answer['rate']:.0f} Hz")
    else:
        yield Check("sound", "microphone", NOTE, "no default input; name one as mic:DEVICE")


def _plugins() -> Iterator[Check]:
    from edgemm.host.plugin_host import ENTRY_KINDS, default_host

    host = default_host()
    count = sum(len(host.entries(kind.record)) for kind in ENTRY_KINDS.values())
    yield Check("plugins", "loaded", OK, f"{len(host.plugins)} plugins with {count} entries")
    for failure in host.failures:
        remedy = f"update or remove {failure.distribution.partition(' ')[0]}"
        yield Check("plugins", failure.plugin, BROKEN, f"{failure.stage}: {failure.error}", remedy)


def _disk() -> Iterator[Check]:
    free = shutil.disk_usage(Path.cwd()).free
    detail = f"{free / 1e9:.1f} GB free here"
    if free < DEMO_BYTES:
        yield Check(
            "disk", "space", NOTE, f"{detail}; the demo with its environment takes about {DEMO_BYTES / 1e9:.0f} GB"
        )
    else:
        yield Check("disk", "space", OK, detail)


def _then(remedy: str) -> str:
    return f"\n{'':42}-> {remedy}" if remedy else ""
