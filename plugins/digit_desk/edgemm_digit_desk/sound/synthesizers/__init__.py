"""Speech synthesizers that say single words: eSpeak NG, hibari, Kokoro, Piper and Flite, each optional.

Knows who can speak and in which order; how each one is made to speak is in a module of its own. Knows nothing of 8 kHz, trimming,
files, training or tests: `edgemm_digit_desk.sound.speech` does that. All of them run on this machine without network.
"""

from __future__ import annotations

from edgemm_digit_desk.sound.synthesizers import espeak, flite, hibari, kokoro, piper
from edgemm_digit_desk.sound.synthesizers.espeak import HELD_OUT_VARIANTS
from edgemm_digit_desk.sound.synthesizers.synthesizer import Synthesizer, Utterance
from edgemm_digit_desk.sound.synthesizers.words import DIGIT_WORDS, OTHER_WORD

__all__ = ["DIGIT_WORDS", "HELD_OUT_VARIANTS", "OTHER_WORD", "SYNTHESIZERS", "Synthesizer", "Utterance"]

SYNTHESIZERS: dict[str, Synthesizer] = {
    module.SYNTHESIZER.name: module.SYNTHESIZER for module in (espeak, hibari, kokoro, piper, flite)
}
"""Every synthesizer by name. espeak, hibari, kokoro and piper teach; flite is only ever a test."""
