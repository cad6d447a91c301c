"""Writes the files that mutations begin with into corpus/, small and sound ones of every format: `python tests/fuzz/seeds.py`.

To be run again when a format changes; a test says so. Keys, and hence signatures, are other ones each time.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from onnx import TensorProto, helper

from edgemm.bundle.files import Bundle
from edgemm.bundle.manifest import GraphRecord, Manifest, Planned, Variant
from edgemm.bundle.signing import _PURPOSE, _private_key, make_key, sign
from edgemm.bundle.writer import BundleWriter
from edgemm.checking.vectors import save_vectors
from edgemm.exporting.calibrate import load_samples
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import Policy, Trigger
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.inputs.clip import Clip
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.motion import Motion
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.inputs.text import Text
from edgemm_plugins.outputs.array import Array
from edgemm_plugins.outputs.boxes import Boxes
from edgemm_plugins.outputs.classes import Classes
from edgemm_plugins.outputs.values import Values

CORPUS = Path(__file__).parent / "corpus"
REFERENCE = "cpu.onnxruntime.fp32"
TOML = """[model]
name = "tiny"
width = 8

[inputs.image]
kind = "image"
height = 16
width = 16
fit = "crop"

[inputs.text]
kind = "text"
max_bytes = 16

[encoders.image]
use = "vision.cnn"
channels = [4, 4]
scales = 1
classes = 2
run = { valid_for_ms = 2000.0, hold = true }

[[node]]
name = "text"
use = "text.char_cnn"
embedding = 2
channels = 4
reads = { x = "input.text" }
run = { when = "change", stale_after_ms = 3600000.0 }

[fusion]
use = "fusion.joint"
layers = 1
heads = 2
feedforward = 8
run = { when = "tick(10)", policy = "latest" }

[heads.answer]
use = "heads.classify"
labels = ["yes", "no"]
output = { kind = "classes", labels = ["yes", "no"] }

