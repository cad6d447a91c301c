"""Who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = sorted((ROOT / "edgemm").rglob("*.py"))
DEVICE_ROOMS = ("inputs", "outputs", "bundle", "runners", "runtime", "streaming", "checking")
DEVICE_SIDE = [path for path in CORE if path.relative_to(ROOT / "edgemm").parts[0] in DEVICE_ROOMS]
PACKAGES = {
    "edgemm": ROOT,
    "edgemm_plugins": ROOT / "plugins",
    "edgemm_exporters": ROOT / "exporters",
    "edgemm_devices": ROOT / "devices",
}
OUTSIDE = ("edgemm_plugins", "edgemm_exporters", "edgemm_devices", "edgemm_digit_desk")
TORCH_SIDE = (
    "torch",
    "onnx",
    "onnxscript",
    "safetensors",
    "edgemm.modeling",
    "edgemm.exporting",
    "edgemm.training",
    "edgemm.testing",
    "pydantic",
)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, except for types only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def belongs(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_never_imports_plugins_exporters_or_devices(path):
    assert [module for module in imports(path) if belongs(module, OUTSIDE)] == []


@pytest.mark.parametrize("path", DEVICE_SIDE, ids=name_of)
def test_what_runs_on_a_device_never_imports_the_torch_side(path):
    assert [module for module in imports(path) if belongs(module, TORCH_SIDE)] == []


def test_there_is_something_to_check():
    assert len(CORE) > 40
    assert len(DEVICE_SIDE) > 15


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(package):
    assert (PACKAGES[package] / package / "py.typed").is_file()


@pytest.mark.parametrize("folder", ["plugins", "exporters", "devices", "tests"])
def test_a_room_is_no_package(folder):
    assert not (ROOT / folder / "__init__.py").exists()


def test_nothing_on_disk_is_a_pickle():
    wrong = [".pt", ".pth", ".pkl", ".pickle", ".joblib"]
    found = [
        path
        for room in ("edgemm", *("plugins", "exporters", "devices"))
        for path in (ROOT / room).rglob("*")
        if path.suffix in wrong
    ]
    assert found == []


def test_the_plugin_host_names_nothing_of_the_rooms_above_it():
    below = (
        "edgemm.host",
        "edgemm.assets",
        "edgemm.errors",
        "edgemm.tensors",
        "edgemm.uris",
        "edgemm.machine.machine",
    )  # the last is data, and imports nothing
    named = {
        (path.name, module)
        for path in (ROOT / "edgemm" / "host").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (module := node.module or "").startswith("edgemm")
    }
    assert {(file, module) for file, module in named if not belongs(module, below)} == set()
