"""The house is as docs/architecture.md draws it: rooms without circles, and small enough to live in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "edgemm"
PACKAGES = {
    "edgemm": CORE,
    "edgemm_plugins": ROOT / "plugins" / "edgemm_plugins",
    "edgemm_exporters": ROOT / "exporters" / "edgemm_exporters",
    "edgemm_devices": ROOT / "devices" / "edgemm_devices",
    "edgemm_digit_desk": ROOT / "plugins" / "digit_desk" / "edgemm_digit_desk",
}
MODULES = {
    ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__"): path
    for package, folder in PACKAGES.items()
    for path in folder.rglob("*.py")
}
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
LINES, FUNCTION_LINES, FILES = 400, 60, 9
ONE_PER_COMMAND = "cli"


def imports(path: Path) -> Iterator[str]:
    """Our modules that a file imports at its top level, where a circle would be one; types and lazy imports do not tie rooms together."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


def room(module: str) -> str:
    """`edgemm.runtime.steps` lives in `edgemm.runtime`."""
    return ".".join(module.split(".")[:2])


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """A way from a place back to itself; empty where there is none."""
    done: set[str] = set()

    def walk(place: str, way: list[str]) -> list[str]:
        if place in way:
            return [*way[way.index(place) :], place]
        if place in done:
            return []
        for following in sorted(arrows.get(place, ())):
            found = walk(following, [*way, place])
            if found:
                return found
        done.add(place)
        return []

    return next((found for place in sorted(arrows) if (found := walk(place, []))), [])


def test_no_modules_import_each_other_in_a_circle():
    assert circle({name: {i for i in imports(path) if i in MODULES} - {name} for name, path in MODULES.items()}) == []


def test_no_rooms_import_each_other_in_a_circle():
    arrows: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        if name not in PACKAGES:  # a package's face hands on names from everywhere
            arrows.setdefault(room(name), set()).update(room(i) for i in imports(path) if i in MODULES)
    assert circle({name: others - {name} for name, others in arrows.items()}) == []


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


@pytest.mark.parametrize("name", MODULES)
def test_a_file_holds_one_idea(name):
    path = MODULES[name]
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert {function: lines for function, lines in long.items() if lines > FUNCTION_LINES} == {}


@pytest.mark.parametrize("folder", sorted({path.parent for path in CORE.rglob("*.py")}), ids=lambda f: f.name)
def test_a_room_is_not_crowded(folder):
    files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(files) <= FILES or folder.name == ONE_PER_COMMAND, sorted(path.name for path in files)


def test_the_page_draws_every_room_and_no_other():
    drawn = set(re.findall(r"^      (\w+)/ ", PAGE, re.MULTILINE))
    assert drawn == {path.name for path in CORE.iterdir() if (path / "__init__.py").is_file()}


def test_the_page_names_the_rooms_of_the_plugins():
    line = re.search(r"plugins/edgemm_plugins/ +(.*)", PAGE)
    assert line
    folders = {path.name for path in PACKAGES["edgemm_plugins"].iterdir() if (path / "__init__.py").is_file()}
    assert set(line[1].split()) == folders


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:edgemm|tests)/[\w/]+\.py)`", PAGE))))
def test_every_file_that_the_page_names_is_there(name):
    assert (ROOT / name).is_file()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:model|runtime|exporting)/\w+\.py)`", PAGE))))
def test_every_file_that_the_page_names_in_the_core_is_there(name):
    assert (CORE / name).is_file()
