"""What is fuzzed: one reader per format, as EdgeMM itself calls it. A reader takes a file or refuses it with an error of `edgemm.errors`; nothing else.

Every target is prepared in the process that runs its cases, so that this table costs nothing to read.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"
PACKETS = 10_000  # that are read of a recording: long ones take long, and whoever reads them may stop at each

Reader = Callable[[bytes], object]


@dataclass(frozen=True)
class Target:
    """One format.

    Attributes:
        name: of the format, and of its folder in the corpus.
        suffix: of its files, which says how they are changed.
        prepare: given a folder of its own, makes the reader.
        ceiling_mib: memory that one case may take, beyond what the process has.
        corpus: the folder of its folder.
    """

    name: str
    suffix: str
    prepare: Callable[[Path], Reader]
    ceiling_mib: int = 64
    corpus: Path = CORPUS

    @property
    def found(self) -> list[Path]:
        """What was found once, and mended."""
        return sorted((self.corpus / self.name).glob("found-*"))

    @property
    def seeds(self) -> list[Path]:
        """Sound files, which mutations begin with."""
        return sorted(set((self.corpus / self.name).glob("*")) - set(self.found))


def _manifest(folder: Path) -> Reader:
    """A bundle is opened whose manifest somebody has changed and sealed again, and a stream of it begun."""
    import edgemm

    _unpack("three.zip", folder)
    _unpack("remembering.zip", folder)
    _sessions_once()

    def read(content: bytes) -> None:
        (folder / "manifest.json").write_bytes(content)
        (folder / "manifest.sha256").write_text(hashlib.sha256(content).hexdigest())
        with edgemm.open(folder) as model:
            model.live()
            for kind in model.graph.inputs.values():
                kind.describe()

    return read


def _bundle(folder: Path) -> Reader:
    """A zip is verified file by file, its signatures looked at, and opened."""
    import edgemm
    from edgemm.bundle.files import Bundle
    from edgemm.bundle.signing import signers

    _sessions_once()

    def read(content: bytes) -> None:
        path = _file(folder / "case.zip", content)
        bundle = Bundle(path)
        bundle.check_all()
        signers(bundle)
        edgemm.open(path).close()

    return read


def _graph(folder: Path) -> Reader:
    """An ONNX file is looked through and loaded, as every graph of a bundle is."""
    from edgemm.runners.onnxruntime import OnnxRuntimeRunner

    return lambda content: OnnxRuntimeRunner(content, "graph").close()


def _vectors(folder: Path) -> Reader:
    """`verify` of a bundle whose test vectors somebody has changed and sealed again."""
    import edgemm

    _unpack("three.zip", folder)
    _sessions_once()
    manifest = json.loads((folder / "manifest.json").read_bytes())
    name = manifest["vectors"]

    def read(content: bytes) -> None:
        (folder / name).write_bytes(content)
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        sealed = json.dumps(manifest).encode()
        (folder / "manifest.json").write_bytes(sealed)
        (folder / "manifest.sha256").write_text(hashlib.sha256(sealed).hexdigest())
        str(edgemm.verify(folder))

    return read


def _signatures(folder: Path) -> Reader:
    """Signatures, with a key that has made one of those in the seed."""
    from edgemm.bundle.signing import check_signed

    key = CORPUS / "key" / "publisher.pem"
    return lambda content: check_signed("0" * 64, content.decode("ascii", "replace"), (key,), "case")


def _key(folder: Path) -> Reader:
    """A PEM file, given as the key to trust."""
    from edgemm.bundle.signing import _private_key, check_signed
    from edgemm.errors import UsageError

    signature = (CORPUS / "signatures" / "one.sig").read_text()

    def read(content: bytes) -> None:
        path = _file(folder / "case.pem", content)
        with contextlib.suppress(UsageError):  # it is a public one
            _private_key(path)
        check_signed("0" * 64, signature, (path,), "case")

    return read


def _model(folder: Path) -> Reader:
    """A model.toml, with its lines told where something is wrong."""
    from edgemm.modeling.spec import spec_from_file

    return lambda content: spec_from_file(_file(folder / "case.toml", content))


def _checkpoint(folder: Path) -> Reader:
    """A checkpoint: its model is made and its weights are loaded."""
    from edgemm.errors import EdgeMMError
    from edgemm.modeling.checkpoint import about, load

    def read(content: bytes) -> None:
        path = _file(folder / "case.safetensors", content)
        with contextlib.suppress(EdgeMMError):  # the model is loaded without it
            about(path)
        load(path)

    return read


def _calibration(folder: Path) -> Reader:
    """Samples of three kinds of input."""
    from edgemm.exporting.calibrate import load_samples
    from edgemm_plugins.inputs.audio import Audio
    from edgemm_plugins.inputs.image import Image
    from edgemm_plugins.inputs.text import Text

    kinds = {"image": Image(2, 2), "audio": Audio(1000, 100, 20), "text": Text(8)}
    return lambda content: load_samples(kinds, _file(folder / "case.npz", content)).sha256()


def _device(folder: Path) -> Reader:
    """A device profile, from a package that a plugin would bring, and what `edgemm devices` prints of it."""
    from edgemm.cli.devices import _print_one, _row
    from edgemm.machine.profiles import profile_from_content

    def read(content: bytes) -> None:
        profile = profile_from_content(content, "case.toml")
        profile.check_precision(profile.default_precisions[0])
        with contextlib.redirect_stdout(io.StringIO()):
            _row(profile, "cpu")
            _print_one(profile)

    return read


def _uri(folder: Path) -> Reader:
    """What a user writes for an input: options, source, address, and how it is shown."""
    from edgemm import uris
    from edgemm.streaming.sources import SourceUri, _planned, queues_from_inputs
    from edgemm_plugins.sources.network_address import PORTS, address_of

    def read(content: bytes) -> None:
        text = content.decode("utf-8", "replace")
        location = uris.parse(text)
        str(location), uris.redact(text), repr(SourceUri(text))
        queues_from_inputs({"image": text})
        _planned(text, "image")
        if location.scheme in PORTS:
            repr(address_of(location))

    return read


def _sidecar(folder: Path, suffix: str) -> Reader:
    """Timed text."""
    from edgemm_plugins.sources.text_sidecar import read_cues

    return lambda content: read_cues(_file(folder / f"case.{suffix}", content))


def _media(folder: Path, suffix: str) -> Reader:
    """Pictures and sound of a file; what can be decoded comes first, then what is wrong with it."""
    from edgemm_plugins.inputs.audio import Audio
    from edgemm_plugins.inputs.image import Image
    from edgemm_plugins.sources.media_file import MediaFile

    kinds = {"image": Image(8, 8), "audio": Audio(8000, 100, 20)}
    if suffix not in FILMS:
        del kinds["image" if suffix in SOUNDS else "audio"]
    options = {"video_stream": 0, "audio_stream": 0}

    def read(content: bytes) -> None:
        path = str(_file(folder / f"case.{suffix}", content))
        source = MediaFile(path, kinds, options)
        for packet in islice(source.packets(lambda: False), PACKETS):
            packet.value

    return read


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _unpack(name: str, folder: Path) -> None:
    with zipfile.ZipFile(CORPUS / "bundle" / name) as archive:
        archive.extractall(folder)


def _sessions_once() -> None:
    """A graph that was loaded once is not loaded again, so that a case costs what its own format costs."""
    from edgemm.runners import choosing
    from edgemm.runners.onnxruntime import OnnxRuntimeRunner

    made: dict[bytes, OnnxRuntimeRunner] = {}

    class Kept(OnnxRuntimeRunner):
        def close(self) -> None:
            """Not now."""

    def runner(content: bytes, name: str, **options: Any) -> OnnxRuntimeRunner:
        if content not in made:
            if len(made) > 100:
                made.clear()
            made[content] = Kept(content, name, **options)
        return made[content]

    choosing.OnnxRuntimeRunner = runner  # type: ignore[misc, assignment]


FILMS, SOUNDS, PICTURES = (
    ("avi", "mkv", "mp4", "ts", "flv"),
    ("wav", "flac", "ogg", "mp3"),
    ("mjpeg", "gif", "png", "jpg"),
)
TARGETS = {
    target.name: target
    for target in (
        Target("manifest", "json", _manifest),
        Target("bundle", "zip", _bundle),
        Target("graph", "onnx", _graph, 256),
        Target("vectors", "npz", _vectors),
        Target("signatures", "sig", _signatures),
        Target("key", "pem", _key),
        Target("model", "toml", _model),
        Target("checkpoint", "safetensors", _checkpoint, 256),
        Target("calibration", "npz", _calibration),
        Target("device", "toml", _device),
        Target("uri", "uri", _uri),
        *(Target(suffix, suffix, partial(_sidecar, suffix=suffix)) for suffix in ("srt", "jsonl")),
        *(Target(suffix, suffix, partial(_media, suffix=suffix), 1024) for suffix in (*FILMS, *SOUNDS, *PICTURES)),
    )
}


def targets_of(path: str) -> dict[str, Target]:
    """The table `TARGETS` of another file, for tests of the fuzzer itself; of this one for ""."""
    if not path:
        return TARGETS
    import importlib.util

    spec = importlib.util.spec_from_file_location("other_targets", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"'{path}' is no Python file")
    module = sys.modules["other_targets"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    table: dict[str, Target] = module.TARGETS
    return table
