from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from edgemm.bundle.manifest import FileRecord, GraphRecord, Manifest, Planned, Variant
from edgemm.exporting.report import report_html
from edgemm.model.edge import edges
from edgemm.model.graph import Node, Output
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.inputs.text import Text
from edgemm_plugins.outputs.classes import Classes

EVIL = '"><script>alert(1)</script><img src=x onerror=y>&\x1b[2J\u202e'
VOID = {"meta", "path", "rect", "circle", "br", "img", "input", "link", "hr"}


class Checker(HTMLParser):
    """Fails on tags that are not closed in order; collects tags, attributes and text."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], set(), [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def parsed(page):
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def manifest(word="plain", graph="net"):
    path, engine = f"graphs/{graph}/model.onnx", f"variants/x/{graph}.engine"
    return Manifest(
        name=f"model {word}",
        inputs={"image": Image(8, 8), "audio": Audio(8000), "text": Text(16), "imu": Tensor((6,), modality=f"imu {word}")},
        graphs={graph: GraphRecord((), (), 12_345)},
        nodes=(
            Node("seen", graph, edges({"x": "input.image"}), ("y",), role="encoder"),
            Node("all", graph, edges({"a": "seen.y", "b": "input.audio", "c": "input.text", "d": "input.imu"}), ("y",)),
        ),
        outputs={"answer": Output.of("all.y", Classes((f"yes {word}", "no")))},
        variants={
            "cpu.onnxruntime.fp32": Variant("cpu", "onnxruntime", "1.2", "fp32", {graph: path}),
            "gpu.tensorrt_rtx-1.7.int8": Variant(
                f"gpu {word}", "tensorrt_rtx", f"1.7 {word}", "int8", {graph: engine}, {graph: path}, 89,
                {graph: {"seconds": 3.2, "warnings": [word]}},
            ),
        },
        files={path: FileRecord(4000, "0"), engine: FileRecord(9000, "1")},
        parity={f"onnx fp32 → rung {word} int8": {n: record(f"{n} {word}", c) for n, c in (("all", 0.9), ("answer", 1.0))}},
        calibration={"source": word, "random": True, "rows": 3, "compared_on": 1, "evidence": False, "sha256": word},
        planned={f"orin {word}": Planned(f"orin {word}", "tensorrt", "fp16", {graph: path}, f"no GPU here {word}")},
        provenance={"checkpoint": word, "edgemm": "0.1.0"},
    )  # fmt: skip


def record(name, cosine):
    return {
        "name": name, "max_abs": float("inf"), "relative": 0.1, "cosine": cosine, "snr_db": 31.0, "agreement": 0.97, "rows": 4,
    }  # fmt: skip


def profile(word="plain"):
    times = {"p50_us": 120.0, "p95_us": 200.0, "p99_us": 2000.0}
    stages = [
        {"kind": "input", "name": f"image {word}", "edgemm": times, "bare": None, "floor": None, "ratio": None},
        {"kind": "total", "name": "total", "edgemm": times, "bare": times, "floor": times, "ratio": 1.0},
    ]
    machine = {"cpu": word, "cores": 2, "load": 0.5, "versions": {"onnxruntime": word}}
    return {"variant": word, "runs": 5, "machine": machine, "stages": stages}


def stream(word="plain", accuracy=1.0):
    moments = [(0, None, "absent"), (1000, word, "live"), (2000, "other", "stale"), (2500, word, "live")]
    return {
        "variant": word,
        "seconds": 3.0,
        "results": [{"t_ms": t, "label": label, "score": 0.5, "inputs": {"image": s, "audio": word}} for t, label, s in moments],
        "intervals": [
            {"from_ms": 900, "to_ms": 1900, "answer": word, "said": word, "share": 1.0, "text": word, "heard": None},
            {"from_ms": 1950, "to_ms": 2900, "answer": word, "said": None, "share": 0.0, "text": word, "heard": 3},
        ],
        "interval_accuracy": accuracy,
        "result_accuracy": 0.75,
        "compute_ms": [1.0, 2.0, 3.0, 50.0],
        "age_ms": [],
    }  # fmt: skip


def test_every_name_and_label_is_escaped():
    sizes, fallbacks = {f"cpu {EVIL}": 4000}, {"cpu.onnxruntime.fp32": {f"net {EVIL}": f"kept {EVIL}"}}
    page = report_html(manifest(EVIL), sizes, fallbacks, profile=profile(EVIL), stream=stream(EVIL))
    found = parsed(page)
    assert not found.tags & {"script", "img", "iframe", "link", "object"}
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert not set("\x1b\u202e") & set(page), (
        "nor may a name hide what it is: control and bidirectional characters are gone"
    )
    assert sum(text.count("<script>") for text in found.texts) > 20, "the labels are there, as text"


def test_the_page_needs_no_network():
    page = report_html(manifest(), {}, {}, profile=profile(), stream=stream())
    assert not re.search(r"https?:|url\(|@import|src=", page)
    assert "default-src 'none'" in page


@pytest.mark.parametrize("word", ["plain", "übergroß 数字"])
def test_it_shows_every_variant_plan_rung_and_fallback(word):
    text = " ".join(
        parsed(
            report_html(
                manifest(word), {"cpu.onnxruntime.fp32": 4000}, {"cpu.onnxruntime.fp32": {"net": "too far off"}}
            )
        ).texts
    )
    for expected in ("cpu", f"gpu {word}", "onnxruntime 1.2", "SM 89", "compiled in 3 s", "too far off", f"no GPU here {word}",
                     f"edgemm build BUNDLE --device orin {word}", f"onnx fp32 → rung {word} int8", "random data", "12 k"):  # fmt: skip
        assert expected in text, expected


def test_without_profile_or_stream_their_sections_are_left_out():
    bare = report_html(manifest(), {}, {})
    assert "Where the time goes" not in bare
    assert "The stream" not in bare
    full = report_html(manifest(), {}, {}, profile=profile(), stream=stream())
    assert "Where the time goes" in full
    assert "The stream" in full


def test_a_missed_gate_and_a_missed_goal_are_red():
    assert '<div class="bar c-bad">' in report_html(manifest(), {}, {})
    assert 'class="tile bad"><b>90%' in report_html(manifest(), {}, {}, stream=stream(accuracy=0.9))
    assert 'class="tile good"><b>100%' in report_html(manifest(), {}, {}, stream=stream(accuracy=1.0))


def test_a_bundle_that_says_nothing_of_parity_or_calibration_is_drawn_too():
    page = report_html(replace(manifest(), parity={}, calibration={}, planned={}), {}, {})
    assert "Nothing was compared." in page
    assert "Calibration" not in page
    assert "Still to build" not in page


def test_an_empty_stream_is_drawn_too():
    nothing = {**stream(), "results": [], "intervals": [], "compute_ms": [], "interval_accuracy": 0.0}
    parsed(report_html(manifest(), {}, {}, stream=nothing))
