"""One stateless pass of a batch through the nodes: what `infer`, calibration and the parity ladder share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgemm.errors import InputError
from edgemm.host.interfaces import Runner
from edgemm.model.graph import INPUT, ModelGraph, Node


class SinglePass:
    """Runs every node whose inputs are there, once, in order.

    Args:
        graph: the model.
        runners: graph name -> runner.
        tensors: input name -> adapter-ready batch; absent inputs are left out.
        presence: input name -> bool `(batch,)`, for inputs that only some rows have.
        age_ms: member -> age.

    Attributes:
        feeds: node -> what its graph was given.
        values: node -> output name -> array `(batch, …)`.
        usable: owner (`input.audio`, `audio`) -> bool `(batch,)`.
    """

    def __init__(
        self,
        graph: ModelGraph,
        runners: Mapping[str, Runner],
        tensors: Mapping[str, np.ndarray],
        *,
        presence: Mapping[str, np.ndarray] | None = None,
        age_ms: Mapping[str, float] | None = None,
    ) -> None:
        self._graph = graph
        self._runners = runners
        self._inputs = tensors
        self._age_ms = age_ms or {}
        self.batch = len(next(iter(tensors.values()))) if tensors else 1
        self.feeds: dict[str, dict[str, np.ndarray]] = {}
        self.values: dict[str, dict[str, np.ndarray]] = {}
        self.usable: dict[str, np.ndarray] = {}
        for name, tensor in tensors.items():
            if len(tensor) != self.batch:
                raise InputError(f"input '{name}' has a batch of {len(tensor)}, the inputs before it {self.batch}")
            self.usable[f"{INPUT}.{name}"] = (presence or {}).get(name, np.ones(self.batch, bool))
        for node in graph.nodes:
            self._step(node)

    def outputs(self) -> dict[str, np.ndarray]:
        """The model's outputs, without those whose inputs were absent."""
        found = {}
        for name, output in self._graph.outputs.items():
            owner, _, tensor = output.edge.partition(".")
            if owner in self.values:
                found[name] = self.values[owner][tensor]
        return found

    def _step(self, node: Node) -> None:
        present = [owner in self.usable for owner in node.owners()]
        if not all(present) and not (node.presence and any(present)):
            return
        runner = self._runners[node.graph]
        feeds = self.feeds[node.name] = self._feeds(node, runner)
        outputs = runner.run(feeds)
        self.values[node.name] = dict(zip((spec.name for spec in runner.outputs), outputs, strict=True))
        self.usable[node.name] = self._usable(node)

    def _usable(self, node: Node) -> np.ndarray:
        if node.presence:
            usable: np.ndarray = self.feeds[node.name][node.presence].sum(axis=1) > 0
        else:
            usable = np.logical_and.reduce([self.usable[owner] for owner in node.owners()])
        if node.usable:
            recognised = self.values[node.name][node.usable].reshape(self.batch, -1)
            usable = np.logical_and(usable, recognised.any(axis=1))
        return usable

    def _feeds(self, node: Node, runner: Runner) -> dict[str, np.ndarray]:
        specs = {spec.name: spec for spec in runner.inputs}
        feeds = {}
        for name, edge in node.reads.items():
            owner, _, tensor = edge.partition(".")
            found = self._inputs.get(tensor) if owner == INPUT else self.values.get(owner, {}).get(tensor)
            if found is None:
                found = np.zeros(specs[name].with_batch(self.batch), specs[name].dtype)
            feeds[name] = found
        if node.presence:
            columns = [self.usable.get(member, np.zeros(self.batch, bool)) for member in node.members]
            feeds[node.presence] = np.stack(columns, axis=1).astype(np.float32)
        if node.age:
            ages = [self._age_ms.get(member, 0.0) for member in node.members]
            feeds[node.age] = np.tile(np.array(ages, np.float32), (self.batch, 1))
        for name in node.state.values():
            feeds[name] = np.zeros(specs[name].with_batch(self.batch), specs[name].dtype)
        return feeds
