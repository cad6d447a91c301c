"""Worded instructions in English and Chinese, for training and for testing, as the bytes that a text encoder reads.

Phrases come from `phrase_lists` and `phrase_slots`; here they are filled, prefixed, misspelt and shortened as people do. The held-out
paraphrases, and anything that differs from one only in case, spaces or punctuation, are never drawn for training.
Knows nothing of models.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import edgemm
from edgemm_digit_desk.hyperparameters import Hyperparameters
from edgemm_digit_desk.instructions import NAMES
from edgemm_digit_desk.text.phrase_lists import HELD_OUT, HELD_OUT_NOTHING, NOTHING_PHRASES, TEMPLATES
from edgemm_digit_desk.text.phrase_slots import SLOTS

__all__ = ["CLASSES", "NOTHING", "PhraseSampler", "bytes_from_texts", "held_out_phrases"]

CLASSES = len(NAMES) + 1
NOTHING = len(NAMES)  # the class of a text that asks for nothing
MAX_BYTES = 64

PREFIXES = (
    "please ",
    "please ",
    "can you ",
    "could you ",
    "now ",
    "ok ",
    "hey, ",
    "so ",
    "and ",
    "computer, ",
    "well, ",
)
SUFFIXES = (" please", ", please", " now", " for me", " thanks", "?", "?", "?", ".", "!", " again", " here", " then")
CHINESE_PREFIXES = ("请", "请问", "请你", "帮我", "现在", "麻烦", "麻烦你", "那么", "来", "能不能", "你能", "好,")
CHINESE_SUFFIXES = ("。", "？", "?", "呢", "呢？", "吧", "谢谢", "，谢谢", "！", "啊", "吗", "好吗")
FILLERS = frozenset({"the", "a", "is", "of", "me", "you", "i", "do", "that", "it"})
INSERTS = (
    "their",
    "its",
    "it",
    "all",
    "just",
    "really",
    "only",
    "up",
    "out",
    "here",
    "there",
    "both",
    "the",
    "a",
    "my",
    "your",
)
CONTRACTIONS = (
    ("what is", "what's"),
    ("which is", "which's"),
    ("do not", "don't"),
    ("what is", "whats"),
    ("i am", "i'm"),
)
TRADITIONAL = str.maketrans(
    "两数图听说减写声语纸画请问诉现么个较积总见这里读帮谢头时录麦克风计间",
    "兩數圖聽說減寫聲語紙畫請問訴現麼個較積總見這裡讀幫謝頭時錄麥克風計間",
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class PhraseSampler:
    """Draws training phrases; classes are the instructions and, last, "nothing asked".

    Args:
        max_bytes: length of a row.
        nothing: share of texts that ask for nothing.
    """

    classes = CLASSES
    training = Hyperparameters(steps=2200, batch=128, learning_rate=4e-3, weight_decay=0.02, label_smoothing=0.05)

    def __init__(self, max_bytes: int = MAX_BYTES, nothing: float = 0.2) -> None:
        self.max_bytes = max_bytes
        self.nothing = nothing
        self._held_out = frozenset(plain(text) for text, _ in held_out_phrases())

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return bytes, int32 (size, max_bytes), and one-hot targets, float32 (size, 9)."""
        phrases = self.phrases(size, generator)
        rows = torch.from_numpy(bytes_from_texts([text for text, _ in phrases], self.max_bytes))
        labels = torch.tensor([label for _, label in phrases])
        return rows, torch.nn.functional.one_hot(labels, CLASSES).float()

    def phrases(self, size: int, generator: torch.Generator) -> list[tuple[str, int]]:
        """Return `size` texts with their classes; none is a held-out paraphrase."""
        chance = random.Random(int(torch.randint(2**62, (1,), generator=generator)))
        drawn: list[tuple[str, int]] = []
        while len(drawn) < size:
            text, label = self._draw(chance)
            if text and plain(text) not in self._held_out:
                drawn.append((text, label))
        return drawn

    def _draw(self, chance: random.Random) -> tuple[str, int]:
        if chance.random() < self.nothing:
            return _nothing(chance), NOTHING
        label = chance.randrange(len(NAMES))
        text = _filled(chance.choice(TEMPLATES[NAMES[label]]), chance)
        return (_varied_chinese if _is_chinese(text) else _varied_english)(text, chance), label


