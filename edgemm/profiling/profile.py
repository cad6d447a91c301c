"""`edgemm.profile`: p50, p95 and p99 of every stage of a bundle, beside the same graphs run with plain ONNX Runtime.

Three ways take turns in one process, on the bundle's test vectors, each node once per turn:

    edgemm    what a stream does: take the tensors, run the nodes, make the result
    bare      `session.run(None, feeds)`; building the feeds is not counted, so that nothing flatters us
    floor     everything bound once, inputs that never change

It knows nothing of devices' power or of single operators.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter_ns

import numpy as np

from edgemm.bundle.files import Bundle
from edgemm.bundle.trust import UNTRUSTED, Trust
from edgemm.errors import UsageError
from edgemm.inputs.declarations import Audio, Image, InputSpec, Text
from edgemm.machine.facts import machine_facts
from edgemm.model.graph import INPUT, ModelGraph, Node
from edgemm.profiling.report import Percentiles, Profile, Stage
from edgemm.runners.binding import repeated
from edgemm.runtime.model import Model
from edgemm.runtime.model import open as open_bundle

__all__ = ["Profile", "profile"]

_PER_ROUND = 10
_WARM = 5
_FRAME = (480, 640)  # a usual camera's
_STEP_NS = 33_000_000
_TOTAL = "total"

_Times = dict[str, list[int]]
_Way = Callable[[int, _Times], None]


def profile(
    bundle: str | Path | Model,
    *,
    variant: str = "auto",
    runs: int = 200,
    threads: int = 1,
    trust: Trust = UNTRUSTED,
) -> Profile:
    """Measure a bundle on this machine; takes a second or a few.

    Args:
        bundle: path, or an open model, which stays open.
        variant: as in `open`.
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
        trust.check_id(model.bundle.id, model.bundle.path)
    else:
        model = open_bundle(bundle, variant=variant, threads=threads, trust=trust)
    load_ms = None if model is bundle else (perf_counter_ns() - started_ns) / 1e6
    try:
        return _profile(model, runs, load_ms)
    finally:
        if model is not bundle:
            model.close()


def _profile(model: Model, runs: int, load_ms: float | None) -> Profile:
    rows = _most_usable(model, _test_rows(model.bundle, model.graph))
    before = machine_facts()
    adapters = _take_turns({"edgemm": _adapters(model, rows)}, runs)["edgemm"]
    ways = {"edgemm": _streamed(model, rows), "bare": _bare(model, rows), "floor": _floor(model, rows[0])}
    times = _take_turns(ways, runs)
    manifest = model.bundle.manifest
    files = manifest.variants[model.variant].files
    return Profile(
        name=model.name,
        bundle=model.bundle.path.name,
        id=model.bundle.id,
        variant=model.variant,
        runs=len(times["edgemm"][_TOTAL]),
        load_ms=load_ms,
        bytes={graph: manifest.files[path].bytes for graph, path in files.items()},
        stages=(*(_stage("adapter", name, {"edgemm": adapters}) for name in adapters), *_stages(times)),
        machine={**before, "load_after": machine_facts()["load"]},
    )


def _stages(times: Mapping[str, _Times]) -> list[Stage]:
    kinds = {_TOTAL: _TOTAL, "result": "result"}
    return [_stage(kinds.get(name, "node"), name.removeprefix("node "), times, name) for name in times["edgemm"]]


def _stage(kind: str, name: str, times: Mapping[str, _Times], key: str = "") -> Stage:
    key = key or name
    found = {way: Percentiles.of(rows[key]) for way, rows in times.items() if key in rows}
    return Stage(kind, name, found["edgemm"], found.get("bare"), found.get("floor"))


