"""Installs the wheel for aarch64, runs it under user-mode emulation, and compares what it answers with this machine. `make aarch64` runs it.

Debian's Python for arm64 is unpacked into .aarch64/root by a private apt and run by qemu with that folder as its root: no root's rights, no chroot,
nothing is installed on this machine. It says whether things install and answer, never how fast.

Source: QEMU user mode, `-L`, https://www.qemu.org/docs/master/user/main.html
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".aarch64"
SYSTEM, PACKAGES, WHEELS, PYTHON = HOME / "root", HOME / "site-packages", HOME / "wheels", HOME / "python3"
DESK = ROOT / "plugins" / "digit_desk" / "edgemm_digit_desk" / "shipped"
DEBIAN = ("python3", "libstdc++6")
SAME = (
    "numpy",
    "onnxruntime",
    "pydantic",
    "pluggy",
    "av",
    "soxr",
)  # the same versions as here, so that only the processor differs
# What a Jetson Orin's Cortex-A78AE can do; a kernel does not tell of it through qemu, and ONNX Runtime 1.32 crashes where it reads of an x86 one.
PROCESSOR = "cortex-a76"
CPUINFO = """\
processor\t: {number}
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd42
CPU revision\t: 1

"""
# Of scores, and the least share of equal answers; measured: docs/testing.md. Sums are made in another order. In the stream FFmpeg converts pictures to
# RGB with other instructions, up to two of 255 levels apart, which INT8 makes a step of some activations.
TOLERANCES = {
    "fp32.rows": (1e-4, 1.0),
    "fp32.scores": (0.05, 1.0),
    "int8.rows": (0.05, 1.0),
    "int8.scores": (0.3, 0.95),
}


class MissingError(Exception):
    """Something that this needs and that is not to be had; the text says what to do."""


def main() -> int:
    """Do it; 0 when all is equal within tolerance, 1 when something is not, 3 when something is missing."""
    began = time.monotonic()
    try:
        qemu = _qemu()
        _step("unpacking Debian's Python for arm64", _unpack_system)
        _write_python(qemu)
        _step("building the wheel and installing it for aarch64", _install)
        bundle = HOME / "desk.edgemm"
        if not bundle.exists():
            _step("exporting the digit desk", lambda: _here("-m", "edgemm", *_export(bundle)))
        for words in (["--version"], ["doctor"], ["verify", str(bundle)]):
            _step("emulated: edgemm " + words[0], lambda words=words: print(_emulated("-m", "edgemm", *words)))
        _step("asking it here", lambda: _here(*_ask(bundle, "here")))
        _step("asking it under emulation", lambda: _emulated(*_ask(bundle, "emulated")))
    except MissingError as error:
        print(f"cannot run: {error}", file=sys.stderr)
        return 3
    except subprocess.CalledProcessError as error:
        print(
            f"failed ({error.returncode}): {' '.join(map(str, error.cmd))}\n{error.stdout}{error.stderr}",
            file=sys.stderr,
        )
        return 1
    wrong = compare(HOME / "here.npz", HOME / "emulated.npz")
    print(
        f"{'DIFFERENT: ' + ', '.join(wrong) if wrong else 'equal within tolerance'}, {time.monotonic() - began:.0f} s"
    )
    return 1 if wrong else 0


def compare(here: Path, emulated: Path) -> list[str]:
    """Print a table, and say which rows of it are out of tolerance."""
    wrong = []
    print(f"{'':16}{'answers':>8}{'max abs':>12}{'tolerance':>12}{'same answer':>13}")
    with np.load(here) as ours, np.load(emulated) as theirs:
        for name, (tolerance, least) in TOLERANCES.items():
            a, b = ours[name], theirs[name]
            if a.shape != b.shape or not np.array_equal(np.isnan(a), np.isnan(b)):
                print(f"{name:16}{len(a):>8}  not the same results: {len(b)} under emulation")
                wrong.append(name)
                continue
            gap = float(np.nanmax(np.abs(a - b)))
            same = float((np.nan_to_num(a).argmax(axis=1) == np.nan_to_num(b).argmax(axis=1)).mean())
            print(f"{name:16}{len(a):>8}{gap:>12.1e}{tolerance:>12.0e}{same:>13.1%}")
            if not gap <= tolerance or same < least:
                wrong.append(name)
        wrong += [
            name for name in ours.files if name.endswith("at_ms") and not np.array_equal(ours[name], theirs[name])
        ]
    return wrong


def _qemu() -> str:
    found = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if found is None:
        raise MissingError("there is no qemu-aarch64; on Debian and Ubuntu: apt-get install qemu-user-static")
    return found


def _unpack_system() -> None:
    """Debian's Python for arm64 and what it needs, in .aarch64/root; kept for the next time."""
    if (SYSTEM / "usr" / "bin" / "python3").exists():
        return
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise MissingError(f"there is no {program}: an arm64 Python is had from Debian's packages only")
    apt = HOME / "apt"
    for folder in (apt / "lists" / "partial", apt / "archives" / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures::": "arm64",
        "APT::Install-Recommends": "no",
        "APT::Sandbox::User": "root",
        "Dir::State": apt,
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt,
    }
    apt_get = ["apt-get", "-qq", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
    try:
        _run([*apt_get, "update"])
        _run([*apt_get, "-y", "--download-only", "install", *DEBIAN])
    except subprocess.CalledProcessError as error:
        raise MissingError(f"apt cannot fetch {' and '.join(DEBIAN)} for arm64:\n{error.stderr}") from None
    for name in ("bin", "sbin", "lib"):  # as Debian merges them
        (SYSTEM / "usr" / name).mkdir(parents=True, exist_ok=True)
        (SYSTEM / name).symlink_to(f"usr/{name}")
    for package in sorted((apt / "archives").glob("*.deb")):
        _run(["dpkg-deb", "-x", package, SYSTEM])


def _write_python(qemu: str) -> None:
    """An executable that is an emulated Python; such a Python takes it for itself, so that its children are emulated too."""
    (SYSTEM / "proc").mkdir(exist_ok=True)
    (SYSTEM / "proc" / "cpuinfo").write_text("".join(CPUINFO.format(number=n) for n in range(os.cpu_count() or 1)))
    python = SYSTEM / "usr" / "bin" / "python3"
    words = shlex.join(map(str, (qemu, "-cpu", PROCESSOR, "-0", PYTHON, "-L", SYSTEM, python)))
    PYTHON.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    PYTHON.chmod(0o755)


def _install() -> None:
    """The wheel of this tree, and all that it needs, in .aarch64/site-packages."""
    for folder in (WHEELS, PACKAGES):
        shutil.rmtree(folder, ignore_errors=True)
    _here("-m", "build", "--wheel", "--no-isolation", "--outdir", WHEELS, ROOT)
    (wheel,) = WHEELS.glob("*.whl")
    (python,) = (path.name for path in (SYSTEM / "usr" / "bin").glob("python3.*"))
    platforms = (word for tag in ("2_28", "2_27", "2_17") for word in ("--platform", f"manylinux_{tag}_aarch64"))
    same = [f"{name}=={version(name)}" for name in SAME]
    options = ("-q", "--target", PACKAGES, "--only-binary=:all:", "--implementation", "cp", *platforms)
    try:
        _here(
            "-m",
            "pip",
            "install",
            *options,
            "--python-version",
            python.removeprefix("python"),
            f"{wheel}[media]",
            *same,
        )
    except subprocess.CalledProcessError as error:
        raise MissingError(f"pip cannot have the wheel's needs for aarch64:\n{error.stderr}") from None


def _export(bundle: Path) -> Sequence[str]:
    words = ("export", DESK / "weights.safetensors", "--out", bundle, "--calibration", DESK / "calibration.npz")
    return tuple(map(str, words))


def _ask(bundle: Path, out: str) -> Sequence[str]:
    return tuple(map(str, (Path(__file__).with_name("answers.py"), bundle, DESK / "clip.mp4", HOME / f"{out}.npz")))


def _here(*words: object) -> str:
    return _run([sys.executable, *words])


def _emulated(*words: object) -> str:
    environment = {"PYTHONHOME": str(SYSTEM / "usr"), "PYTHONPATH": str(PACKAGES), "PYTHONDONTWRITEBYTECODE": "1"}
    return _run([PYTHON, *words], environment)


def _run(words: Sequence[object], more: dict[str, str] | None = None) -> str:
    """What a command printed.

    Raises:
        CalledProcessError: it failed.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        list(map(str, words)), cwd=HOME, env=environment | (more or {}), capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _step(title: str, do: Callable[[], object]) -> None:
    began = time.monotonic()
    print(f"-- {title}", flush=True)
    do()
    print(f"   {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    HOME.mkdir(exist_ok=True)
    sys.exit(main())