[training]
task = "digit_desk"
seed = 0
"""


def _made_by_tests() -> Any:
    """The tiny graphs of tests/edgemm/conftest.py."""
    spec = importlib.util.spec_from_file_location("tiny", Path(__file__).parents[1] / "edgemm" / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["tiny"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tiny = _made_by_tests()


def three() -> tuple[ModelGraph, dict[str, bytes]]:
    """Image, sound and text, fused."""
    names = ("image", "audio", "text")
    model = ModelGraph(
        "three",
        {"image": Image(2, 2), "audio": Audio(1000, 100, 20), "text": Text(8)},
        (
            tiny.encoder_node("image", "arrival"),
            tiny.encoder_node("audio", "arrival", usable="valid", hold=True, valid_for_ms=4000.0),
            tiny.encoder_node("text", "change"),
            tiny.fusion_node(names, "tick(10)", "reference(image, 50)"),
        ),
        {"answer": Output.of("fusion.answer", Classes(("a", "b")))},
    )
    graphs = {
        "image": tiny.mean_encoder(TensorProto.UINT8, [2, 2, 3]),
        "audio": tiny.mean_encoder(TensorProto.FLOAT, [100], usable_above=0.01),
        "text": tiny.mean_encoder(TensorProto.INT32, [8]),
        "fusion": tiny.sum_fusion(names),
    }
    return model, graphs


def remembering() -> tuple[ModelGraph, dict[str, bytes]]:
    """State, windows of the past, a loop, and the other kinds."""
    flat = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Cast", ["f"], ["y"], to=TensorProto.FLOAT)]
    split = [helper.make_node("Identity", ["x"], ["values"]), helper.make_node("Reshape", ["x", "boxed"], ["boxes"]), helper.make_node("Reshape", ["x", "scored"], ["scores"])]  # fmt: skip
    graphs = {
        "motion": tiny.onnx_bytes(flat, [("x", TensorProto.FLOAT, [4, 2])], [("y", TensorProto.FLOAT, [8])]),
        "clip": tiny.onnx_bytes(flat, [("x", TensorProto.UINT8, [2, 2, 2, 3])], [("y", TensorProto.FLOAT, [24])]),
        "loop": tiny.counter_onnx(3),
        "past": tiny.onnx_bytes(flat, [("x", TensorProto.FLOAT, [3, 8])], [("y", TensorProto.FLOAT, [24])]),
        "split": tiny.onnx_bytes(
            split,
            [("x", TensorProto.FLOAT, [8])],
            [
                ("values", TensorProto.FLOAT, [8]),
                ("boxes", TensorProto.FLOAT, [2, 4]),
                ("scores", TensorProto.FLOAT, [2, 4]),
            ],
            [("boxed", np.array([-1, 2, 4])), ("scored", np.array([-1, 2, 4]))],
        ),
    }
    model = ModelGraph(
        "remembering",
        {"imu": Motion(2, 4, 1, 100.0), "clip": Clip(2, 2, 2), "number": Tensor((1,))},
        (
            Node("motion", "motion", edges({"x": "input.imu"}), ("y",), role="encoder"),
            Node("clip", "clip", edges({"x": "input.clip"}), ("y",), role="encoder"),
            Node("loop", "loop", edges({"x": "input.number"}), ("said", "count", "stop"), state={"count": "n"}, trigger=Trigger.parse("until(stop, 64, finish)")),
            Node("past", "past", edges({"x": "motion.y[3, 500]"}), ("y",), trigger=Trigger.parse("hop(2)"), policy=Policy.parse("barrier")),
            Node("split", "split", edges({"x": "motion.y"}), ("values", "boxes", "scores"), role="head"),
        ),
        {
            "said": Output.of("loop.said", Array()),
            "past": Output.of("past.y", Array()),
            "seen": Output.of("clip.y", Array()),
            "values": Output.of("split.values", Values(tuple("abcdefgh"), "m", 2.0, 1.0)),
            "boxes": Output(Boxes(("p", "q", "r", "s")), edges({"boxes": "split.boxes", "scores": "split.scores"})),
        },
    )  # fmt: skip
    return model, graphs


def write_bundle(path: Path, model: ModelGraph, graphs: dict[str, bytes]) -> None:
    """With everything that a manifest can have."""
    runners = {name: OnnxRuntimeRunner(content, name) for name, content in graphs.items()}
    with BundleWriter(path, overwrite=True, zipped=True) as writer:
        files = {name: writer.add(f"graphs/{name}/model.onnx", content) for name, content in graphs.items()}
        records = {
            name: GraphRecord(tuple(runner.inputs), tuple(runner.outputs), 7) for name, runner in runners.items()
        }
        random = np.random.default_rng(0)
        drawn = {name: kind.draw(4, random)[0] for name, kind in model.inputs.items()}
        vectors = save_vectors(writer, model, runners, drawn)
        writer.finish(
            lambda sizes: Manifest(
                name=model.name,
                inputs=model.inputs,
                graphs=records,
                nodes=model.nodes,
                outputs=model.outputs,
                variants={REFERENCE: Variant("cpu", "onnxruntime", "1", "fp32", files)},
                files=sizes,
                vectors=vectors,
                parity={REFERENCE: {"answer": {"cosine": 1.0}}},
                calibration={"rows": 4, "random": True},
                planned={
                    "rtx-4090.tensorrt_rtx-1.fp16": Planned("rtx-4090", "tensorrt_rtx", "fp16", files, "not here")
                },
                provenance={"model": model.name},
            )
        )


def write_media(path: Path, picture: str, sound: str, layout: str = "mono") -> None:
    """A third of a second, of 32 x 32."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(picture, rate=10) if picture else None
        audio = container.add_stream(sound, rate=16000, layout=layout) if sound else None
        if video is not None:
            video.width = video.height = 32
            video.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8", "png": "rgb24"}.get(picture, "yuv420p")
            video.bit_rate = 20_000
        for number in range(1 if path.suffix in (".png", ".jpg") else 3):
            if video is not None:
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 20 * number, np.uint8), format="rgb24")
                frame.pts = number
                container.mux(video.encode(frame))
            if audio is not None:
                tone = np.sin(np.arange(1600) / 5).astype(np.float32)[np.newaxis] / 2
                heard = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
                heard.rate, heard.pts = 16000, number * 1600
                container.mux(audio.encode(heard))
        for stream in (video, audio):
            if stream is not None:
                container.mux(stream.encode(None))


