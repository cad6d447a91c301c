"""An edge: what a node reads of an input or of another node. Parsed once, when a spec or a manifest is read.

    input.image             the only tensor of an input
    input.text.mask         one tensor of an input that has several
    audio.tokens            an output of a node
    audio.tokens[8]         its 8 newest values, oldest first: (batch, 8, …)
    audio.tokens[8, 500]    the same, but nothing older than 500 ms
    audio.tokens[8].mask    which of the 8 are there: bool (batch, 8)
    audio.tokens[8].age     how old they are in ms: float32 (batch, 8)

It knows nothing of what flows along it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from edgemm.errors import SpecError
from edgemm.limits import LONGEST_MS

INPUT = "input"
VALUE, MASK, AGE = "value", "mask", "age"
_NAME = r"[A-Za-z_][\w-]*"
_EDGE = (
    rf"(?P<owner>{_NAME})\.(?P<output>{_NAME})(?:\.(?P<tensor>{_NAME}))?"
    rf"(?:\[\s*(?P<count>\d{{1,9}})\s*(?:,\s*(?P<ms>\d{{1,20}}(?:\.\d+)?)\s*)?\](?:\.(?P<part>{MASK}|{AGE}))?)?"
)
_LIMIT = 4096


class Window(NamedTuple):
    """The newest values of an edge.

    Attributes:
        count: at most so many; what is not there yet is zero, and False in the mask.
        ms: none older than this, nor than its source is valid for; 0 for any age. What has become too old is as what never came, for good.
    """

    count: int  # type: ignore[assignment]  # in place of a tuple's method
    ms: float = 0.0


class Edge(NamedTuple):
    """What a node reads.

    Attributes:
        owner: a node's name, or `input` for the model's inputs.
        output: the node's output, or the input's name.
        tensor: which tensor of an input that has several; "" for the only one.
        window: how much of the past, if not the newest value alone.
        part: of a window: its `value`, `mask` or `age`.
    """

    owner: str
    output: str
    tensor: str = ""
    window: Window | None = None
    part: str = VALUE

    @classmethod
    def parse(cls, text: str, where: str = "edge") -> Edge:
        """Read an edge as it is written above.

        Raises:
            SpecError: it is none; the message says what one looks like.
        """
        if isinstance(text, str) and text.isascii():
            # most are plain, and need no pattern, whose making takes a cold start 1.5 ms
            owner, output, *tensor = text.split(".") if "." in text else (text, "")
            if all(map(str.isidentifier, (owner, output, *tensor))) and len(tensor) <= (owner == INPUT):
                return cls(owner, output, tensor[0] if tensor else "")
        match = re.fullmatch(_EDGE, text.strip()) if isinstance(text, str) else None
        if match is None or (match["tensor"] and match["owner"] != INPUT):
            raise SpecError(
                f"{where}: {text!r} is no edge; write input.NAME, input.NAME.TENSOR or NODE.OUTPUT, and [COUNT] or [COUNT, MS] "
                "behind it for a window"
            )
        window = None
        if match["count"]:
            window = Window(int(match["count"]), float(match["ms"] or 0))
            if not 1 <= window.count <= _LIMIT:
                raise SpecError(f"{where}: a window holds 1 to {_LIMIT} values, got {text!r}")
            if window.ms > LONGEST_MS:
                raise SpecError(f"{where}: a window reaches back at most {LONGEST_MS:g} ms, got {text!r}")
        return cls(match["owner"], match["output"], match["tensor"] or "", window, match["part"] or VALUE)

    @property
    def from_input(self) -> bool:
        """Whether it starts at an input of the model."""
        return self.owner == INPUT

    @property
    def source(self) -> str:
        """What it starts at: a node's name, or `input.<name>`."""
        return f"{INPUT}.{self.output}" if self.owner == INPUT else self.owner

    def __str__(self) -> str:
        text = f"{self.owner}.{self.output}" + (f".{self.tensor}" if self.tensor else "")
        if self.window is not None:
            text += f"[{self.window.count}{f', {self.window.ms:g}' if self.window.ms else ''}]"
            text += "" if self.part == VALUE else f".{self.part}"
        return text


def edges(reads: Mapping[str, str | Edge] | None = None, **more: str) -> dict[str, Edge]:
    """Graph input -> edge, from how they are written: `edges(x="input.image")`."""
    both = {**(reads or {}), **more}
    return {name: edge if isinstance(edge, Edge) else Edge.parse(edge, name) for name, edge in both.items()}
