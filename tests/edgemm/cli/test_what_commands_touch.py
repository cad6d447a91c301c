"""With everything at its defaults a command writes below its output and where docs/security.md says, and looks up no name.

The digit desk is exported, streamed, profiled and demonstrated under strace, each with an empty home and an empty folder for temporary files.
strace writes a file for each thread, so that no line is torn in two.
"""

from __future__ import annotations

import contextlib
import http.server
import io
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHANGES = "creat,mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,truncate,chmod,fchmodat"
LINE = re.compile(r"(?P<call>\w+)\((?P<arguments>.*)\)\s+= (?P<answer>\S+)")
PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>, )?"(?P<path>[^"]*)"')
RESOLVED_WITH = ("/etc/resolv.conf", "/etc/hosts", "/etc/gai.conf")


@dataclass(frozen=True)
class Traced:
    """What one command asked its system for, with all its threads and children.

    Attributes:
        folder: its home, its folder for temporary files and its working directory are `home`, `tmp` and `cwd` in it.
        written: every path that was opened for writing, made, renamed or removed.
        read: every path that was opened only for reading.
        asked: every line that opens an internet socket, or reads what names are resolved with.
    """

    folder: Path
    written: frozenset[Path]
    read: frozenset[Path]
    asked: tuple[str, ...]

    def written_elsewhere(self) -> list[str]:
        """Paths written outside the working directory, the temporary folder, and the caches that docs/security.md names."""
        below = (self.folder / "cwd", self.folder / "tmp")
        return sorted(
            str(path)
            for path in self.written
            if not any(path.is_relative_to(folder) for folder in below)
            and "__pycache__" not in path.parts[-2:]  # beside the code
            and path != Path("/dev/null")
            and not str(path).startswith(
                "/dev/shm/sem."
            )  # a lock of multiprocessing's: a name, made and removed at once
        )

    def left(self) -> list[str]:
        """Files that are still in the home or the folder for temporary files; of torch an empty folder stays."""
        found = (path for name in ("home", "tmp") for path in (self.folder / name).rglob("*"))
        return sorted(str(path) for path in found if not (path.is_dir() and path.name.startswith("torchinductor_")))


