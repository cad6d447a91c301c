"""Tiny streams of Python functions, each of a few nodes whose answers can be computed in the head."""

from __future__ import annotations

import numpy as np

from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import Policy, Trigger
from edgemm.runtime.schedule import Live
from edgemm.tensors import BATCH, TensorSpec
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.outputs.array import Array

MS = 1_000_000
NUMBER = Tensor((1,))


def number(value):
    return np.array([value], np.float32)


class Runner:
    """Calls a function with its feeds by name; it gives a number per output.

    Attributes:
        fed: what it was given at each run, one list per input.
        broken: set to make the next runs fail.
    """

    def __init__(self, function, outputs):
        self._function, self.fed, self.broken = function, [], False
        self.outputs = tuple(
            TensorSpec(n, "bool" if n in ("valid", "stop") else "float32", (BATCH, 1)) for n in outputs
        )

    def run(self, feeds):
        self.fed.append({name: array[0].ravel().tolist() for name, array in feeds.items()})
        if self.broken:
            raise RuntimeError("broken")
        made = self._function(**{name: array[0].ravel() for name, array in feeds.items()})
        made = made if isinstance(made, tuple) else (made,)
        return [np.reshape(np.asarray(one, spec.dtype), (1, 1)) for one, spec in zip(made, self.outputs, strict=True)]


class Stream:
    """A stream, its runners by name, and short ways to push and to read.

    Args:
        nodes: name -> (function, reads, options of the node); `outputs` are `y` unless the options say otherwise.
        answers: output -> edge; the last node's first output if not given.
        inputs: name -> kind; numbers `a`, `b`, `c` as they are read if not given.
    """

    def __init__(self, nodes, answers=None, inputs=None, **live):
        made, self.runners = [], {}
        for name, (function, reads, *more) in nodes.items():
            options = {"outputs": ("y",), **(more[0] if more else {})}
            options["trigger"] = Trigger.parse(options.get("trigger", "arrival"))
            options["policy"] = Policy.parse(options.get("policy", "latest"))
            self.runners[name] = Runner(function, options["outputs"])
            made.append(Node(name, name, edges(reads), **options))
        read = dict.fromkeys(edge.output for node in made for edge in node.reads.values() if edge.from_input)
        answers = answers or {"answer": f"{made[-1].name}.{made[-1].outputs[0]}"}
        kinds = inputs or dict.fromkeys(read, NUMBER)
        outputs = {name: Output.of(edge, Array()) for name, edge in answers.items()}
        self.live = Live(ModelGraph("tiny", kinds, tuple(made), outputs), self.runners, **live)

    def push(self, name, value, ms):
        """The answers to a value at a time in ms, and None where there is no result."""
        return said(self.live.push(name, number(value) if isinstance(value, (int, float)) else value, ms * MS))

    def tick(self, ms):
        return said(self.live.tick(ms * MS))

    def state(self, name, ms):
        """How an input stands at a time, without anything being run."""
        return self.live.answer(ms * MS, 0).inputs[name]

    def fed(self, node):
        return self.runners[node].fed


def said(result):
    """Output -> its number."""
    return None if result is None else {name: float(value[0]) for name, value in result.outputs.items()}
