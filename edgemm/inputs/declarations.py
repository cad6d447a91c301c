"""What a model's named inputs are: the declarations that specs, `wrap`, manifests and adapters share.

An input says what reaches the model from outside (a frame, a sound, a line of text) and which adapter turns it into the tensor
that a graph reads. It knows nothing of devices, files or torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Union

from edgemm.errors import SpecError
from edgemm.tensors import BATCH, DTYPES, TensorSpec


@dataclass(frozen=True)
class Image:
    """A camera's frame, uint8 RGB `(height, width, 3)`, of any size: the adapter makes it this one's.

    Attributes:
        fit: `crop` the centre to this aspect ratio, `letterbox` it with black, or `stretch`.
    """

    modality: ClassVar[str] = "image"
    adapter: ClassVar[str] = "image"
    height: int
    width: int
    fit: str = "crop"

    def __post_init__(self) -> None:
        _positive(self, "height", "width")
        if self.fit not in ("crop", "letterbox", "stretch"):
            raise SpecError(f"image input: fit must be crop, letterbox or stretch, got '{self.fit}'")

    @property
    def tensor(self) -> TensorSpec:
        """uint8 `(batch, height, width, 3)`, RGB."""
        return TensorSpec("image", "uint8", (BATCH, self.height, self.width, 3))


@dataclass(frozen=True)
class Audio:
    """Sound, float32 mono in [-1, 1], read as a window that moves on by a hop.

    Attributes:
        sample_rate_hz: rate that the model was trained at; another rate is an error, never a guess.
        window_ms: how much sound one window holds.
        hop_ms: how far the window moves between two encodings of a stream.
    """

    modality: ClassVar[str] = "audio"
    adapter: ClassVar[str] = "audio"
    sample_rate_hz: int
    window_ms: int = 1000
    hop_ms: int = 100

    def __post_init__(self) -> None:
        _positive(self, "sample_rate_hz", "window_ms", "hop_ms")
        if self.hop_ms > self.window_ms:
            raise SpecError(f"audio input: hop_ms ({self.hop_ms}) must not exceed window_ms ({self.window_ms})")

    @property
    def window_samples(self) -> int:
        """Samples in one window."""
        return self.sample_rate_hz * self.window_ms // 1000

    @property
    def hop_samples(self) -> int:
        """Samples between two windows."""
        return max(1, self.sample_rate_hz * self.hop_ms // 1000)

    @property
    def tensor(self) -> TensorSpec:
        """float32 `(batch, window_samples)`."""
        return TensorSpec("audio", "float32", (BATCH, self.window_samples))


@dataclass(frozen=True)
class Text:
    """A line of text as its UTF-8 bytes, int32, padded with 0 and cut at a character's end."""

    modality: ClassVar[str] = "text"
    adapter: ClassVar[str] = "text"
    max_bytes: int = 64

    def __post_init__(self) -> None:
        _positive(self, "max_bytes")

    @property
    def tensor(self) -> TensorSpec:
        """int32 `(batch, max_bytes)`."""
        return TensorSpec("text", "int32", (BATCH, self.max_bytes))


@dataclass(frozen=True)
class Tensor:
    """Any other sensor: an array of a fixed shape that a graph reads as it is.

    Attributes:
        shape: without the batch axis.
        modality: what it measures, as encoders name it (`imu`, `depth`, …).
        adapter: a registered adapter that makes it from raw records; `tensor` takes the array itself.
        options: what that adapter is made with.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    modality: str = "tensor"
    adapter: str = "tensor"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        if any(size < 1 for size in self.shape):
            raise SpecError(f"tensor input: every size must be at least 1, got {list(self.shape)}")
        if self.dtype not in DTYPES:
            raise SpecError(f"tensor input: unknown dtype '{self.dtype}'; known: {', '.join(DTYPES)}")

    @property
    def tensor(self) -> TensorSpec:
        """`dtype` `(batch, *shape)`."""
        return TensorSpec(self.modality, self.dtype, (BATCH, *self.shape))


InputSpec = Union[Image, Audio, Text, Tensor]
KINDS: dict[str, type[Image] | type[Audio] | type[Text] | type[Tensor]] = {"image": Image, "audio": Audio, "text": Text}


def input_from_table(name: str, table: Mapping[str, Any]) -> InputSpec:
    """Make an input from a table such as `[inputs.NAME]` of a model.toml.

    Raises:
        SpecError: for a missing modality, an unknown key or a wrong value; the message names the key.
    """
    options = dict(table)
    modality = options.get("modality")
    if not isinstance(modality, str):
        raise SpecError(f"inputs.{name}: modality is missing; known: {', '.join(KINDS)}, or any name with a shape")
    kind = KINDS.get(modality, Tensor)
    if kind is not Tensor:
        del options["modality"]
    known = list(kind.__dataclass_fields__)
    unknown = [key for key in options if key not in known]
    if unknown:
        message = f"inputs.{name}: unknown key '{unknown[0]}'; a {modality} input has: {', '.join(known)}"
        raise SpecError(message, (unknown[0],))
    try:
        return kind(**options)
    except TypeError as error:
        raise SpecError(f"inputs.{name}: {error}; a {modality} input has: {', '.join(known)}") from None
    except SpecError as error:
        raise SpecError(f"inputs.{name}: {error}") from None


def table_from_input(spec: InputSpec) -> dict[str, Any]:
    """The inverse of `input_from_table`, ready for JSON."""
    table = {"modality": spec.modality, **asdict(spec)}
    if "shape" in table:
        table["shape"] = list(table["shape"])
    return table


def _positive(spec: Image | Audio | Text, *names: str) -> None:
    for name in names:
        value = getattr(spec, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SpecError(f"{spec.modality} input: {name} must be a whole number of at least 1, got {value!r}")
