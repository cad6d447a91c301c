"""How often something new comes along an edge, for what runs a model without a clock: calibration, the parity ladder, test vectors, `verify`.

Windows carry ages, and a graph that reads them must be calibrated and compared on ages such as a stream gives it, not on zeros. An input says
its own pace (`InputKind.period_ms`); a node has that of what sets it off. It knows nothing of arrays.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgemm.model.edge import INPUT
from edgemm.model.graph import ModelGraph, Node
from edgemm.model.rules import Barrier, Hop, Reference

_NS_PER_MS = 1_000_000


def periods_ns(graph: ModelGraph) -> dict[str, int]:
    """Source (`input.image`, `image`) -> time between two of its values."""
    found = {f"{INPUT}.{name}": round(kind.period_ms * _NS_PER_MS) for name, kind in graph.inputs.items()}
    for node in graph.nodes:
        found[node.name] = _period_ns(node, found)
    return found


def _period_ns(node: Node, known: Mapping[str, int]) -> int:
    """Of one node: its rate, or the pace of the news that its policy waits for."""
    if node.trigger.period_ns:
        return node.trigger.period_ns
    paces = {source: known[source] for source in node.sources}
    if isinstance(node.policy, Reference):
        edge = node.policy.edge
        pace = paces.get(edge) or paces[f"{INPUT}.{edge}"]
    else:
        pace = (max if isinstance(node.policy, Barrier) else min)(paces.values())
    return pace * node.trigger.count if isinstance(node.trigger, Hop) else pace
