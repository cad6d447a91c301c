"""Two tiers: `make quick` leaves out what is marked `export`, `engines`, `packaging` or `slow`; `make test` runs everything.

Marks are given by hand or, where a test shows what it does, here: by its folder, by what it says it needs, and by the text of the test and
of the fixtures it uses. What escapes that is caught when it happens: a test that exports without the mark fails and says so.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

EXPORTS = re.compile(r"\b(?:edgemm|torch\.onnx)\.export\(|\bonnx_from_torch\(|\bcheck_(?:encoder|fusion|head)\(")
COMPILES = re.compile(r"tensorrt[_-]rtx")  # tests that need the real compiler say so where they skip without it
_running: list[pytest.Item] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is seen to be heavy."""
    for item in items:
        if "packaging" in Path(item.path).parts:
            item.add_marker(pytest.mark.packaging)
        if any(EXPORTS.search(text) for text in _texts(item)):
            item.add_marker(pytest.mark.export)
        if any(COMPILES.search(str(mark.kwargs.get("reason"))) for mark in item.iter_markers("skipif")):
            item.add_marker(pytest.mark.engines)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """While a test runs with its fixtures, it answers for what is exported."""
    _guard_export()
    _running.append(item)
    try:
        return (yield)
    finally:
        _running.pop()


def _texts(item: pytest.Item) -> Iterator[str]:
    """The source of a test and of its fixtures."""
    if isinstance(item, pytest.Function):
        property_test = getattr(item.function, "hypothesis", None)  # which hides the function that was written
        yield _text(property_test.inner_test if property_test else item.function)
        for definitions in item._fixtureinfo.name2fixturedefs.values():
            yield _text(definitions[-1].func)


@cache
def _text(function: FunctionType) -> str:
    """The source of a function and of the functions of its module that it uses."""
    used = [function]
    for one in used:  # grows on the way
        for name in one.__code__.co_names:
            other = one.__globals__.get(name)
            if isinstance(other, FunctionType) and other.__module__ == function.__module__ and other not in used:
                used.append(other)
    return "\n".join(_source(one) for one in used)


def _source(function: FunctionType) -> str:
    try:
        return inspect.getsource(function)
    except OSError:  # made by a library, as a strategy is
        return ""


def _guard_export() -> None:
    """Torch's exporter, once torch is loaded, refuses to work for a test that is not marked."""
    if "torch" not in sys.modules:
        return
    from torch import onnx

    export = onnx.export
    if getattr(export, "guarded", False):
        return

    def guarded(*args: Any, **options: Any) -> Any:
        if _running and _running[-1].get_closest_marker("export") is None:
            pytest.fail(f"{_running[-1].nodeid} exports through torch: mark it with @pytest.mark.export", pytrace=False)
        return export(*args, **options)

    guarded.guarded = True
    onnx.export = guarded
