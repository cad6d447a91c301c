"""A broken plugin is listed, and everything else works."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pluggy
import pytest

import edgemm
from edgemm.errors import MissingDependencyError, PluginError, UnknownNameError
from edgemm.host import hookspecs
from edgemm.host.entries import EncoderEntry, Entry, SourceEntry
from edgemm.host.marker import hookimpl
from edgemm.host.plugin_host import ENTRY_KINDS, Failure, PluginHost

GOOD = """
import edgemm

@edgemm.hookimpl
def edgemm_encoders():
    yield edgemm.EncoderEntry(name="good.one", modality="depth", factory="good_plugin:build", summary="works")

def build():
    return "made"
"""
BROKEN = {
    "import_error": "import a_module_that_nobody_has\n",
    "exits": "import sys\nsys.exit('not today')\n",
    "wrong_signature": """
import edgemm

@edgemm.hookimpl
def edgemm_encoders(surprise):
    yield None
""",
    "raises": """
import edgemm

@edgemm.hookimpl
def edgemm_encoders():
    yield edgemm.EncoderEntry(name="raises.first", modality="depth", factory="x:y")
    raise RuntimeError("halfway")
""",
    "duplicate": """
import edgemm

@edgemm.hookimpl
def edgemm_sources():
    yield edgemm.SourceEntry(name="media_file", factory="duplicate_plugin:take_over", schemes=("file",))
    yield edgemm.SourceEntry(name="duplicate.own", factory="duplicate_plugin:own", schemes=("own",))
""",
    "old_api": """
import edgemm

@edgemm.hookimpl
def edgemm_encoders():
    yield edgemm.EncoderEntry(name="old.one", modality="depth", factory="x:y", api=0)
""",
    "typo": """
import edgemm

@edgemm.hookimpl
def edgemm_encodres():
    yield None
""",
    "no_record": """
import edgemm

@edgemm.hookimpl
def edgemm_encoders():
    yield "depth.cnn"
""",
    "bad_name": """
import edgemm

@edgemm.hookimpl
def edgemm_encoders():
    yield edgemm.EncoderEntry(name="Bad Name!", modality="depth", factory="x:y")
""",
}
EXPECTED = {
    "import_error": ("import", "No module named 'a_module_that_nobody_has'"),
    "exits": ("import", "sys.exit('not today')"),
    "wrong_signature": ("registration", "Plugin 'wrong_signature' for hook 'edgemm_encoders'"),
    "raises": ("edgemm_encoders", "RuntimeError: halfway"),
    "duplicate": ("edgemm_sources", "source 'media_file' is already provided by plugin 'sources'"),
    "old_api": ("edgemm_encoders", "'old.one' was written for hook API 0; this EdgeMM has 1"),
    "typo": ("registration", "there is no hook 'edgemm_encodres'"),
    "no_record": ("edgemm_encoders", "yielded str, not an edgemm entry"),
    "bad_name": ("edgemm_encoders", "'Bad Name!' is not a name"),
}


def install(folder: Path, name: str, code: str) -> None:
    """A distribution with one plugin, as pip would leave it."""
    (folder / f"{name}_plugin.py").write_text(code)
    info = folder / f"{name}_dist-1.2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 1.2.3\n")
    (info / "entry_points.txt").write_text(f"[edgemm]\n{name} = {name}_plugin\n")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed distributions: one good, all of the broken ones."""
    install(tmp_path, "good", GOOD)
    for name, code in BROKEN.items():
        install(tmp_path, name, code)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in (*BROKEN, "good"):
        sys.modules.pop(f"{name}_plugin", None)


def failures_of(host: PluginHost, plugin: str) -> list[Failure]:
    for record in (EncoderEntry, SourceEntry):
        host.entries(record)
    return [failure for failure in host.failures if failure.plugin == plugin]


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_plugin_is_recorded_once_with_its_provider(site, name):
    (failure,) = failures_of(PluginHost().discover(), name)
    stage, text = EXPECTED[name]
    assert failure.stage == stage
    assert text in failure.error
    assert failure.distribution == f"{name}-dist 1.2.3"


@pytest.mark.parametrize("options", [{}, {"specname": "edgemm_inputs"}, {"tryfirst": True}, {"trylast": True}])
def test_an_implementation_is_marked_as_pluggy_marks_it(options):
    theirs = vars(pluggy.HookimplMarker("edgemm")(**options)(lambda: 1))
    assert vars(hookimpl(**options)(lambda: 1)) == theirs


