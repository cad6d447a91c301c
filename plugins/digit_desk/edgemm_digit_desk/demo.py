"""`edgemm demo`: the whole main job once, on what ships with the digit desk.

    checkpoint -> export (FP32, INT8, TensorRT-RTX) -> stream the sample clip in real time -> score -> profile -> report.html

Its last lines say how many answers were right, how closely each precision follows, how large each variant is, and how fast it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgemm.errors import UsageError
from edgemm_digit_desk.scoring import OUTPUT, StreamScore, read_truth, score_stream
from edgemm_digit_desk.shipped import Shipped

if TYPE_CHECKING:
    from edgemm.exporting.summary import ExportSummary
    from edgemm.outputs.results import Result
    from edgemm.profiling.profile import Profile
    from edgemm.runtime.model import Model

__all__ = ["add_arguments", "demo", "run"]

PASS_SHARE = 0.95
STREAMED, REFERENCE = "int8", "fp32"
DEVICES = ("cpu", "rtx-4090")
PROFILE_RUNS = 200

EXAMPLES = """\
The camera shows a handwritten digit, the microphone hears a spoken one, the text says what to do with them; the answer is 0 to 18.
Exit code 1: less than 95% of the clip's scored intervals were answered right.

examples:
  edgemm demo
  edgemm demo --out /tmp/demo --fast
  edgemm demo --all-devices
