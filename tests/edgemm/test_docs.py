"""The documentation says what the code does."""

from __future__ import annotations

import inspect
import pkgutil
import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

import edgemm
from edgemm import testing
from edgemm.cli.commands import COMMANDS
from edgemm.cli.run import EXAMPLES
from edgemm.host import entries, hookspecs
from edgemm.host.options import checked_options, options_from_text
from edgemm.host.plugin_host import ENTRY_KINDS
from edgemm.streaming.interfaces import Observer
from edgemm.streaming.sources import QUEUE_OPTIONS
from edgemm.testing import faults
from edgemm.testing.faults import fixtures, servers

ROOT = Path(__file__).parents[2]
PLUGINS = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
HOOKS = {name: function for name, function in vars(hookspecs).items() if name.startswith("edgemm_")}
RECORDS = {kind.record.__name__ for kind in ENTRY_KINDS.values()}


def kind_of(hook) -> str:
    return "decides" if hook.edgemm_spec["firstresult"] else "yields"


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented_as_it_is(name):
    arguments = ", ".join(inspect.signature(HOOKS[name]).parameters)
    assert f"| `{name}({arguments})` | {kind_of(HOOKS[name])} | {inspect.getdoc(HOOKS[name])} |" in PLUGINS


def test_no_other_hook_is_documented():
    assert set(re.findall(r"^\| `(edgemm_\w+)\(", PLUGINS, re.MULTILINE)) == set(HOOKS)


def test_every_hook_that_yields_is_collected():
    assert {kind.hook for kind in ENTRY_KINDS.values()} == {
        name for name, hook in HOOKS.items() if kind_of(hook) == "yields"
    }


def test_every_record_is_documented():
    assert set(re.findall(r"^\| `(\w+Entry)` \|", PLUGINS, re.MULTILINE)) == RECORDS


def test_every_record_is_public():
    assert set(edgemm.__all__) >= RECORDS


@pytest.mark.parametrize("name", [name for name in vars(Observer) if name.startswith("on_")])
def test_every_callback_of_an_observer_is_documented(name):
    assert f"`{name}`" in PLUGINS


@pytest.mark.parametrize("option", QUEUE_OPTIONS, ids=lambda option: option.name)
def test_every_option_of_any_uri_is_documented(option):
    assert f"`{option.name}`" in PLUGINS
    for choice in filter(None, option.choices):
        assert f"`{choice}`" in PLUGINS
        assert choice in EXAMPLES


def test_the_options_of_the_example_are_accepted():
    (code,) = re.findall(r"def edgemm_sinks\(\):\n(    yield .*?)```", PLUGINS, re.DOTALL)
    entry = eval(textwrap.dedent(code).removeprefix("yield"), {"edgemm": edgemm})
    (words,) = re.findall(r"`--sink mqtt:(.*?)`", PLUGINS)
    assert checked_options("sink", entry.options, options_from_text(words, "")) == {
        "topic": "desk",
        "timeout_s": 5.0,
        "qos": "1",
    }


def test_the_hook_api_is_documented():
    assert f"at present {entries.HOOK_API};" in PLUGINS


@pytest.mark.parametrize("name", [name for name in testing.__all__ if name.startswith("check_")])
def test_every_check_is_documented(name):
    assert f"`{name}`" in PLUGINS


@pytest.mark.parametrize("module", [faults, servers, fixtures], ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_fault_server_and_fixture_is_documented(module):
    assert [name for name in module.__all__ if not re.search(rf"\b{name}\b", PLUGINS) and name != "LOGIN"] == []


def test_the_changelog_has_this_version():
    assert re.search(rf"^## \[{re.escape(edgemm.__version__)}\]", CHANGELOG, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_changelog(name):
    assert f"`edgemm {name}`" in CHANGELOG


def test_every_make_target_of_the_documents_exists():
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    documents = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    named = {name for path in documents for name in re.findall(r"`make ([a-z0-9]+)", path.read_text(encoding="utf-8"))}
    assert named <= targets
    assert {
        "help",
        "venv",
        "demo",
        "test",
        "quick",
        "oldest",
        "aarch64",
        "fuzz",
        "mutants",
        "check",
        "fix",
        "bench",
        "data",
        "clean",
    } <= targets


def test_the_kind_of_the_example_keeps_its_contract(monkeypatch):
    (code,) = re.findall(r"<!-- test: kind -->\n```python\n(.*?)```", PLUGINS, re.DOTALL)
    module = ModuleType("current")
    monkeypatch.setitem(sys.modules, "current", module)
    exec(compile(code, "current.py", "exec"), vars(module))
    (entry,) = module.edgemm_inputs()
    testing.check_input(pkgutil.resolve_name(entry.factory)())