MEDIA = {
    "avi": (("mpeg4", "pcm_s16le"), ("mjpeg", "pcm_s16le")), "mkv": (("libx264", "aac"), ("libvpx", "libopus")), "mp4": (("libx264", "aac"), ("mpeg4", "aac")),
    "ts": (("mpeg2video", "mp2"), ("libx264", "aac")), "mjpeg": (("mjpeg", ""),), "flv": (("flv1", "aac"),), "gif": (("gif", ""),),
    "wav": (("", "pcm_s16le"), ("", "pcm_f32le")), "flac": (("", "flac"),), "ogg": (("", "libopus"),), "mp3": (("", "libmp3lame"),),
    "png": (("png", ""),), "jpg": (("mjpeg", ""),),
}  # fmt: skip


def texts() -> Iterator[tuple[str, str]]:
    """(place, content) of what is written by hand."""
    yield "srt/two.srt", "1\n00:00:00,000 --> 00:00:01,500\nadd\n\n2\n00:00:02.000 --> 00:00:03,000\ntwo\nlines\n"
    yield "jsonl/two.jsonl", '{"t": 0.5, "text": "add"}\n{"start": 1, "text": "\\u4e2d", "speaker": {"a": [1]}}\n'
    yield "model/tiny.toml", TOML
    for number, uri in enumerate(
        (
            "clip.mp4?edgemm.video_stream=1",
            "file:///a%20b.mp4",
            "camera:0?edgemm.size=640x480&edgemm.queue=2&edgemm.wait_at_start=true",
            "rtsp://u:p%40ss@[::1]:554/a?channel=2&edgemm.transport=udp",
            "https://u:p@h/x?token=1&user=a&password=b;c#d",
            "http://10.0.0.1:80/user=a_password=b_channel=1.sdp?edgemm.credentials=env:HOME",
            "rtsps://h/%2F%2Fu%3Ap%40h",
        )
    ):
        yield f"uri/{number}.uri", uri


def write_checkpoint(path: Path) -> None:
    from edgemm.modeling.checkpoint import save
    from edgemm.modeling.compose import compose
    from edgemm.modeling.spec import spec_from_text

    save(compose(spec_from_text(TOML)), path, {"seed": 0, "record": [{"loss": 0.5}]})


def write_signatures(folder: Path) -> None:
    """Keys, a bundle that is signed, and a signature of the bundle 000…"""
    private, public = make_key(folder / "publisher.key")
    shutil.copy(public, _place("key/publisher.pem"))
    sign(CORPUS / "bundle" / "three.zip", private)
    key = _private_key(private)
    made = key.sign(_PURPOSE + b"0" * 64).hex()
    _place("signatures/one.sig").write_text(f"ed25519 {key.public_key().public_bytes_raw().hex()} {made}\n")


def _place(name: str) -> Path:
    path = CORPUS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def main() -> None:
    """Write all of them."""
    for make in (three, remembering):
        model, graphs = make()
        path = _place(f"bundle/{make.__name__}.zip")
        write_bundle(path, model, graphs)
        bundle = Bundle(path)
        _place(f"manifest/{make.__name__}.json").write_bytes(bundle._read_member("manifest.json", 1 << 20))
        for name in graphs:
            _place(f"graph/{name}.onnx").write_bytes(bundle.read(f"graphs/{name}/model.onnx"))
    _place("vectors/three.npz").write_bytes(Bundle(_place("bundle/three.zip")).read("testvectors/vectors.npz"))
    samples = load_samples(three()[0].inputs, None).part(0, 4)
    np.savez(_place("calibration/stored.npz"), **samples.tensors)
    np.savez_compressed(_place("calibration/texts.npz"), **{**samples.tensors, "text": np.array(["a", "b", "c", "d"])})
    for place, text in texts():
        _place(place).write_text(text, encoding="utf-8")
    for profile in (Path(__file__).parents[2] / "devices/edgemm_devices/profiles").glob("*orin-nano.toml"):
        shutil.copy(profile, _place(f"device/{profile.name}"))
    write_checkpoint(_place("checkpoint/tiny.safetensors"))
    with tempfile.TemporaryDirectory() as folder:
        write_signatures(Path(folder))
    for suffix, codecs in MEDIA.items():
        for picture, sound in codecs:
            write_media(_place(f"{suffix}/{'-'.join(filter(None, (picture, sound)))}.{suffix}"), picture, sound)


if __name__ == "__main__":
    main()
