"""Text as ids and mask."""

from __future__ import annotations

import base64
import json
import subprocess
import sys

import numpy as np
import pytest

from edgemm.assets import Asset
from edgemm.errors import InputError, MissingDependencyError, SpecError
from edgemm_plugins.inputs.tokens import Tokens

tokenizers = pytest.importorskip("tokenizers", reason="needs the tokens extra: pip install 'edgemm[tokens]'")

WORDS = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "add": 4, "them": 5, "加": 6}


def tokenizer(**padding):
    """Words between two special tokens."""
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    if padding:
        made.enable_padding(**padding)
    return made


FILE = tokenizer().to_str().encode()


def converted(kind, text):
    ids, mask = kind.convert(text)
    return ids.tolist(), mask.tolist()


def test_a_text_becomes_ids_and_a_mask():
    kind = Tokens(FILE, 6)
    assert [(spec.name, str(spec)) for spec in kind.tensors] == [
        ("ids", "int64 [batch, 6]"),
        ("mask", "bool [batch, 6]"),
    ]
    assert converted(kind, "add them") == ([[2, 4, 5, 3, 0, 0]], [[True] * 4 + [False] * 2])
    for spec, tensor in zip(kind.tensors, kind.convert("add"), strict=True):
        spec.check(tensor)


def test_a_mask_may_be_numbers():
    _, mask = Tokens(FILE, 4, mask="int64").convert("add")
    assert mask.dtype == np.int64
    assert mask.tolist() == [[1, 1, 1, 0]]


def test_a_long_text_is_cut_between_the_special_tokens():
    assert converted(Tokens(FILE, 4), "add them add them") == ([[2, 4, 5, 3]], [[True] * 4])


def test_the_side_and_id_of_padding_are_the_files_own():
    kind = Tokens(tokenizer(direction="left", pad_id=7, pad_token="<pad>", length=99).to_str().encode(), 5)
    assert converted(kind, "add") == ([[7, 7, 2, 4, 3]], [[False, False, True, True, True]])


def test_the_side_that_is_cut_is_the_files_own():
    made = tokenizer()
    made.enable_truncation(100, direction="left")
    assert converted(Tokens(made.to_str().encode(), 3), "add them")[0] == [[2, 5, 3]]


@pytest.mark.parametrize("text", ["add them", "", " add\tthem ", "加 them 加", "add\0them", "nothing known", "🙂"])
def test_ids_are_those_of_the_library(text):
    expected = tokenizer().encode(text).ids
    ids, mask = Tokens(FILE, 16).convert(text)
    assert ids[0, : len(expected)].tolist() == expected
    assert mask[0].sum() == len(expected)


def test_half_a_character_is_no_reason_to_fail():
    assert converted(Tokens(FILE, 4), "\ud800")[0] == converted(Tokens(FILE, 4), "?")[0]


def test_what_is_no_text_is_refused():
    with pytest.raises(InputError, match="expected text as str; got bytes"):
        Tokens(FILE, 4).convert(b"add")


def test_drawn_tokens_are_of_the_vocabulary_and_padded_as_the_file_says():
    kind = Tokens(tokenizer(direction="left", pad_id=6, pad_token="x").to_str().encode(), 9)
    ids, mask = kind.draw(200, np.random.default_rng(0))
    assert (ids.dtype, mask.dtype) == (np.int64, np.bool_)
    assert ids.min() == 0
    assert ids.max() == len(WORDS) - 1
    assert set(mask.sum(axis=1)) == set(range(1, 10))
    assert (ids[~mask] == 6).all()
    assert mask[:, -1].all(), "padding stands on the left"


def test_rows_of_a_calibration_file_are_texts():
    rows = Tokens(FILE).raw_rows(np.array(["add", "them"]))
    assert rows == ["add", "them"]
    assert {type(row) for row in rows} == {str}


def test_it_takes_text_runs_on_change_and_carries_its_file():
    kind = Tokens(FILE)
    assert (kind.modality, kind.trigger, kind.assets) == ("text", "change", ("tokenizer",))


def test_a_feed_makes_tokens_of_each_text():
    (((ids, _), at_ns),) = Tokens(FILE, 4).open_feed().push("add", 7)
    assert (ids.tolist(), at_ns) == ([[2, 4, 3, 0]], 7)


def test_a_file_may_be_a_path_or_bytes_and_keeps_its_name(tmp_path):
    path = tmp_path / "words.json"
    path.write_bytes(FILE)
    assert Tokens(path).tokenizer == Tokens(str(path)).tokenizer == Asset("words.json", FILE)
    assert Tokens(FILE).tokenizer == Asset("tokenizer.json", FILE)
    assert Tokens(path).describe() == "up to 64 tokens, words.json"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((b"[1]",), "'tokenizer.json' is no tokenizer.json: it is not a JSON object"),
        ((b"",), "it is not a JSON object"),
        (("nowhere.json",), "cannot read the tokenizer.json 'nowhere.json'"),
        ((5,), "expected the path of a tokenizer.json, or its bytes; got int"),
        ((FILE, 0), "max_tokens must be a whole number"),
        ((FILE, 8, "int32"), "mask must be bool or int64"),
    ],
)
def test_what_cannot_be_declared(arguments, message):
    with pytest.raises(SpecError, match=message):
        Tokens(*arguments)