def test_an_implementation_may_be_marked_without_parentheses():
    assert vars(hookimpl(lambda: 1)) == vars(pluggy.HookimplMarker("edgemm")(lambda: 1))


def test_everything_else_works_beside_all_of_them(site):
    host = PluginHost().discover()
    assert host.load(EncoderEntry, "good.one")() == "made"
    assert host.find(SourceEntry, "media_file").distribution.startswith("edgemm ")
    assert host.find(SourceEntry, "duplicate.own").plugin == "duplicate"
    assert not {"old.one", "Bad Name!", "raises.first"} & set(host.entries(EncoderEntry))


def test_a_plugin_with_a_wrong_hook_is_not_left_half_registered(site):
    host = PluginHost().discover()
    host.entries(EncoderEntry)
    assert "wrong_signature" not in host.plugins
    assert not host._manager.has_plugin("wrong_signature")
    assert "good" in host.plugins


@pytest.mark.parametrize("name", BROKEN)
def test_strict_raises_at_the_first_failure(site, name):
    def strictly() -> None:
        host = PluginHost(strict=True, only=["sources", name]).discover()
        host.entries(EncoderEntry)
        host.entries(SourceEntry)

    with pytest.raises(PluginError) as caught:
        strictly()
    assert f"{name}-dist 1.2.3" in str(caught.value)


def test_the_command_lists_them_and_works(site):
    command = [sys.executable, "-m", "edgemm", "plugins", "--json"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    listing = json.loads(done.stdout)
    assert {failure["plugin"] for failure in listing["failures"]} == set(BROKEN)
    assert {"good.one", "media_file"} <= {entry["name"] for entry in listing["entries"]}


def test_the_command_is_strict_when_asked(site):
    command = [sys.executable, "-m", "edgemm", "plugins", "--strict"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert f"{len(BROKEN)} failure(s)" in done.stdout


def test_environment_is_an_allow_list(site, monkeypatch):
    monkeypatch.setenv("EDGEMM_PLUGINS", "good, sources")
    host = PluginHost().discover()
    assert sorted(host.plugins) == ["good", "sources"]
    assert host.failures == []
    monkeypatch.setenv("EDGEMM_PLUGINS", "none")
    assert PluginHost().discover().plugins == {}


def test_keyboard_interrupt_is_not_swallowed(tmp_path, monkeypatch):
    install(tmp_path, "interrupted", "raise KeyboardInterrupt\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        PluginHost(only=["interrupted"]).discover()


def encoders(*entries):
    @edgemm.hookimpl
    def edgemm_encoders():
        return list(entries)

    return SimpleNamespace(edgemm_encoders=edgemm_encoders)


def test_an_entry_of_a_subclass_is_accepted():
    @dataclass(frozen=True)
    class NamedEncoder(edgemm.EncoderEntry):
        author: str = ""

    host = PluginHost(only=[])
    host.register(encoders(NamedEncoder("a.b", author="ann")), "one")
    assert host.find(EncoderEntry, "a.b").entry.author == "ann"


def test_a_record_of_another_kind_is_refused():
    host = PluginHost(only=[])
    host.register(encoders(edgemm.FusionEntry("a.b")), "one")
    assert host.entries(EncoderEntry) == {}
    assert host.failures[0].error == "yielded edgemm.host.entries.FusionEntry 'a.b', which is no edgemm.EncoderEntry"


def test_a_foreign_class_of_the_same_name_is_refused():
    @dataclass(frozen=True)
    class EncoderEntry(Entry):
        modality: str = ""

    host = PluginHost(only=[])
    host.register(encoders(EncoderEntry("a.b")), "one")
    assert host.entries(edgemm.EncoderEntry) == {}
    assert host.failures[0].error == f"yielded {__name__}.EncoderEntry 'a.b', which is no edgemm.EncoderEntry"


def test_what_no_hook_yields_cannot_be_asked_for():
    with pytest.raises(PluginError, match=r"no hook yields 'encoder'.*EncoderEntry, FusionEntry"):
        PluginHost(only=[]).entries("encoder")


@pytest.mark.parametrize("kind", ENTRY_KINDS.values(), ids=lambda kind: kind.name)
def test_a_hook_yields_the_record_of_its_kind(kind):
    declared = inspect.get_annotations(getattr(hookspecs, kind.hook))["return"]
    assert declared == f"Iterable[entries.{kind.record.__name__}]"
    assert kind.record.__name__ == f"{kind.name.capitalize()}Entry"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"schemes": "eye"}, "'eye': schemes must be a tuple, got the text 'eye'"),
        ({"requires": "torch"}, "'eye': requires must be a tuple, got the text 'torch'"),
        ({"options": ("size",)}, "'eye': options must be edgemm.Option, got str"),
        (
            {"options": (edgemm.Option("a size", 1),)},
            "'eye': option 'a size': expected a name of letters, digits and '_', once",
        ),
        ({"options": (edgemm.Option("n", 1), edgemm.Option("n", 2))}, "'eye': option 'n': expected a name .*, once"),
        (
            {"options": (edgemm.Option("n", None),)},
            "'eye': option n: its default must be a text, a number or .*, got None",
        ),
    ],
)
def test_a_record_that_would_fail_when_it_is_used_or_listed_is_refused(options, problem):
    @edgemm.hookimpl
    def edgemm_sources():
        yield edgemm.SourceEntry("eye", "json:loads", **options)

    host = PluginHost(only=[])
    host.register(SimpleNamespace(edgemm_sources=edgemm_sources), "one")
    assert host.entries(SourceEntry) == {}
    assert re.fullmatch(problem, host.failures[0].error)


