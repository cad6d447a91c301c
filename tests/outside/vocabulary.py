"""A whole plugin: words to ids and a mask, two tensors of one input, by a list of words that travels with the model."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

import edgemm
from edgemm.assets import Asset
from edgemm.inputs.kind import not_this
from edgemm.tensors import TensorSpec


@edgemm.hookimpl
def edgemm_inputs():
    yield edgemm.InputEntry("vocabulary", "vocabulary:Vocabulary", "words as their numbers in a list, with a mask")


@dataclass(frozen=True)
class Vocabulary(edgemm.InputKind):
    """A line of words; one that is not in the list is 0."""

    kind: ClassVar[str] = "vocabulary"
    trigger: ClassVar[str] = "change"
    assets: ClassVar[tuple[str, ...]] = ("words",)
    words: Any
    length: int = 6

    def __post_init__(self):
        object.__setattr__(self, "words", Asset.of(self.words, "words.txt"))

    @property
    def modality(self):
        return "text"

    @property
    def tensors(self):
        shape = ("batch", self.length)
        return (TensorSpec("ids", "int64", shape), TensorSpec("mask", "bool", shape))

    @cached_property
    def numbers(self):
        return {word: number for number, word in enumerate(self.words.content.decode().split(), 1)}

    def convert(self, raw):
        if not isinstance(raw, str):
            raise not_this("a line of words", raw)
        found = [self.numbers.get(word, 0) for word in raw.split()][: self.length]
        ids = np.array([found + [0] * (self.length - len(found))], np.int64)
        return ids, np.arange(self.length)[np.newaxis] < len(found)

    def draw(self, count, generator):
        ids = generator.integers(0, len(self.numbers) + 1, (count, self.length))
        return ids, np.arange(self.length) < generator.integers(1, self.length + 1, (count, 1))

    def example(self, generator):
        return " ".join(generator.choice(list(self.numbers), 3))
