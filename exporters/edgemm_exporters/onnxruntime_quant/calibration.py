"""Feeds calibration samples to ONNX Runtime's calibrator, one at a time.

Samples arrive in batches of any size and are taken apart, so that the ranges do not depend on how they were batched, and only one
sample is held at a time. It knows nothing of where samples come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto, helper
from onnxruntime.quantization import CalibrationDataReader

from edgemm.errors import ExportError

if TYPE_CHECKING:
    from edgemm.host.interfaces import Feeds


class SampleReader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """What ONNX Runtime's calibrator reads from: one sample per call, then None."""

    def __init__(self, model: ModelProto, calibration: Callable[[], Iterable[Feeds]]) -> None:
        self._any = False
        self._inputs = _inputs(model)
        self._samples = self._take_apart(calibration())

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next sample, each array with a batch of 1; None after the last.

        Raises:
            ExportError: when there is none at all, or one does not fit the graph.
        """
        sample = next(self._samples, None)
        if sample is None and not self._any:
            raise ExportError("calibration gave no samples; int8 needs some, 128 or more are usual")
        self._any = True
        return sample

    def _take_apart(self, batches: Iterable[Feeds]) -> Iterator[dict[str, np.ndarray]]:
        for feeds in batches:
            arrays = self._checked(feeds)
            sizes = {name: len(arrays[name]) for name, (_, batched) in self._inputs.items() if batched}
            if len(set(sizes.values())) > 1:
                raise ExportError(f"calibration: the inputs of one batch have different batch sizes: {sizes}")
            for index in range(next(iter(sizes.values()), 1)):
                yield {name: a[index : index + 1] if name in sizes else a for name, a in arrays.items()}

    def _checked(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        missing = sorted(set(self._inputs) - set(feeds))
        if missing:
            raise ExportError(
                f"calibration: a sample has no value for graph input '{missing[0]}'; it has: {', '.join(sorted(feeds))}"
            )
        arrays = {}
        for name, (dtype, _) in self._inputs.items():
            array = np.asarray(feeds[name])
            if array.dtype != dtype:
                raise ExportError(f"calibration: input '{name}' must be {dtype}, got {array.dtype}")
            arrays[name] = array
        return arrays


def _inputs(model: ModelProto) -> dict[str, tuple[np.dtype, bool]]:
    """Graph input -> dtype, and whether its first axis is the (dynamic) batch."""
    constants = {tensor.name for tensor in model.graph.initializer}
    found = {}
    for value in model.graph.input:
        if value.name not in constants:
            tensor = value.type.tensor_type
            batched = bool(tensor.shape.dim) and not tensor.shape.dim[0].HasField("dim_value")
            found[value.name] = (np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)), batched)
    return found