def held_out_phrases() -> list[tuple[str, int]]:
    """Return the test paraphrases with their classes, those that ask for nothing last."""
    asked = [(text, NAMES.index(name)) for name, texts in HELD_OUT.items() for text in texts]
    return asked + [(text, NOTHING) for text in HELD_OUT_NOTHING]


def bytes_from_texts(texts: Iterable[str], max_bytes: int = MAX_BYTES) -> npt.NDArray[np.int32]:
    """Write texts as UTF-8, one row each: int32 (n, max_bytes), as the model's text input does."""
    kind = edgemm.Text(max_bytes)
    return np.concatenate([kind.convert(text)[0] for text in texts])


def plain(text: str) -> str:
    """Reduce a text to its lower-case letters and digits, to compare wordings."""
    return "".join(character for character in text.lower() if character.isalnum())


def _filled(template: str, chance: random.Random) -> str:
    """Replace every {slot} by one of its fillings, which may have slots of their own."""
    while "{" in template:
        template = re.sub(r"\{(\w+)\}", lambda slot: chance.choice(SLOTS[slot[1]]), template)
    return template


def _is_chinese(text: str) -> bool:
    return any("一" <= character <= "鿿" for character in text)


def _varied_english(text: str, chance: random.Random) -> str:
    """Shorten, prefix, misspell and change the case of an English phrase."""
    if chance.random() < 0.3:
        text = text.replace(*chance.choice(CONTRACTIONS))
    if chance.random() < 0.2:
        text = _without_a_filler(text, chance)
    if chance.random() < 0.25:
        text = _with_a_filler(text, chance)
    if chance.random() < 0.35:
        text = chance.choice(PREFIXES) + text
    if chance.random() < 0.45:
        text += chance.choice(SUFFIXES)
    if chance.random() < 0.2:
        text = _misspelt(text, chance)
    return chance.choice((text, text, text.capitalize(), text.capitalize(), text.upper(), text.title()))


def _varied_chinese(text: str, chance: random.Random) -> str:
    """Prefix, shorten, or rewrite in traditional characters a Chinese phrase."""
    if chance.random() < 0.1:
        text = text.replace("的", "", 1)
    if chance.random() < 0.35:
        text = chance.choice(CHINESE_PREFIXES) + text
    if chance.random() < 0.45:
        text += chance.choice(CHINESE_SUFFIXES)
    if chance.random() < 0.15:
        text = text.translate(TRADITIONAL)
    return text


def _without_a_filler(text: str, chance: random.Random) -> str:
    words = text.split()
    fillers = [index for index, word in enumerate(words) if word in FILLERS]
    if len(words) > 1 and fillers:
        del words[chance.choice(fillers)]
    return " ".join(words)


def _with_a_filler(text: str, chance: random.Random) -> str:
    words = text.split()
    words.insert(chance.randrange(len(words) + 1), chance.choice(INSERTS))
    return " ".join(words)


def _misspelt(text: str, chance: random.Random) -> str:
    """Drop, double, swap or replace one letter of a text that is long enough to bear it."""
    if len(text) < 8:
        return text
    at = chance.randrange(1, len(text) - 1)
    kind = chance.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    if kind == 2:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + chance.choice(LETTERS) + text[at + 1 :]


def _nothing(chance: random.Random) -> str:
    """Draw a text that asks for nothing: small talk, small talk mixed, or keys hit at random."""
    kind = chance.random()
    if kind < 0.15:
        return "".join(chance.choice(LETTERS + "   .,0123456789") for _ in range(chance.randint(1, 30))).strip()
    text = _filled(chance.choice(NOTHING_PHRASES), chance)
    if kind < 0.3:
        text = _mixed(text, _filled(chance.choice(NOTHING_PHRASES), chance), chance)
    return _varied_chinese(text, chance) if _is_chinese(text) else _varied_english(text, chance)


def _mixed(text: str, other: str, chance: random.Random) -> str:
    """Join the beginning of one text and the end of another."""
    parts: list[Sequence[str]] = [
        list(part) if _is_chinese(part) else re.findall(r"\S+\s*", part) for part in (text, other)
    ]
    first, second = (chance.randint(1, max(1, len(part))) for part in parts)
    return "".join(parts[0][:first]) + " " + "".join(parts[1][-second:])
