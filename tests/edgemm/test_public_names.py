"""What users may import from `edgemm`, and that all of it is there."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

import edgemm

NAMES = [
    "Array",
    "Audio",
    "Batch",
    "Boxes",
    "Classes",
    "Clip",
    "CommandEntry",
    "DeviceEntry",
    "EdgeMMError",
    "EncoderEntry",
    "ExporterEntry",
    "FusionEntry",
    "HeadEntry",
    "Image",
    "Inbox",
    "InputEntry",
    "InputKind",
    "Live",
    "Model",
    "Motion",
    "ObserverEntry",
    "Option",
    "OutputEntry",
    "OutputKind",
    "Packet",
    "QuantizerEntry",
    "Result",
    "RunnerEntry",
    "SinkEntry",
    "Sound",
    "SourceEntry",
    "SourceUri",
    "Stream",
    "TaskEntry",
    "Tensor",
    "Text",
    "Tokens",
    "Trust",
    "Values",
    "__version__",
    "build",
    "doctor",
    "evaluate",
    "export",
    "hookimpl",
    "load",
    "open",
    "profile",
    "sign",
    "stream",
    "train",
    "verify",
    "wrap",
]


def test_the_public_names_are_these():
    assert edgemm.__all__ == NAMES
    assert dir(edgemm) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_name_resolves_to_what_has_that_name(name):
    value = getattr(edgemm, name)
    if name != "__version__":
        assert callable(value)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'exprot'"):
        edgemm.exprot


def test_type_checkers_see_every_lazy_name():
    tree = ast.parse(Path(edgemm.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    seen = {
        alias.name: statement.module
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert seen == edgemm._LAZY


@pytest.mark.parametrize("name", edgemm._LAZY)
def test_no_module_has_the_name_of_a_public_one(name):
    assert importlib.util.find_spec(f"edgemm.{name}") is None


def test_version_is_that_of_the_package():
    from importlib.metadata import version

    assert edgemm.__version__ == version("edgemm")