def test_the_first_to_register_a_name_keeps_it():
    host = PluginHost(only=[])
    host.register(encoders(edgemm.EncoderEntry("a.b", factory="first:x")), "first", "one 1")
    host.register(encoders(edgemm.EncoderEntry("a.b", factory="second:x")), "second", "two 2")
    assert host.find(EncoderEntry, "a.b").entry.factory == "first:x"
    assert "already provided by plugin 'first' (one 1)" in host.failures[0].error


def test_a_plugin_name_can_be_had_once():
    host = PluginHost(only=[])
    assert host.register(encoders(), "same")
    assert not host.register(encoders(), "same")
    assert "a plugin named 'same' exists" in host.failures[0].error


def test_an_entry_without_its_package_says_what_to_install():
    host = PluginHost(only=[])
    entry = edgemm.EncoderEntry("a.b", factory="json:loads", requires=("module_nobody_has",), extra="media")
    host.register(encoders(entry), "one")
    with pytest.raises(
        MissingDependencyError, match=r"'a\.b' \(plugin 'one'\) needs module_nobody_has: pip install 'edgemm\[media\]'"
    ):
        host.load(EncoderEntry, "a.b")


def test_a_factory_that_cannot_be_imported_names_its_provider():
    host = PluginHost(only=[])
    host.register(encoders(edgemm.EncoderEntry("a.b", factory="json:no_such_thing")), "one", "one-dist 1.0")
    with pytest.raises(
        PluginError, match=r"'a\.b' \(plugin 'one'\) of one-dist 1\.0 could not load 'json:no_such_thing'"
    ):
        host.load(EncoderEntry, "a.b")


def test_an_unknown_name_lists_the_known_and_the_nearest():
    host = PluginHost(only=[])
    host.register(encoders(edgemm.EncoderEntry("depth.cnn"), edgemm.EncoderEntry("imu.gru")), "one")
    with pytest.raises(UnknownNameError) as caught:
        host.load(EncoderEntry, "depth.cn")
    assert "did you mean 'depth.cnn'?" in str(caught.value)
    assert "depth.cnn, imu.gru" in str(caught.value)


def test_a_deciding_hook_that_raises_is_recorded_and_the_next_is_asked():
    def decides(answer):
        class Deciding:
            @staticmethod
            @edgemm.hookimpl
            def edgemm_detect_device(machine):
                if isinstance(answer, Exception):
                    raise answer
                return answer

        return Deciding

    host = PluginHost(only=[])
    host.register(decides("rtx-4090"), "knows")
    host.register(decides(ValueError("no idea")), "fails")
    host.register(decides(None), "silent")
    assert host.first_result("edgemm_detect_device", machine=None) == "rtx-4090"
    assert [failure.plugin for failure in host.failures] == ["fails"]