@pytest.mark.parametrize(
    ("content", "max_tokens", "message"),
    [
        (b"{}", 8, "'tokenizer.json' is no tokenizer.json: .*Model missing"),
        (FILE, 2, "adds 2 special tokens to every text"),
    ],
)
def test_what_cannot_tokenize_is_told_before_the_first_text(content, max_tokens, message):
    kind = Tokens(content, max_tokens)
    with pytest.raises(SpecError, match=message):
        kind.open_feed()


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingDependencyError, match=r"an input of kind 'tokens' needs tokenizers.*edgemm\[tokens\]"):
        Tokens(FILE).convert("add")


def test_a_tokenizer_needs_no_torch_and_no_network_client():
    code = f"""
import sys
from edgemm_plugins.inputs.tokens import Tokens
kind = Tokens({json.dumps(FILE.decode())}.encode())
assert "tokenizers" not in sys.modules
kind.convert("add them")
print(sorted({{"torch", "huggingface_hub", "requests", "httpx"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# tokenizers of strangers


def with_steps(*normalizers, **parts):
    """A tokenizer.json whose text goes through steps first."""
    content = json.loads(FILE)
    content["normalizer"] = {"type": "Sequence", "normalizers": list(normalizers)}
    for part, fields in parts.items():
        content[part] = {**(content[part] or {}), **fields}
    return json.dumps(content).encode()


def replaces(found, content):
    return {"type": "Replace", "pattern": found, "content": content}


A_HUNDRED = replaces({"String": "a"}, "a" * 100)
CHARSMAP = base64.b64encode(b"\4\0\0\0" + b"\0" * 4 + b"b\0" + b"a" * 20_000 + b"\0").decode()
PADDING = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "x" * 999}


@pytest.mark.parametrize(
    "content",
    [
        with_steps(*[A_HUNDRED] * 4),
        with_steps({"type": "Sequence", "normalizers": [A_HUNDRED, A_HUNDRED]}, A_HUNDRED),
        with_steps({"normalizers": [{"pattern": {"String": "a"}, "content": "a" * 100}] * 4}),  # no type is needed
        with_steps(*[replaces({"Regex": "."}, "aaa")] * 10),
        with_steps(*[replaces({"String": ""}, "a")] * 20),
        with_steps(*[{"type": "Prepend", "prepend": "a" * 200}] * 2),
        with_steps(*[replaces({"String": "aa"}, "ﷺ"), {"type": "NFKD"}] * 4),
        with_steps({"type": "Precompiled", "precompiled_charsmap": CHARSMAP}),
        with_steps(pre_tokenizer={"type": "Sequence", "pretokenizers": [
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False}] * 8}),
        with_steps(pre_tokenizer={"type": "Sequence", "pretokenizers": [
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}] * 8}),
    ],
)  # fmt: skip
def test_a_tokenizer_that_multiplies_texts_is_refused(content):
    with pytest.raises(
        SpecError, match=r"'tokenizer.json' is not taken: it makes texts up to .* times longer, at most 10000 are taken"
    ):
        Tokens(content).open_feed()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_steps(*[{"type": "Lowercase"}] * 101), "it takes 103 steps with each text, at most 100"),
        (with_steps(model={"unk_token": "x" * 999}), "its unk_token has 999 characters, at most 256"),
        (with_steps(padding=PADDING), "its pad_token has 999 characters, at most 256"),
        (
            with_steps(model={"max_input_chars_per_word": 10**9}),
            "its max_input_chars_per_word is 1000000000, at most 1000",
        ),
        (FILE.replace(b'"normalizer"', b'"normalizer":null,"normalizer"'), "twice|duplicate"),
    ],
)
def test_a_tokenizer_that_takes_too_much_is_refused(content, message):
    with pytest.raises(SpecError, match=message):
        Tokens(content).open_feed()


def test_the_steps_of_known_tokenizers_are_taken():
    albert = [replaces({"String": "``"}, '"'), {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]
    llama = [{"type": "Prepend", "prepend": "▁"}, replaces({"String": " "}, "▁")]
    for steps in (albert, llama):
        Tokens(with_steps(*steps)).open_feed()


@pytest.mark.parametrize("text", ["a" * (2**15 + 1), "加" * 200])
def test_a_long_text_is_refused_before_it_is_tokenized(text):
    kind = Tokens(with_steps(replaces({"String": "a"}, "a" * 9000)), 4)
    kind.convert("加" * 155)
    with pytest.raises(InputError, match=f"a text of {len(text)} characters; at most 32768, and 466 bytes"):
        kind.convert(text)


def test_a_panic_of_the_library_loses_the_text():
    class Panic(BaseException):
        pass

    class Library:
        def encode(self, text):
            raise Panic("called `Option::unwrap()`")

    kind = Tokens(FILE)
    object.__setattr__(kind, "_read", (Library(), 99))
    with pytest.raises(InputError, match="the tokenizer fails on a text of 3 characters: called"):
        kind.convert("add")
