"""Files that a declaration carries: a tokenizer, a vocabulary, anchors. Bytes with a name, travelling inside the bundle like its graphs.

A kind of input or output lists the fields that hold one in `assets`. In Python such a field takes a path, bytes or an `Asset`; in a model.toml a
path beside it. A manifest has only the name of a file of the bundle, which is hashed and read like any other: nothing outside of it is ever opened.
It knows nothing of what is in a file.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeAlias

from edgemm.errors import SpecError

LIMIT_BYTES = 64 * 2**20  # of one file
TOTAL_LIMIT_BYTES = 256 * 2**20  # of all that one bundle's declarations name

Files: TypeAlias = Callable[[str], bytes]
"""Name of a file, as a table has it, to its content."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}")


@dataclass(frozen=True)
class Asset:
    """The content of one file.

    Attributes:
        name: of the file, without folders.
        content: what is in it, at most 64 MiB.

    Raises:
        SpecError: it has no usable name, or too much in it.
    """

    name: str
    content: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SpecError(
                f"'{self.name[:100]}' is no name of a file that a bundle can carry: letters, digits, '_', '-', '.'"
            )
        if len(self.content) > LIMIT_BYTES:
            raise SpecError(
                f"'{self.name}' has {len(self.content)} bytes; a bundle carries files of at most {LIMIT_BYTES} beside its graphs"
            )

    @classmethod
    def of(cls, value: Any, what: str) -> Asset:
        """An asset itself, the file at a path, or bytes.

        Args:
            value: what a declaration was given.
            what: the file's usual name, for bytes and for messages: `tokenizer.json`.

        Raises:
            SpecError: it is none of these, or cannot be read.
        """
        if isinstance(value, Asset):
            return value
        if isinstance(value, (bytes, bytearray)):
            return cls(what, bytes(value))
        if not isinstance(value, (str, os.PathLike)):
            raise SpecError(f"expected the path of a {what}, or its bytes; got {type(value).__name__}")
        path = Path(value)
        try:
            if path.stat().st_size > LIMIT_BYTES:
                raise SpecError(
                    f"'{path}' has {path.stat().st_size} bytes; a bundle carries files of at most {LIMIT_BYTES}"
                )
            return cls(path.name, path.read_bytes())
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise SpecError(f"cannot read the {what} '{path}': {error}") from None

    @cached_property
    def path(self) -> str:
        """Where a bundle has it: by its content, so that inputs that share one carry it once."""
        return f"assets/{hashlib.sha256(self.content).hexdigest()[:16]}/{self.name}"


def files_beside(folder: Path) -> Files:
    """The files that a model.toml in `folder` names, each read once."""
    return cache(lambda name: Asset.of(folder / name, "file").content)


def assets_of(declaration: Any) -> tuple[Asset, ...]:
    """The files that a declaration carries."""
    held = (getattr(declaration, name) for name in declaration.assets)
    return tuple(value for value in held if isinstance(value, Asset))
