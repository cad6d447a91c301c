"""Calibration: aligned samples of all inputs, run through the FP32 graphs, so that every graph sees what it sees in use.

A quarter of the samples is kept out, to compare on. Each graph, the fusion included, is calibrated on what really reaches it: encoders on
samples, fusion on the encoders' outputs, with inputs missing and embeddings of some age. A model that remembers (state, windows) is rolled out: its samples are moments in order of time, and a quantizer
sees the states that really come up. It knows nothing of quantization.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, combinations, cycle
from pathlib import Path
from typing import Any

import numpy as np

from edgemm.checking.rollout import Rollout, in_time, remembers, rollout
from edgemm.errors import InputError, UsageError
from edgemm.host.interfaces import Feeds, Runner
from edgemm.inputs.kind import InputKind
from edgemm.model.graph import ModelGraph
from edgemm.progress import Progress
from edgemm.reading.arrays import arrays_from_npz
from edgemm.runtime.single_pass import Memory, SinglePass, by_key

MINIMUM_ROWS = 32
_RANDOM_ROWS = 64
_CHECKING_SHARE = 4  # one sample in four is kept out of calibration, to compare on
_MOST_CHECKING_ROWS = 64
_MISSING, _OF_ROWS = 3, 8
_AGES_MS = (0.0, 40.0, 250.0, 1500.0)


@dataclass(frozen=True)
class Samples:
    """Aligned rows of converted inputs.

    Attributes:
        tensors: input -> `(rows, …)`.
        source: where they come from, for the manifest.
        random: made up, because none were given: fit to look at speed, not at accuracy.
    """

    tensors: Mapping[str, np.ndarray]
    source: str
    random: bool = False

    @property
    def rows(self) -> int:
        """How many."""
        return len(next(iter(self.tensors.values())))

    def part(self, start: int, stop: int) -> Samples:
        """Rows `start` to `stop`."""
        return Samples({name: tensor[start:stop] for name, tensor in self.tensors.items()}, self.source, self.random)

    def sha256(self) -> str:
        """Hash of all rows."""
        digest = hashlib.sha256()
        for name in sorted(self.tensors):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(self.tensors[name]).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Divided:
    """Samples in two parts.

    Attributes:
        calibrating: what quantizers see.
        checking: the last quarter, which they do not; a single sample serves both.
    """

    calibrating: Samples
    checking: Samples

    @classmethod
    def of(cls, samples: Samples) -> Divided:
        """Keep the last quarter out."""
        held = max(1, min(samples.rows // _CHECKING_SHARE, _MOST_CHECKING_ROWS))
        kept = samples.rows - held
        return cls(samples.part(0, kept) if kept else samples, samples.part(kept, samples.rows))

    def facts(self) -> dict[str, Any]:
        """What the manifest says of them."""
        return {
            "source": self.calibrating.source,
            "random": self.calibrating.random,
            "rows": self.calibrating.rows,
            "compared_on": self.checking.rows,
            "evidence": self.checking.rows >= MINIMUM_ROWS and not self.checking.random,
            "sha256": self.calibrating.sha256(),
        }


@dataclass(frozen=True)
class Calibrated:
    """What reaches every graph.

    Attributes:
        samples: that went in.
        reference: the FP32 chain over the samples to compare on.
        feeds: graph -> what it was fed, in batches, by the samples to calibrate on; empty when nothing is to be quantized.
    """

    samples: Divided
    reference: Rollout
    feeds: Mapping[str, Sequence[Feeds]]


def calibrate(
    graph: ModelGraph, runners: Mapping[str, Runner], samples: Divided, progress: Progress, *, quantizing: bool = True
) -> Calibrated:
    """Run the samples through the FP32 graphs.

    Args:
        graph: nodes and edges.
        runners: graph -> what runs it.
        samples: to calibrate and to compare on.
        progress: told when it starts.
        quantizing: False does without the samples to calibrate on.
    """
    reference = rollout(graph, runners, samples.checking.tensors)
    feeds: Mapping[str, Sequence[Feeds]] = {}
    if quantizing:
        progress("calibrating", 0, 1, f"{samples.calibrating.rows} samples")
        feeds = feeds_per_graph(graph, runners, samples.calibrating)
    return Calibrated(samples, reference, feeds)


def load_samples(inputs: Mapping[str, InputKind], given: str | Path | Iterable[Mapping[str, Any]] | None) -> Samples:
    """Calibration samples from an .npz (input -> rows), from an iterable of `{input: raw value}`, or random ones for None.

    They stay in the order in which they are given, which is that of time where the model remembers.

    Raises:
        UsageError: an input is missing, rows are not aligned, or a row does not fit; the message says which.
    """
    if given is None:
        return _random_samples(inputs)
    if isinstance(given, (str, Path)):
        rows = _rows_of_file(inputs, Path(given))
        source = Path(given).name
    else:
        rows = [dict(row) for row in given]
        source = "samples given in Python"
        for name in inputs:
            missing = next((index for index, row in enumerate(rows) if name not in row), None)
            if missing is not None:
                raise UsageError(
                    f"calibration: sample {missing} lacks input '{name}'; samples are aligned: each has every input"
                )
    if not rows:
        raise UsageError("calibration: there are no samples")
    return Samples(by_key(inputs, {name: _converted(name, kind, rows) for name, kind in inputs.items()}), source)


def feeds_per_graph(
    graph: ModelGraph, runners: Mapping[str, Runner], samples: Samples, *, batch: int = 8
) -> dict[str, list[dict[str, np.ndarray]]]:
    """Graph -> what it was fed, in batches, when the samples ran through the FP32 graphs.

    Five of eight rows have every input; the others, spread evenly, miss some (`_presence`). What takes presence is not shown rows in which nobody is
    present, as it does not run then. Of a model that remembers a batch is one moment of a few streams, whose memory goes on to the next.
    """
    fed: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in graph.graph_names}
    memory = Memory() if remembers(graph) else None
    divided = partial(_batches, size=batch) if memory is None else in_time
    given = zip(divided(samples.tensors), divided(_presence(graph.inputs, samples.rows)), strict=True)
    for index, (tensors, presence) in enumerate(given):
        ages = {member: _AGES_MS[(index + i) % 4] for i, member in enumerate(_members(graph))}
        done = SinglePass(graph, runners, tensors, presence=presence, age_ms=ages, memory=memory)
        for node in graph.nodes:
            if node.name in done.feeds:
                feeds = done.feeds[node.name]
                ran = done.ran[node.name]
                if node.presence and not ran.all():
                    feeds = {name: array[ran] for name, array in feeds.items()}
                if ran.any() or not node.presence:
                    fed[node.graph].append(feeds)
    return fed


def _presence(names: Iterable[str], rows: int) -> dict[str, np.ndarray]:
    """Input -> bool `(rows,)`: every row misses nothing, or one of the sets that leave something, in turn.

    Single inputs come first, then pairs, and so on: with few rows each input is missing at least once, with many every set is, equally often.
    """
    names = tuple(names)
    presence = {name: np.ones(rows, bool) for name in names}
    if len(names) < 2:
        return presence
    sets = cycle(chain.from_iterable(combinations(names, size) for size in range(1, len(names))))
    lacking = (row for row in range(rows) if (row + 1) * _MISSING // _OF_ROWS > row * _MISSING // _OF_ROWS)
    for row, missing in zip(lacking, sets, strict=False):
        for name in missing:
            presence[name][row] = False
    return presence


def _members(graph: ModelGraph) -> list[str]:
    return list(dict.fromkeys(member for node in graph.nodes for member in node.members))


def _batches(tensors: Mapping[str, np.ndarray], size: int) -> Iterator[dict[str, np.ndarray]]:
    rows = len(next(iter(tensors.values())))
    for start in range(0, rows, size):
        yield {name: tensor[start : start + size] for name, tensor in tensors.items()}


def _converted(name: str, kind: InputKind, rows: Sequence[Mapping[str, Any]]) -> list[np.ndarray]:
    """All rows of one input: an array `(rows, …)` per tensor."""
    converted = []
    for number, row in enumerate(rows):
        try:
            converted.append(kind.convert(row[name]))
        except InputError as error:
            raise InputError(f"calibration: sample {number}, input '{name}': {error}") from None
    return [np.concatenate(parts) for parts in zip(*converted, strict=True)]


def _rows_of_file(inputs: Mapping[str, InputKind], path: Path) -> list[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            arrays = arrays_from_npz(file, only=inputs)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"calibration: cannot read '{path}' as .npz with one array of rows per input: {error}"
        ) from None
    counts = {name: len(arrays[name]) for name in inputs}
    if len(set(counts.values())) != 1:
        raise UsageError(f"calibration: '{path}' is not aligned, its inputs have different numbers of rows: {counts}")
    columns = {name: _raw_rows(name, kind, arrays[name]) for name, kind in inputs.items()}
    return [{name: column[index] for name, column in columns.items()} for index in range(counts[next(iter(inputs))])]


def _raw_rows(name: str, kind: InputKind, rows: np.ndarray) -> Sequence[Any]:
    try:
        return kind.raw_rows(rows)
    except InputError as error:
        raise InputError(f"calibration: input '{name}': {error}") from None


def _random_samples(inputs: Mapping[str, InputKind]) -> Samples:
    generator = np.random.default_rng(0)
    drawn = {name: kind.draw(_RANDOM_ROWS, generator) for name, kind in inputs.items()}
    return Samples(by_key(inputs, drawn), "random", random=True)
