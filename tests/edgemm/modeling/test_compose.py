"""Composing a model: which width its encoders get, and which inputs they take."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from pydantic import BaseModel
from torch import Tensor, nn

import edgemm
from edgemm.errors import SpecError
from edgemm.host.plugin_host import PluginHost
from edgemm.modeling.compose import compose
from edgemm.modeling.spec import spec_from_text

SPEC = """
[model]
name = "small"
width = 24
[inputs.image]
kind = "image"
height = 2
width = 2
[encoders.image]
use = "{encoder}"
{options}
[fusion]
use = "any.fusion"
[heads.answer]
use = "any.head"
"""


class WithWidth(BaseModel, extra="forbid"):
    width: int = 7


class WithoutWidth(BaseModel, extra="forbid"):
    depth: int = 1


class Module(nn.Module):
    """Keeps what it was made with."""

    def __init__(self, *made_with):
        super().__init__()
        self.made_with = made_with

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.fixture
def host(monkeypatch):
    module = ModuleType("parts_of_this_test")
    module.Module, module.WithWidth, module.WithoutWidth = Module, WithWidth, WithoutWidth
    monkeypatch.setitem(sys.modules, module.__name__, module)
    factory = f"{module.__name__}:Module"

    @edgemm.hookimpl
    def edgemm_encoders():
        yield edgemm.EncoderEntry("with.width", factory, config=f"{module.__name__}:WithWidth")
        yield edgemm.EncoderEntry("without.width", factory, config=f"{module.__name__}:WithoutWidth")
        yield edgemm.EncoderEntry("without.config", factory)
        yield edgemm.EncoderEntry("of.text", factory, modality="text")
        yield edgemm.EncoderEntry("of.images", factory, modality="image")

    @edgemm.hookimpl
    def edgemm_fusions():
        yield edgemm.FusionEntry("any.fusion", factory)

    @edgemm.hookimpl
    def edgemm_heads():
        yield edgemm.HeadEntry("any.head", factory)

    made = PluginHost(strict=True, only=())
    made.register(SimpleNamespace(**{f.__name__: f for f in (edgemm_encoders, edgemm_fusions, edgemm_heads)}), "parts")
    return made


def configuration(host, encoder, options=""):
    model = compose(spec_from_text(SPEC.format(encoder=encoder, options=options)), host)
    assert model.fusion.made_with[-1] == model.heads["answer"].made_with[-1] == 24
    return model.encoders["image"].made_with[0]


def test_an_encoder_whose_options_have_a_width_gets_the_model_s(host):
    assert configuration(host, "with.width") == WithWidth(width=24)


def test_a_width_in_the_model_toml_is_kept(host):
    assert configuration(host, "with.width", "width = 5") == WithWidth(width=5)


@pytest.mark.parametrize(("encoder", "options"), [("without.width", WithoutWidth()), ("without.config", {})])
def test_an_encoder_without_such_an_option_is_left_alone(host, encoder, options):
    assert configuration(host, encoder) == options


def test_an_encoder_of_the_input_s_modality_is_taken(host):
    assert compose(spec_from_text(SPEC.format(encoder="of.images", options="")), host).encoders["image"].made_with


def test_an_encoder_of_another_modality_is_refused_with_those_that_fit(host):
    message = (
        r"line 10: encoders\.image\.use: 'of\.text' encodes text, but input 'image' \(kind 'image'\) is image\n"
        r"  encoders for image: of\.images, with\.width, without\.config, without\.width$"
    )
    with pytest.raises(SpecError, match=message) as caught:
        compose(spec_from_text(SPEC.format(encoder="of.text", options="")), host)
    assert caught.value.path == ("encoders", "image", "use")


def test_a_wrong_option_of_a_node_is_told_with_its_line_and_what_there_is(host):
    node = "[[node]]\nname = 'image'\nuse = 'without.width'\nwide = 3\nreads = { x = 'input.image' }"
    text = SPEC.replace('[encoders.image]\nuse = "{encoder}"\n{options}', node)
    with pytest.raises(SpecError, match=r"line 12: node\.0\.wide: there is no such key; there are: depth$"):
        compose(spec_from_text(text), host)
