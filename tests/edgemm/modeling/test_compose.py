"""Composing a model: which width its encoders get."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from pydantic import BaseModel
from torch import Tensor, nn

import edgemm
from edgemm.host.plugin_host import PluginHost
from edgemm.model.spec import spec_from_text
from edgemm.modeling.compose import compose

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
