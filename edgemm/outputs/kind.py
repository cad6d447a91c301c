"""The protocol of an output kind: from a model's tensors to what a program wants to read.

A kind is a frozen dataclass that a plugin registers (hook `edgemm_outputs`); an instance declares one output (its labels, unit,
vocabulary) and is carried as data in a model.toml and in a bundle's manifest. It knows nothing of how the tensors were computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np

    from edgemm.tensors import TensorSpec


class OutputKind:
    """Base of every declaration of an output; subclass it as a frozen dataclass.

    Attributes:
        kind: the name that it is registered under.
        assets: names of the fields that hold a file (`edgemm.assets`), which travels inside the bundle.
    """

    kind: ClassVar[str] = ""
    assets: ClassVar[tuple[str, ...]] = ()

    @property
    def tensors(self) -> tuple[str, ...]:
        """What it reads, in order; a kind of one tensor takes one of any name. The declaration may decide."""
        return ("value",)

    def check(self, specs: Mapping[str, TensorSpec]) -> str:
        """Why tensors of these specs cannot be read as this kind; "" when they can. Asked when a bundle is written and opened."""
        return ""

    def read(self, tensors: Mapping[str, np.ndarray]) -> Any:
        """What a program reads, from arrays without the batch axis; they are the value's own. Called only when somebody looks."""
        raise NotImplementedError

    def show(self, value: Any) -> str:
        """One line for people."""
        return str(value)

    def to_json(self, value: Any) -> Any:
        """The value as JSON has it."""
        raise NotImplementedError

    def agreement(self, reference: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """Row by row, whether two batches of tensors say the same; None where only distance means something."""
        return None