def _take_turns(ways: Mapping[str, _Way], runs: int) -> dict[str, _Times]:
    """Way -> stage -> ns of each run; who begins a round changes."""
    times: dict[str, _Times] = {name: {} for name in ways}
    order = list(ways.items())
    for number in range(-(-runs // _PER_ROUND)):
        first = number % len(order)
        for name, way in order[first:] + order[:first]:
            for index in range(_WARM):
                way(index, {})
            for index in range(min(_PER_ROUND, runs - number * _PER_ROUND)):
                way(index, times[name])
    return times


def _streamed(model: Model, rows: Sequence[Mapping[str, np.ndarray]]) -> _Way:
    live = model.live()
    now_ns = 0

    def run(index: int, times: _Times) -> None:
        nonlocal now_ns
        now_ns += _STEP_NS
        total = 0
        started = before = perf_counter_ns()
        for name, tensor in rows[index % len(rows)].items():
            live.ports[name].take(tensor, now_ns)
        for name, slot in live.nodes.items():
            slot.run(now_ns)
            spent = perf_counter_ns() - before
            total += spent
            if not slot.skipped:
                times.setdefault(f"node {name}", []).append(spent)
            before = perf_counter_ns()
        live.answer(now_ns, started)
        spent = perf_counter_ns() - before
        times.setdefault("result", []).append(spent)
        times.setdefault(_TOTAL, []).append(total + spent)

    return run


def _bare(model: Model, rows: Sequence[Mapping[str, np.ndarray]]) -> _Way:
    plans = [(node, _plain(model, node), _constants(model, node)) for node in model.graph.nodes]

    def run(index: int, times: _Times) -> None:
        values: dict[str, np.ndarray] = {f"{INPUT}.{name}": value for name, value in rows[index % len(rows)].items()}
        unusable: set[str] = set()
        total = 0
        for node, call, constants in plans:
            if not _can_run(node, unusable):
                continue
            _mask(node, constants, unusable)
            feeds = constants | {name: values[edge] for name, edge in node.reads.items() if edge in values}
            before = perf_counter_ns()
            outputs = call(feeds)
            spent = perf_counter_ns() - before
            times.setdefault(f"node {node.name}", []).append(spent)
            total += spent
            values.update((f"{node.name}.{name}", value) for name, value in zip(node.outputs, outputs, strict=True))
            if node.usable and not values[f"{node.name}.{node.usable}"].any():
                unusable.add(node.name)
        times.setdefault(_TOTAL, []).append(total)

    return run


def _floor(model: Model, row: Mapping[str, np.ndarray]) -> _Way:
    graphs = []
    buffers = {}
    unusable: set[str] = set()
    for node in model.graph.nodes:
        if not _can_run(node, unusable):
            continue
        graph = repeated(model.runners[node.graph])
        buffer = buffers[node.name] = graph.new_buffer()
        constants = _constants(model, node)
        _mask(node, constants, unusable)
        for name, value in constants.items():
            graph.feed(name, value)
        for name, edge in node.reads.items():
            owner, _, tensor = edge.partition(".")
            if owner == INPUT:
                graph.feed(name, row[tensor])
            elif owner in buffers:
                graph.link(name, buffers[owner], model.graph.node(owner).outputs.index(tensor))
        graph.run(buffer)
        if node.usable and not buffer.values[node.outputs.index(node.usable)].any():
            unusable.add(node.name)
        graphs.append((node.name, graph, buffer))

    def run(index: int, times: _Times) -> None:
        total = 0
        for name, graph, buffer in graphs:
            before = perf_counter_ns()
            graph.run(buffer)
            spent = perf_counter_ns() - before
            times.setdefault(f"node {name}", []).append(spent)
            total += spent
        times.setdefault(_TOTAL, []).append(total)

    return run


def _adapters(model: Model, rows: Sequence[Mapping[str, np.ndarray]]) -> _Way:
    """Raw values as sources deliver them: a camera's frame, one hop of sound, a line of text."""
    live = model.live()
    raw = [{name: _raw(model.graph.inputs[name], tensor[0]) for name, tensor in row.items()} for row in rows]
    titles = {name: _title(name, spec) for name, spec in model.graph.inputs.items()}
    now_ns = 0

    def run(index: int, times: _Times) -> None:
        nonlocal now_ns
        now_ns += _STEP_NS
        for name, value in raw[index % len(raw)].items():
            port = live.ports[name]
            before = perf_counter_ns()
            if port.window is None:
                port.adapter.convert(value)
            else:
                for _ in port.window.feed(port.adapter.samples(value), now_ns):
                    pass
            times.setdefault(titles[name], []).append(perf_counter_ns() - before)

    return run


def _plain(model: Model, node: Node) -> Callable[[dict[str, np.ndarray]], list[np.ndarray]]:
    """`session.run` itself where there is a session."""
    runner = model.runners[node.graph]
    session = getattr(runner, "session", None)
    return runner.run if session is None else lambda feeds: session.run(None, feeds)


def _constants(model: Model, node: Node) -> dict[str, np.ndarray]:
    """What a node reads beside edges, everything present, nothing aged, state at a stream's start; and zeros for edges without a value."""
    specs = {spec.name: spec for spec in model.runners[node.graph].inputs}
    unfed = (*node.reads, *node.state.values())
    constants = {name: np.zeros(specs[name].with_batch(1), specs[name].dtype) for name in unfed}
    if node.presence:
        constants[node.presence] = np.ones((1, len(node.members)), np.float32)
    if node.age:
        constants[node.age] = np.zeros((1, len(node.members)), np.float32)
    return constants


def _can_run(node: Node, unusable: set[str]) -> bool:
    """As in a stream: a node that masks runs with anything usable, another one needs everything."""
    usable = [owner not in unusable for owner in node.owners()]
    if (any if node.presence else all)(usable):
        return True
    unusable.add(node.name)
    return False


def _mask(node: Node, constants: Mapping[str, np.ndarray], unusable: set[str]) -> None:
    """Presence as a stream would give it: what an encoder did not recognise is masked, which changes how long a fusion takes."""
    if node.presence:
        constants[node.presence][0] = [member not in unusable for member in node.members]


def _test_rows(bundle: Bundle, graph: ModelGraph) -> list[dict[str, np.ndarray]]:
    """The test vectors' inputs, row by row `(1, …)`; made-up ones where a bundle has none."""
    if bundle.manifest.vectors:
        with np.load(io.BytesIO(bundle.read(bundle.manifest.vectors)), allow_pickle=False) as archive:
            tensors = {name: archive[f"{INPUT}.{name}"] for name in graph.inputs}
    else:
        generator = np.random.default_rng(0)
        tensors = {
            name: generator.integers(0, 2, spec.tensor.with_batch(4)).astype(spec.tensor.dtype)
            for name, spec in graph.inputs.items()
        }
    count = min(len(tensor) for tensor in tensors.values())
    return [{name: np.ascontiguousarray(tensor[i : i + 1]) for name, tensor in tensors.items()} for i in range(count)]


def _most_usable(model: Model, rows: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """Rows in which most nodes find something, so that every node has work."""
    found = [sum(model.run(row)[1].values()) for row in rows]
    return [row for row, count in zip(rows, found, strict=True) if count == max(found)]


def _raw(spec: InputSpec, tensor: np.ndarray) -> object:
    """What a source would have delivered for one row of a test vector."""
    if isinstance(spec, Image):
        across = [np.arange(size) * source // size for size, source in zip(_FRAME, tensor.shape, strict=False)]
        return np.ascontiguousarray(tensor[across[0]][:, across[1]])
    if isinstance(spec, Audio):
        return tensor[-spec.hop_samples :]
    if isinstance(spec, Text):
        return bytes(tensor.astype(np.uint8)).rstrip(b"\0").decode("utf-8", "ignore")
    return tensor


def _title(name: str, spec: InputSpec) -> str:
    if isinstance(spec, Image):
        return f"{name}: {_FRAME[1]}x{_FRAME[0]} to {spec.width}x{spec.height}"
    if isinstance(spec, Audio):
        return f"{name}: {spec.hop_ms} ms into the window"
    return f"{name}: to bytes" if isinstance(spec, Text) else f"{name}: check"
