"""What the synthesizers are asked to say: ten digits, how they may sound, and words that are none. Pure data."""

from __future__ import annotations

__all__ = ["DIGIT_PHONEMES", "DIGIT_WORDS", "ENDINGS", "OTHER_WORD", "OTHER_WORDS"]

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

OTHER_WORD = 10
"""The class of a word that is no digit: for a model it is the same as nothing."""

OTHER_WORDS = (
    "add", "and", "answer", "back", "camera", "difference", "digit", "double", "down", "equal", "good", "green", "hear",
    "hello", "help", "larger", "less", "listen", "minus", "more", "no", "number", "okay", "open", "paper", "picture",
    "please", "plus", "product", "quiet", "ready", "right", "say", "see", "smaller", "stop", "sum", "take", "thanks",
    "the", "this", "times", "um", "water", "what", "where", "which", "word", "yes", "you",
)  # fmt: skip

DIGIT_PHONEMES = {
    0: ("zˈɪɹO", "zˈiɹO", "zˈɪəɹQ"),
    1: ("wˈʌn", "wˈɒn"),
    2: ("tˈu", "tˈuː"),
    3: ("θɹˈi", "θɹˈiː"),
    4: ("fˈɔɹ", "fˈɔː"),
    5: ("fˈIv", "fˈaɪv"),
    6: ("sˈɪks",),
    7: ("sˈɛvən", "sˈɛvᵊn"),
    8: ("ˈAt", "ˈeɪt"),
    9: ("nˈIn", "nˈaɪn"),
}
"""Each digit in the misaki alphabet (O, A, I, Q are diphthongs), American first."""

ENDINGS = ("", ".", "?", "!")