"""


@dataclass(frozen=True)
class Streamed:
    """One variant's run through the clip.

    Attributes:
        score: its answers against the truth.
        compute_ms: time of each answer's computation, (results,).
        age_ms: from the capture of what set an answer off to the answer, (results,); empty when not in real time.
        seconds: length of the stream.
        results: (time in ms, label or None, score, input -> state) of each result.
    """

    variant: str
    score: StreamScore
    compute_ms: list[float]
    age_ms: list[float]
    seconds: float
    results: list[dict[str, Any]]
    drops: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """What the report draws."""
        return {
            "variant": self.variant,
            "seconds": self.seconds,
            "results": self.results,
            "intervals": [{**i.truth, "said": i.said, "share": i.share} for i in self.score.intervals],
            "interval_accuracy": self.score.interval_accuracy,
            "result_accuracy": self.score.result_accuracy,
            "compute_ms": self.compute_ms,
            "age_ms": self.age_ms,
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.description = (
        "Export the shipped model in every precision, stream its sample clip in real time, write report.html."
    )
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("edgemm-demo"), help="where to write (default: %(default)s)"
    )
    parser.add_argument(
        "--fast", action="store_true", help="stream as fast as it can be computed, without the live view"
    )
    parser.add_argument("--all-devices", action="store_true", help="compile for every device, not only for an RTX 4090")


def run(arguments: argparse.Namespace) -> int:
    """Do it; 1 when too few answers were right."""
    return demo(arguments.out, fast=arguments.fast, all_devices=arguments.all_devices)


def demo(
    out: Path,
    *,
    fast: bool = False,
    all_devices: bool = False,
    devices: Sequence[str] = DEVICES,
    shipped: Shipped | None = None,
) -> int:
    """The whole main job.

    Args:
        out: folder for `desk.edgemm` and `report.html`; what an earlier demo wrote there is replaced.
        fast: do not wait for the clip's time.
        all_devices: compile for every known device.
        devices: what to compile for otherwise.
        shipped: model and clip.

    Returns:
        0, or 1 when a variant answered less than 95% of the scored intervals right.

    Raises:
        EdgeMMError: a file is missing, or a step failed.
    """
    import edgemm

    shipped = shipped or Shipped()
    shipped.check()
    _make_folder(out)
    bundle = out / "desk.edgemm"
    _say("1/4  exporting the shipped model")
    summary = _export(shipped, bundle, _all_devices() if all_devices else devices)
    _say(f"2/4  streaming {shipped.clip.name} through {STREAMED}" + ("" if fast else ", in real time"))
    streamed = [play(bundle, shipped.clip, STREAMED, realtime=not fast)]
    _say(f"3/4  the same through {REFERENCE}, as fast as it can be computed, and a profile")
    streamed.append(play(bundle, shipped.clip, REFERENCE, realtime=False))
    profile = edgemm.profile(bundle, variant=STREAMED, runs=PROFILE_RUNS)
    _say("4/4  writing the report")
    report = _write_report(out, bundle, summary, profile, streamed[0])
    _say("\n".join(_last_lines(summary, profile, streamed, report)))
    return 0 if all(one.score.interval_accuracy >= PASS_SHARE for one in streamed) else 1


def play(bundle: Path, clip: Path, variant: str, *, realtime: bool) -> Streamed:
    """Stream a film through one variant; in real time with the live view."""
    import edgemm

    inputs = {"image": clip, "audio": clip, "text": clip.with_suffix(".srt")}
    results: list[Result] = []
    with edgemm.open(bundle, variant=variant) as model:
        sinks = [_view(model)] if realtime else []
        with edgemm.stream(model, inputs, on_result=results.append, sinks=sinks, realtime=realtime) as stream:
            stream.wait()
        for name, reason in stream.failures.items():
            raise UsageError(f"the clip's input '{name}' broke down: {reason}")
        score = score_stream(results, read_truth(clip.with_suffix(".jsonl")))
        return Streamed(
            variant=model.variant,
            score=score,
            compute_ms=[result.compute_ms for result in results],
            age_ms=[(r.timings[2] - stream.started_ns - r.at_ns) / 1e6 for r in results] if realtime else [],
            seconds=results[-1].at_ns / 1e9 if results else 0.0,
            results=[_moment(result) for result in results],
            drops=stream.drops,
        )


def _moment(result: Result) -> dict[str, Any]:
    answer = result.outputs.get(OUTPUT)
    return {
        "t_ms": result.at_ns / 1e6,
        "label": None if answer is None else answer.label,
        "score": 0.0 if answer is None else answer.score,
        "inputs": {name: state.state for name, state in result.inputs.items()},
    }


def _export(shipped: Shipped, bundle: Path, devices: Iterable[str]) -> ExportSummary:
    import edgemm
    from edgemm.progress import show_progress

    with show_progress() as progress:
        return edgemm.export(
            shipped.checkpoint,
            bundle,
            device=list(devices),
            calibration=shipped.calibration,
            overwrite=True,
            progress=progress,
        )


def _all_devices() -> list[str]:
    from edgemm.host.entries import DeviceEntry
    from edgemm.host.plugin_host import default_host

    names = list(default_host().entries(DeviceEntry))
    return ["cpu", *(name for name in names if name != "cpu")]


def _view(model: Model) -> Any:
    from edgemm.host.entries import SinkEntry
    from edgemm.host.plugin_host import default_host

    return default_host().load(SinkEntry, "terminal")(model, {"title": f"{model.name}, {model.variant}"})


def _write_report(out: Path, bundle: Path, summary: ExportSummary, profile: Profile, streamed: Streamed) -> Path:
    from edgemm.bundle.files import Bundle
    from edgemm.exporting.report import report_html

    path = out / "report.html"
    page = report_html(
        Bundle(bundle).manifest,
        summary.variants,
        summary.fallbacks,
        profile=profile.to_json(),
        stream=streamed.to_json(),
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write the report '{path}': {error.strerror}") from None
    return path


def _last_lines(summary: ExportSummary, profile: Profile, streamed: Sequence[Streamed], report: Path) -> Iterable[str]:
    yield ""
    for one in streamed:
        verdict = "" if one.score.interval_accuracy >= PASS_SHARE else f"   BELOW {PASS_SHARE:.0%}"
        yield f"accuracy   {one.variant:<40} {one.score}{verdict}"
    for rung, records in summary.parity.items():
        worst = min(records.values(), key=lambda record: float(record["cosine"]))
        agree = min(float(record["agreement"]) for record in records.values())
        yield f"parity     {rung:<40} cosine >= {worst['cosine']:.6f} ({worst['name']}), agreement >= {agree:.1%}"
    for key, size in summary.variants.items():
        yield f"size       {key:<40} {size / 2**20:.2f} MiB"
    for key in summary.planned:
        yield f"planned    {key}"
    for one in streamed:
        yield f"latency    {one.variant:<40} compute per result: {_percentiles(one.compute_ms)}"
        if one.age_ms:
            yield f"latency    {one.variant:<40} capture to answer:  {_percentiles(one.age_ms)}"
        if one.drops:
            yield f"dropped    {one.variant:<40} {', '.join(f'{name} {count}' for name, count in one.drops.items())}"
    total = profile.stage("total")
    yield (
        f"profile    {profile.variant:<40} all nodes once: p50 {total.edgemm.p50_us / 1e3:.2f} ms, {total.ratio:.2f} × bare ONNX Runtime"
    )
    yield f"report     {report}"


def _percentiles(values: Sequence[float]) -> str:
    if not values:
        return "no results"
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return f"p50 {p50:.2f} ms, p95 {p95:.2f} ms, p99 {p99:.2f} ms"


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder '{out}': {error.strerror}") from None


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a command)
