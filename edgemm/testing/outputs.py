"""The contract of kinds of output: a declaration that is data, and something to read, to show and to write of any tensors that fit."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from edgemm.inputs.kind import random_tensor
from edgemm.outputs.kind import OutputKind
from edgemm.tensors import BATCH, TensorSpec
from edgemm.testing.contract import ContractError, expect, expect_declaration, expect_line

_ROWS = 4
_Batch = dict[str, np.ndarray]


def check_output(kind: OutputKind, specs: Mapping[str, TensorSpec], *, seed: int = 0) -> None:
    """Check everything that EdgeMM asks of a kind of output.

    A frozen declaration that comes back from JSON as it was; tensors that it takes, and a reason instead of an exception for others; for random
    tensors, for zeros and for large numbers a value with one line for people and with JSON; agreement of every row with itself.

    Args:
        kind: a declaration, such as `edgemm.Classes(("no", "yes"))`.
        specs: tensor -> what a graph gives for it, such as `{"scores": TensorSpec("scores", "float32", ("batch", 2))}`; fixed sizes.
        seed: of what is drawn.

    Raises:
        ContractError: for the first thing that does not hold.
    """
    expect_declaration(kind)
    _check_tensors(kind, specs)
    for what, batch in _batches(specs, seed).items():
        _check_reading(kind, what, batch)
        _check_agreement(kind, what, batch)


def _check_tensors(kind: OutputKind, specs: Mapping[str, TensorSpec]) -> None:
    names = kind.tensors
    named = isinstance(names, tuple) and bool(names) and all(isinstance(name, str) and name for name in names)
    expect(named and len(set(names)) == len(names), f"tensors: expected a tuple of different names, got {names!r}")
    expect(set(names) == set(specs), f"tensors: it reads {', '.join(names)}; specs were given for {', '.join(specs)}")
    problem = kind.check(specs)
    expect(problem == "", f"check refuses the specs that were given: {problem!r}")
    for name, spec in specs.items():
        wrong = {**specs, name: spec._replace(shape=(BATCH,))}
        try:
            answer = kind.check(wrong)
        except Exception as error:
            raise ContractError(
                f"check must return a reason for tensors that do not fit; for '{name}' {wrong[name]} it raised {type(error).__name__}: {error}"
            ) from error
        expect(isinstance(answer, str), f"check must return a text, returned {answer!r:.100}")


def _batches(specs: Mapping[str, TensorSpec], seed: int) -> dict[str, _Batch]:
    generator = np.random.default_rng(seed)
    drawn = {name: random_tensor(spec, _ROWS, generator) for name, spec in specs.items()}
    return {
        "random tensors": drawn,
        "zeros": {name: np.zeros_like(array) for name, array in drawn.items()},
        "large numbers": {name: array * 1000 if array.dtype.kind == "f" else array for name, array in drawn.items()},
    }


def _check_reading(kind: OutputKind, what: str, batch: _Batch) -> None:
    for row in range(_ROWS):
        written = []
        for _ in range(2):
            value = kind.read({name: array[row].copy() for name, array in batch.items()})
            expect_line(f"show, of {what}", kind.show(value))
            try:
                written.append(json.dumps(kind.to_json(value), allow_nan=False))
            except (TypeError, ValueError) as error:
                raise ContractError(
                    f"to_json, of {what}: expected what JSON has, finite numbers among it: {error}"
                ) from error
        expect(
            written[0] == written[1], f"read, of {what}: the same tensors are read as something else the second time"
        )


def _check_agreement(kind: OutputKind, what: str, batch: _Batch) -> None:
    agree = kind.agreement(batch, {name: array.copy() for name, array in batch.items()})
    if agree is None:
        return
    fits = isinstance(agree, np.ndarray) and agree.dtype == np.bool_ and agree.shape == (_ROWS,)
    expect(fits, f"agreement: expected None, or bool [{_ROWS}] for as many rows; got {agree!r:.100}")
    expect(bool(agree.all()), f"agreement: {what} do not agree with themselves")
