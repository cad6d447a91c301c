"""`edgemm.profile`: p50, p95 and p99 of every stage of a bundle, beside the same graphs run with plain ONNX Runtime.

Three ways take turns in one process, on the bundle's test vectors, each node once per turn:

    edgemm    the steps of a stream, one after another: each node's, and the result
    bare      `session.run(None, feeds)`; building the feeds is not counted, so that nothing flatters us
    floor     everything bound once, inputs that never change

Steps are run, not pushes: what a push does around them (to convert, to find out what is due, to keep windows and rates) is not in the nodes'
times; inputs are converted in a row of their own, and the rest is measured by `tests/benchmarks/bench_live.py`. It knows nothing of devices' power or of single operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter_ns

from edgemm.bundle.trust import UNTRUSTED, Trust
from edgemm.errors import UsageError
from edgemm.machine.facts import machine_facts
from edgemm.profiling.report import Percentiles, Profile, Stage
from edgemm.profiling.ways import TOTAL, Times, Way, bare, converted, floor, streamed, test_rows
from edgemm.runners.providers import CPU
from edgemm.runtime.model import Model
from edgemm.runtime.model import open as open_bundle

__all__ = ["Profile", "profile"]

_PER_ROUND = 10
_WARM = 5


def profile(
    bundle: str | Path | Model,
    *,
    variant: str = "auto",
    provider: str = CPU,
    runs: int = 200,
    threads: int = 1,
    trust: Trust = UNTRUSTED,
) -> Profile:
    """Measure a bundle on this machine, step by step (a push adds a little around them, see above); takes a second or a few.

    Args:
        bundle: path, or an open model, which stays open.
        variant, provider: as in `open`.
        runs: measured runs of each way, in rounds that take turns.
        threads: as in `open`.
        trust: as in `open`; of a model that is already open, only whether it is the bundle that is named.

    Raises:
        UsageError: fewer than one run.
        BundleError, UnknownNameError: as `open`.
    """
    if runs < 1:
        raise UsageError(f"runs must be at least 1, got {runs}")
    started_ns = perf_counter_ns()
    if isinstance(bundle, Model):
        model = bundle
        trust.check(model.bundle)
    else:
        model = open_bundle(bundle, variant=variant, provider=provider, threads=threads, trust=trust)
    load_ms = None if model is bundle else (perf_counter_ns() - started_ns) / 1e6
    try:
        return _profile(model, runs, load_ms)
    finally:
        if model is not bundle:
            model.close()


def _profile(model: Model, runs: int, load_ms: float | None) -> Profile:
    rows = test_rows(model)
    before = machine_facts()
    inputs = _take_turns({"edgemm": converted(model)}, runs)["edgemm"]
    times = _take_turns(
        {"edgemm": streamed(model, rows), "bare": bare(model, rows), "floor": floor(model, rows[0])}, runs
    )
    manifest = model.bundle.manifest
    files = manifest.variants[model.variant].files
    return Profile(
        name=model.name,
        bundle=model.bundle.path.name,
        id=model.bundle.id,
        variant=model.variant,
        provider=model.provider,
        runs=len(times["edgemm"][TOTAL]),
        load_ms=load_ms,
        bytes={graph: manifest.files[path].bytes for graph, path in files.items()},
        stages=(*(_stage("input", name, {"edgemm": inputs}) for name in inputs), *_stages(times)),
        machine={**before, "load_after": machine_facts()["load"]},
    )


def _stages(times: Mapping[str, Times]) -> list[Stage]:
    kinds = {TOTAL: TOTAL, "result": "result"}
    return [_stage(kinds.get(name, "node"), name.removeprefix("node "), times, name) for name in times["edgemm"]]


def _stage(kind: str, name: str, times: Mapping[str, Times], key: str = "") -> Stage:
    key = key or name
    found = {way: Percentiles.of(rows[key]) for way, rows in times.items() if key in rows}
    return Stage(kind, name, found["edgemm"], found.get("bare"), found.get("floor"))


def _take_turns(ways: Mapping[str, Way], runs: int) -> dict[str, Times]:
    """Way -> stage -> ns of each run; who begins a round changes."""
    times: dict[str, Times] = {name: {} for name in ways}
    order = list(ways.items())
    for number in range(-(-runs // _PER_ROUND)):
        first = number % len(order)
        for name, way in order[first:] + order[:first]:
            for index in range(_WARM):
                way(index, {})
            for index in range(min(_PER_ROUND, runs - number * _PER_ROUND)):
                way(index, times[name])
    return times