def trace(folder: Path, *command: object) -> Traced:
    """Run Python with these arguments."""
    needs_strace()
    for name in ("cwd", "home", "tmp", "trace"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    set_by_others = ("XDG_", "ORT_", "PYTHON", "EDGEMM_", "TORCH")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(set_by_others)}
    environment |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}
    options = ("-ff", "--seccomp-bpf", "-y", "-s", "4096", "-o", folder / "trace" / "of")
    words = ("strace", *options, f"--trace=open,openat,socket,connect,{CHANGES}", sys.executable, *command)
    done = subprocess.run(
        list(map(str, words)), cwd=folder / "cwd", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return traced(folder)


def needs_strace() -> None:
    """Skip where nothing can be traced."""
    if shutil.which("strace") is None:
        pytest.skip("strace shows what a process asks its system for, and is not installed")
    words = ["strace", "-f", "--seccomp-bpf", "-o", os.devnull, "true"]
    tried = subprocess.run(words, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace cannot trace here: {tried.stderr.strip()}")


def traced(folder: Path) -> Traced:
    """What strace's files say."""
    written, read, asked = set[Path](), set[Path](), []
    for file in (folder / "trace").iterdir():
        for found in map(LINE.match, file.read_text(errors="replace").splitlines()):
            if found is None:  # a signal, an exit
                continue
            if "AF_INET" in found["arguments"] or any(f'"{path}"' in found["arguments"] for path in RESOLVED_WITH):
                asked.append(found[0])
            if found["answer"] == "-1" or found["call"] in ("socket", "connect"):
                continue
            only_read = found["call"].startswith("open") and not re.search(r"O_(WRONLY|RDWR|CREAT)", found["arguments"])
            (read if only_read else written).update(paths(found["arguments"], folder / "cwd"))
    return Traced(folder, frozenset(written), frozenset(read), tuple(asked))


def paths(arguments: str, cwd: Path) -> Iterator[Path]:
    """The paths among a call's arguments; each may be relative to a folder that is open, or to the working directory."""
    for found in PATH.finditer(arguments):
        yield Path(os.path.normpath(cwd / (found["folder"] or "") / found["path"]))


DEMO = """
from pathlib import Path
from edgemm_digit_desk.demo import demo
raise SystemExit(demo(Path("edgemm-demo"), fast=True, devices=["cpu"]))
"""
SMALL = """
[model]
name = "small"
width = 8
[inputs.text]
kind = "text"
max_bytes = 16
[encoders.text]
use = "text.char_cnn"
[fusion]
use = "fusion.concat"
[heads.answer]
use = "heads.classify"
labels = ["no", "yes"]
"""


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory) -> Traced:
    pytest.importorskip("edgemm_digit_desk", reason="the demo is the digit desk's")
    return trace(tmp_path_factory.mktemp("demo"), "-c", DEMO)


@pytest.fixture
def small_checkpoint(tmp_path) -> Path:
    pytest.importorskip("torch")
    from edgemm.modeling.checkpoint import save
    from edgemm.modeling.compose import compose
    from edgemm.modeling.spec import spec_from_text

    return save(compose(spec_from_text(SMALL)), tmp_path / "small.ckpt")


def check(command: Traced) -> None:
    """Nothing is written elsewhere, nothing is left, no name is looked up; what was read shows that it was traced at all."""
    assert any(path.name == "manifest.json" for path in command.read)
    assert command.written_elsewhere() == []
    assert command.left() == []
    assert command.asked == ()


@pytest.mark.export
@pytest.mark.media
def test_the_demo_writes_nothing_elsewhere_and_looks_up_no_name(demonstrated):
    check(demonstrated)


@pytest.mark.export
@pytest.mark.media
def test_a_run_writes_nothing_and_looks_up_no_name(demonstrated, tmp_path):
    from edgemm_digit_desk.shipped import Shipped

    bundle, clip = demonstrated.folder / "cwd" / "edgemm-demo" / "desk.edgemm", Shipped().clip
    inputs = (f"image={clip}", f"audio={clip}", f"text={Shipped().captions}")
    words = (word for uri in inputs for word in ("-i", uri))
    run = trace(tmp_path, "-m", "edgemm", "run", bundle, *words, "--fast", "--seconds", 5)
    check(run)
    assert list((tmp_path / "cwd").iterdir()) == []


@pytest.mark.export
def test_an_export_writes_nothing_elsewhere_and_looks_up_no_name(small_checkpoint, tmp_path):
    export = trace(tmp_path / "traced", "-m", "edgemm", "export", small_checkpoint, "--out", "small.edgemm")
    check(export)
    assert {path.name for path in (tmp_path / "traced" / "cwd").iterdir()} == {"small.edgemm"}


def test_a_profile_writes_nothing_and_looks_up_no_name(three_inputs, tmp_path):
    profile = trace(tmp_path / "traced", "-m", "edgemm", "profile", three_inputs(), "--runs", 5)
    check(profile)
    assert list((tmp_path / "traced" / "cwd").iterdir()) == []


class Camera(http.server.BaseHTTPRequestHandler):
    """One picture after another, as many as are taken."""

    picture: bytes

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            while True:
                self.wfile.write(
                    b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(self.picture)
                )
                self.wfile.write(self.picture + b"\r\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def camera() -> Iterator[int]:
    """The port of a camera on this machine."""
    from PIL import Image

    content = io.BytesIO()
    Image.new("RGB", (32, 32)).save(content, "JPEG")
    Camera.picture = content.getvalue()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.media
def test_a_camera_that_is_asked_for_is_the_only_one_that_is_spoken_to(three_inputs, camera, tmp_path):
    uri = f"image=http://127.0.0.1:{camera}/"
    run = trace(tmp_path / "traced", "-m", "edgemm", "run", three_inputs(), "-i", uri, "--seconds", 1, "--json")
    connected = [line for line in run.asked if line.startswith("connect(")]
    assert connected
    assert [line for line in connected if f'htons({camera}), sin_addr=inet_addr("127.0.0.1")' not in line] == []
    assert [line for line in run.asked if "AF_INET" not in line] == [], "a number is no name"
    assert run.written_elsewhere() == []
    assert run.left() == []


def test_opening_a_bundle_writes_nothing_and_looks_up_no_name(three_inputs, tmp_path):
    code = f"""
import edgemm, numpy as np
with edgemm.open({str(three_inputs())!r}) as model:
    assert model.infer(image=np.zeros((2, 2, 3), np.uint8)).outputs
"""
    opened = trace(tmp_path / "traced", "-B", "-c", code)
    assert any(path.name == "manifest.json" for path in opened.read), "it was traced"
    assert opened.written - {Path("/dev/null")} == frozenset()
    assert opened.asked == ()


def test_a_trace_shows_what_is_written_and_what_is_looked_up(tmp_path):
    code = """
import os, pathlib, socket
pathlib.Path.home().joinpath("kept").write_text("")
os.rename(pathlib.Path.home() / "kept", pathlib.Path.home() / "renamed")
pathlib.Path("output").write_text("")
try:
    socket.getaddrinfo("localhost", 80)
except OSError:
    pass
"""
    seen = trace(tmp_path, "-c", code)
    assert seen.written_elsewhere() == [str(tmp_path / "home" / name) for name in ("kept", "renamed")]
    assert seen.left() == [str(tmp_path / "home" / "renamed")]
    assert tmp_path / "cwd" / "output" in seen.written
    assert seen.asked
