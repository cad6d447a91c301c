"""Files that a model.toml names, on their way through a checkpoint."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import edgemm
import edgemm_plugins.fusion
import edgemm_plugins.heads
from edgemm.errors import CheckpointError, SpecError
from edgemm.host.plugin_host import PluginHost
from edgemm.modeling.checkpoint import about, load, save
from edgemm.modeling.compose import compose
from edgemm.modeling.spec import spec_from_file, spec_from_text
from edgemm_plugins.inputs.tokens import Tokens

SPEC = """
[model]
name = "words"
width = 8
[inputs.text]
kind = "tokens"
tokenizer = "words/en.json"
max_tokens = 4
[encoders.text]
use = "text.words"
[fusion]
use = "fusion.concat"
[heads.answer]
use = "heads.classify"
labels = ["no", "yes"]
"""
FILE = json.dumps(
    {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}}
).encode()


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(2, 8)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.embed(ids), mask


@pytest.fixture
def host(monkeypatch):
    """Our plugins, and an encoder of ids."""
    module = ModuleType("words_of_this_test")
    module.build = lambda *_: Words()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entry = edgemm.EncoderEntry("text.words", f"{module.__name__}:build", modality="text")
    hook = edgemm.hookimpl(specname="edgemm_encoders")(lambda: [entry])
    host = PluginHost(only=(), strict=True)
    plugins = (edgemm_plugins.fusion, edgemm_plugins.heads, SimpleNamespace(edgemm_encoders=hook))
    for number, plugin in enumerate(plugins):
        host.register(plugin, f"plugin {number}")
    return host


@pytest.fixture
def model_toml(tmp_path):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "en.json").write_bytes(FILE)
    (tmp_path / "model.toml").write_text(SPEC)
    return tmp_path / "model.toml"


def test_a_file_is_looked_for_beside_the_model_toml(model_toml):
    assert spec_from_file(model_toml).input_specs == {"text": Tokens(model_toml.parent / "words" / "en.json", 4)}


def test_a_missing_file_is_told_with_its_line(model_toml):
    (model_toml.parent / "words" / "en.json").unlink()
    with pytest.raises(SpecError, match=r"model\.toml, line 7: inputs\.text: tokenizer: cannot read"):
        spec_from_file(model_toml)


def test_a_model_that_is_saved_and_loaded_elsewhere_has_its_files(model_toml, host):
    model = compose(spec_from_file(model_toml), host)
    (model_toml.parent / "words" / "en.json").unlink()
    path = save(model, model_toml.parent / "words.safetensors")
    again = load(path, host=host)
    assert again.graph.inputs["text"].tokenizer.content == FILE
    assert again.state_dict().keys() == model.state_dict().keys()
    save(again, path)  # as training does that goes on
    assert load(path, host=host).graph == model.graph


def test_a_checkpoint_without_its_file_does_not_take_one_of_this_machine(model_toml, host, monkeypatch):
    monkeypatch.chdir(model_toml.parent)
    model = compose(spec_from_file(model_toml), host)
    monkeypatch.setattr("edgemm.modeling.checkpoint.files_of_spec", lambda spec: {})
    path = save(model, model_toml.parent / "words.safetensors")
    with pytest.raises(CheckpointError, match=r"lacks the file 'words/en\.json'"):
        load(path, host=host)


def test_a_spec_without_a_place_opens_no_file(model_toml, monkeypatch):
    monkeypatch.chdir(model_toml.parent)
    with pytest.raises(SpecError, match=r"there is no folder to look for the file .words/en\.json. in"):
        spec_from_text(SPEC)


def checkpoint(path, **metadata):
    save_file({"w": torch.zeros(1)}, path, metadata)
    return path


def test_a_checkpoint_that_lost_its_specification_says_so(tmp_path):
    path = checkpoint(tmp_path / "c.safetensors", format="edgemm-checkpoint-1")
    with pytest.raises(CheckpointError, match="holds weights but no EdgeMM model specification"):
        load(path)


@pytest.mark.parametrize("told", ["{", "NaN", "[1]", '{"a": 1, "a": 2}', "[" * 100_000])
def test_what_a_checkpoint_remembers_is_a_table_or_refused(tmp_path, told):
    path = checkpoint(tmp_path / "c.safetensors", about=told)
    with pytest.raises(CheckpointError, match="remembers of itself"):
        about(path)


def test_a_checkpoint_that_is_not_there_remembers_nothing(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"x")
    for name in ("none.safetensors", "broken.safetensors"):
        with pytest.raises(CheckpointError, match=f"cannot read what the checkpoint '.*{name}' remembers"):
            about(tmp_path / name)


def test_a_checkpoint_that_was_told_nothing_remembers_nothing(tmp_path):
    assert about(checkpoint(tmp_path / "c.safetensors", format="other")) == {}
