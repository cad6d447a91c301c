"""Text to the ids of a tokenizer, with a mask: two tensors of one input. The tokenizer's file travels inside the bundle.

What the `tokenizers` library makes of a text is taken as it is, so that a network sees here what it saw in training. The library is imported
when it is needed: a bundle is opened and verified without it.

Source: https://github.com/huggingface/tokenizers, the format of tokenizer.json.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from edgemm.assets import Asset
from edgemm.errors import InputError, SpecError
from edgemm.host.optional import require
from edgemm.inputs.kind import Feed, InputKind, Tensors, check_choice, check_positive, not_this
from edgemm.limits import TEXT_CHARACTERS, TOKENIZED_BYTES
from edgemm.reading.plain_json import value_from_json
from edgemm.tensors import BATCH, TensorSpec
from edgemm_plugins.inputs.tokenizer_bounds import growth

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_LINES = ("add them", "what do you hear?", "哪个更大", "ignore the picture", "x")


@dataclass(frozen=True)
class Tokens(InputKind):
    """A text as ids, cut or padded to a fixed number of them.

    Special tokens, padding (which side, which id) and the side that is cut are the tokenizer's own.

    Attributes:
        tokenizer: a tokenizer.json, as its path or its bytes; afterwards an `edgemm.assets.Asset`.
        max_tokens: special ones included.
        mask: dtype of the mask, `bool` or `int64`; true or 1 where there is a token, not padding.
    """

    kind: ClassVar[str] = "tokens"
    trigger: ClassVar[str] = "change"
    assets: ClassVar[tuple[str, ...]] = ("tokenizer",)
    tokenizer: Asset | str | os.PathLike[str] | bytes
    max_tokens: int = 64
    mask: str = "bool"

    def __post_init__(self) -> None:
        asset = Asset.of(self.tokenizer, "tokenizer.json")
        if not asset.content.lstrip().startswith(b"{"):
            raise SpecError(f"tokens input: '{asset.name}' is no tokenizer.json: it is not a JSON object")
        object.__setattr__(self, "tokenizer", asset)
        check_positive(self, "max_tokens")
        check_choice(self, "mask", ("bool", "int64"))

    @property
    def modality(self) -> str:
        """Lines of text, from whatever delivers them."""
        return "text"

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """`ids` int64 and `mask` `(batch, max_tokens)`."""
        shape = (BATCH, self.max_tokens)
        return (TensorSpec("ids", "int64", shape), TensorSpec("mask", self.mask, shape))

    def convert(self, raw: Any) -> Tensors:
        """One text to ids and mask.

        Raises:
            InputError: it is not a `str`, too long, or the library fails on it.
            MissingDependencyError: the library is not installed.
            SpecError: the file is no tokenizer, or `max_tokens` leaves no room for a text.
        """
        if not isinstance(raw, str):
            raise not_this("text as str", raw)
        tokenizer, longest = self._read
        text = raw[: TEXT_CHARACTERS + 1].encode("utf-8", "replace")  # a lone surrogate is no text
        if len(raw) > TEXT_CHARACTERS or len(text) > longest:
            raise InputError(
                f"a text of {len(raw)} characters; at most {TEXT_CHARACTERS}, and {longest} bytes, are tokenized"
            )
        try:
            encoded = tokenizer.encode(text.decode())
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the library's panics are no Exception
            raise InputError(f"the tokenizer fails on a text of {len(raw)} characters: {error}") from None
        if len(encoded.ids) != self.max_tokens:
            raise InputError(f"the tokenizer made {len(encoded.ids)} tokens of a text, expected {self.max_tokens}")
        return np.array([encoded.ids], np.int64), np.array([encoded.attention_mask], self.mask)

    @property
    def loaded(self) -> Tokenizer:
        """The tokenizer, cutting and padding to `max_tokens`; read at first use.

        Raises:
            MissingDependencyError, SpecError: as `convert`.
        """
        return self._read[0]

    @cached_property
    def _read(self) -> tuple[Tokenizer, int]:
        """The tokenizer, and how many bytes of a text it is given."""
        library = require("tokenizers", "tokens", "an input of kind 'tokens'")
        assert isinstance(self.tokenizer, Asset)
        try:
            made: Tokenizer = library.Tokenizer.from_buffer(self.tokenizer.content)
            longest = int(TOKENIZED_BYTES / growth(value_from_json(self.tokenizer.content)))
            special = made.num_special_tokens_to_add(False)
        except (KeyboardInterrupt, SystemExit):
            raise
        except SpecError as error:
            raise SpecError(f"tokens input: '{self.tokenizer.name}' is not taken: {error}") from None
        except BaseException as error:  # the library raises nothing narrower, and panics
            raise SpecError(f"tokens input: '{self.tokenizer.name}' is no tokenizer.json: {error}") from None
        if special >= self.max_tokens:
            raise SpecError(
                f"tokens input: max_tokens is {self.max_tokens}, but this tokenizer adds {special} special tokens to every text"
            )
        cut, pad = made.truncation or {}, made.padding or {}
        made.enable_truncation(self.max_tokens, direction=cut.get("direction", "right"))
        own = {key: pad[key] for key in ("direction", "pad_id", "pad_type_id", "pad_token") if key in pad}
        made.enable_padding(length=self.max_tokens, **own)
        return made, longest

    def open_feed(self) -> Feed:
        """Text by text; what is missing for it is told now, not at the first text."""
        _ = self.loaded
        return super().open_feed()

    def raw_rows(self, rows: np.ndarray) -> Sequence[Any]:
        """Texts, from an array of str."""
        return [str(row) for row in rows] if rows.dtype.kind == "U" and rows.ndim == 1 else list(rows)

    def draw(self, count: int, generator: np.random.Generator) -> Tensors:
        """Any tokens of the vocabulary, each row of another length."""
        ids = generator.integers(0, self.loaded.get_vocab_size(), (count, self.max_tokens))
        mask = np.arange(self.max_tokens) < generator.integers(1, self.max_tokens + 1, (count, 1))
        padding = self.loaded.padding or {}
        if padding.get("direction") == "left":
            mask = mask[:, ::-1]
        return np.where(mask, ids, padding.get("pad_id", 0)), mask.astype(self.mask)

    def example(self, generator: np.random.Generator) -> Any:
        """A line."""
        return _LINES[int(generator.integers(len(_LINES)))]

    def describe(self) -> str:
        """One line for people."""
        return f"up to {self.max_tokens} tokens, {self.tokenizer.name}" if isinstance(self.tokenizer, Asset) else ""
