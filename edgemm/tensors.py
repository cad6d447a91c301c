"""What a tensor at a graph's edge looks like. Knows nothing of any framework but numpy's dtype names."""

# No `annotations` from `__future__`: every start reads these types for the strict reader, and kept as text each would be compiled.
from typing import TYPE_CHECKING, NamedTuple

from edgemm.errors import InputError

if TYPE_CHECKING:
    import numpy as np

DTYPES = ("bool", "uint8", "int8", "int32", "int64", "float16", "float32")
BATCH = "batch"


class TensorSpec(NamedTuple):
    """Name, dtype and shape of one tensor.

    Attributes:
        name: the tensor's name in its graph.
        dtype: one of `DTYPES`.
        shape: an int where the size is fixed, a name where it is not; the batch axis is named `batch`.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def with_batch(self, batch: int) -> tuple[int, ...]:
        """The concrete shape when the batch axis is `batch`.

        Raises:
            InputError: when another axis is dynamic too.
        """
        sizes = [batch if size == BATCH else size for size in self.shape]
        if any(isinstance(size, str) for size in sizes):
            raise InputError(f"tensor '{self.name}' {self} has dynamic axes beside the batch")
        return tuple(int(size) for size in sizes)

    def check(self, array: "np.ndarray") -> None:
        """Raise `InputError` unless `array` has this dtype and shape."""
        if array.dtype != self.dtype or not self.accepts_shape(array.shape):
            raise InputError(f"tensor '{self.name}': expected {self}, got {array.dtype} {list(array.shape)}")

    def accepts_shape(self, shape: tuple[int, ...]) -> bool:
        """Whether a concrete shape fits; named axes take any size of at least 1."""
        if len(shape) != len(self.shape):
            return False
        return all(
            actual >= 1 if isinstance(size, str) else actual == size
            for size, actual in zip(self.shape, shape, strict=True)
        )

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join(str(size) for size in self.shape)}]"
