"""A model that remembers, run over a sequence: what calibration, the parity ladder, test vectors and `verify` see of state and windows.

Rows are then moments in order of time. They are cut into a few contiguous parts, each of which is one stream from its start on; the
streams are rows of one batch, advanced moment by moment. A model that remembers nothing takes all rows at once. It knows nothing of clocks, nor
of what triggers a node: every node runs at every moment, as in a `SinglePass`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgemm.model.graph import ModelGraph
from edgemm.runtime.single_pass import Arrays, BatchRunner, Memory, SinglePass

_MOST_STREAMS = 8
_LEAST_STEPS = 32  # a state has to get away from zero, and errors must have time to add up


def remembers(graph: ModelGraph) -> str:
    """What a model carries from one moment to the next, for people; "" where every row stands alone."""
    for node in graph.nodes:
        if node.state:
            return f"node '{node.name}' has state ({', '.join(node.state.values())})"
        for edge in node.reads.values():
            if edge.window is not None:
                return f"node '{node.name}' reads a window ({edge})"
    return ""


@dataclass(frozen=True)
class Rollout:
    """What a model computed over a sequence; of one that remembers nothing, one pass.

    Attributes:
        graph: the model.
        passes: one per moment; the last may have fewer rows, as streams may be one moment shorter than the first.
    """

    graph: ModelGraph
    passes: Sequence[SinglePass]

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that ran; the same at every moment."""
        return tuple(self.passes[0].values)

    def feeds(self, node: str) -> Arrays:
        """What a node's graph was given, moment after moment."""
        return _joined([done.feeds[node] for done in self.passes])

    def values(self, node: str) -> Arrays:
        """A node's outputs, moment after moment."""
        return _joined([done.values[node] for done in self.passes])

    def outputs(self) -> dict[str, Arrays]:
        """Output of the model -> tensor of its kind -> array, moment after moment."""
        moments = [done.outputs() for done in self.passes]
        return {name: _joined([moment[name] for moment in moments]) for name in moments[0]}


def rollout(
    graph: ModelGraph,
    runners: Mapping[str, BatchRunner],
    tensors: Mapping[str, np.ndarray],
    *,
    streams: int | None = None,
) -> Rollout:
    """Run all rows of `tensors`: one after another in a few streams where the model remembers, else at once.

    Args:
        graph: the model.
        runners: graph name -> runner.
        tensors: input -> rows, keyed as in a `SinglePass`; in order of time where the model remembers.
        streams: how many contiguous parts the rows are cut into; as many as leave each a sequence worth the name, if not given.
    """
    if not remembers(graph):
        return Rollout(graph, [SinglePass(graph, runners, tensors)])
    memory = Memory()
    moments = in_time(tensors, streams)
    return Rollout(graph, [SinglePass(graph, runners, rows, memory=memory) for rows in moments])


def in_time(tensors: Mapping[str, np.ndarray], streams: int | None = None) -> Iterator[Arrays]:
    """One batch per moment from rows in order of time: row s is stream s, a contiguous part of the rows, the longest first."""
    rows = len(next(iter(tensors.values())))
    count = streams or max(1, min(_MOST_STREAMS, rows // _LEAST_STEPS))
    parts = np.array_split(np.arange(rows), count)
    for moment in range(len(parts[0])):
        picked = [part[moment] for part in parts if moment < len(part)]
        yield {name: tensor[picked] for name, tensor in tensors.items()}


def _joined(moments: Sequence[Arrays]) -> Arrays:
    if len(moments) == 1:
        return moments[0]
    return {name: np.concatenate([moment[name] for moment in moments]) for name in moments[0]}
