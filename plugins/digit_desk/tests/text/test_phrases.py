import collections

import torch

from edgemm_digit_desk.instructions import NAMES
from edgemm_digit_desk.text.phrase_lists import HELD_OUT, TEMPLATES
from edgemm_digit_desk.text.phrases import (
    CLASSES,
    NOTHING,
    PhraseSampler,
    bytes_from_texts,
    held_out_phrases,
    plain,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_batch_is_bytes_and_one_hot_targets():
    x, target = PhraseSampler().batch(50, seeded())
    assert x.shape == (50, 64)
    assert x.dtype == torch.int32
    assert target.shape == (50, CLASSES)
    assert target.dtype == torch.float32
    assert target.sum(1).tolist() == [1.0] * 50


def test_the_same_seed_draws_the_same_phrases():
    sampler = PhraseSampler()
    assert sampler.phrases(30, seeded(1)) == sampler.phrases(30, seeded(1))
    assert sampler.phrases(30, seeded(1)) != sampler.phrases(30, seeded(2))


def test_no_held_out_phrase_is_drawn_for_training():
    held_out = {plain(text) for text, _ in held_out_phrases()}
    drawn = PhraseSampler().phrases(40_000, seeded())
    assert not [text for text, _ in drawn if plain(text) in held_out]


def test_the_grammar_alone_would_have_drawn_held_out_phrases(monkeypatch):
    """The exclusion is needed: taking a template as held out, it is no longer drawn."""
    sampler = PhraseSampler(nothing=0.0)
    template = "the maximum"
    assert any(plain(text) == plain(template) for text, _ in sampler.phrases(20_000, seeded()))
    monkeypatch.setattr(sampler, "_held_out", frozenset({plain(template)}))
    assert not any(plain(text) == plain(template) for text, _ in sampler.phrases(20_000, seeded()))


def test_held_out_phrases_cover_every_instruction_in_both_languages():
    asked = [(text, label) for text, label in held_out_phrases() if label != NOTHING]
    assert len(asked) >= 60
    assert len({plain(text) for text, _ in asked}) == len(asked)
    languages = collections.Counter((label, text.isascii()) for text, label in asked)
    assert all(languages[label, english] >= 3 for label in range(len(NAMES)) for english in (True, False))


def test_every_instruction_has_templates_and_held_out_phrases():
    assert set(TEMPLATES) == set(HELD_OUT) == set(NAMES)


def test_no_slot_is_left_unfilled():
    assert not [text for text, _ in PhraseSampler().phrases(5_000, seeded()) if "{" in text or "}" in text]


def test_every_class_is_drawn():
    labels = collections.Counter(label for _, label in PhraseSampler().phrases(3_000, seeded()))
    assert set(labels) == set(range(CLASSES))
    assert min(labels.values()) > 200


def test_a_row_is_the_text_in_utf_8_and_then_zeros():
    for text, _ in held_out_phrases():
        assert bytes(bytes_from_texts([text], 128)[0].astype("uint8")).rstrip(b"\0").decode() == text


def test_bytes_are_cut_where_a_character_ends():
    row = bytes_from_texts(["数" * 30], 64)[0]
    assert (row[:63] > 0).all()
    assert row[63] == 0
