"""A kind by its name, without a scan of what is installed."""

from __future__ import annotations

import sys

import pytest

import edgemm_plugins.inputs
import edgemm_plugins.outputs
from edgemm.errors import MissingDependencyError, PluginError, UnknownNameError
from edgemm.host.named import INDEX, Provider, class_of_kind, entries_of, provider_of
from edgemm.host.plugin_host import default_host

PLUGIN = """
from dataclasses import dataclass
import edgemm

@edgemm.hookimpl
def edgemm_inputs():
    yield edgemm.InputEntry("far", "far_away:Far")
    yield edgemm.InputEntry("needy", "far_away:Far", requires=("a_module_that_nobody_has",), extra="more")
    yield edgemm.InputEntry("typo", "far_away:Fra")
    yield edgemm.InputEntry("function", "far_away:edgemm_inputs")

@edgemm.hookimpl(specname="edgemm_inputs")
def others():
    yield edgemm.InputEntry("other", "far_away:Far")

@dataclass(frozen=True)
class Far(edgemm.InputKind):
    kind = "far"
"""
FAR = Provider("far-dist", "far")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a distribution `far-dist` with a plugin `far`, whose module has this content."""

    def write(content=PLUGIN, plugin="far", module="far_away"):
        (tmp_path / "far_away.py").write_text(content)
        info = tmp_path / "far_dist-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: far-dist\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[edgemm]\n{plugin} = {module}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    class_of_kind.cache_clear()
    default_host.cache_clear()
    yield write
    class_of_kind.cache_clear()
    default_host.cache_clear()
    sys.modules.pop("far_away", None)


def test_the_index_is_what_our_plugins_register():
    registered = {("input", entry.name): entry.factory for entry in edgemm_plugins.inputs.edgemm_inputs()}
    registered |= {("output", entry.name): entry.factory for entry in edgemm_plugins.outputs.edgemm_outputs()}
    assert registered == INDEX


def test_our_own_are_not_looked_up(monkeypatch):
    monkeypatch.setattr("edgemm.host.plugin_host.default_host", lambda: pytest.fail("it was asked"))
    assert class_of_kind("input", "image").kind == "image"
    assert provider_of("input", "image") is None


@pytest.mark.parametrize("name", ["far", "other"])
def test_another_s_kind_is_found_by_its_provider_alone(install, monkeypatch, name):
    install()
    monkeypatch.setattr("edgemm.host.plugin_host.default_host", lambda: pytest.fail("it was asked"))
    assert class_of_kind("input", name, FAR).__module__ == "far_away"


def test_the_provider_of_another_s_kind_is_told(install):
    install()
    assert provider_of("input", "other") == FAR


def test_a_provider_cannot_take_over_a_kind_of_ours(install):
    install(PLUGIN.replace('"far",', '"image",'))
    assert class_of_kind("input", "image", FAR).__module__ == "edgemm_plugins.inputs.image"


def test_a_distribution_that_is_not_here_is_named(install):
    install()
    with pytest.raises(MissingDependencyError) as caught:
        class_of_kind("input", "far", Provider("near-dist", "far"))
    assert str(caught.value) == "inputs of kind 'far' need the distribution 'near-dist': pip install near-dist"


@pytest.mark.parametrize(
    "distribution", ["", "../far", "far dist", "far\x1b[2J", "--index-url=x", "far-dist\n", "x" * 101]
)
def test_what_is_no_name_of_a_distribution_is_not_looked_up(install, distribution):
    install()
    with pytest.raises(PluginError, match="which is no name of a distribution") as caught:
        class_of_kind("input", "far", Provider(distribution, "far"))
    assert str(caught.value).isprintable()


def test_a_package_that_a_kind_needs_is_named(install):
    install()
    with pytest.raises(MissingDependencyError, match=r"'needy' \(plugin 'far'\) needs a_module_that_nobody_has"):
        class_of_kind("input", "needy", FAR)


@pytest.mark.parametrize(
    ("name", "provider", "message"),
    [
        ("gone", FAR, "unknown kind of input 'gone'.*\n.*\n.*'far-dist' does not bring it any more"),
        ("far", Provider("far-dist", "near"), "unknown plugin 'near'.*\n.*\n.*'far-dist' does not have it any more"),
    ],
)
def test_what_a_distribution_has_no_more_is_told(install, name, provider, message):
    install()
    with pytest.raises(UnknownNameError, match=message):
        class_of_kind("input", name, provider)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import a_module_that_nobody_has", "'far' of far-dist failed at import: ModuleNotFoundError"),
        ("import sys; sys.exit('not today')", "'far' of far-dist failed at import: .*not today"),
        (PLUGIN.replace("yield edgemm", "raise RuntimeError('halfway')\n    yield edgemm"), "RuntimeError: halfway"),
        (
            PLUGIN.replace('edgemm.InputEntry("far"', 'str("far"').replace(', "far_away:Far")', ")", 1),
            "was not written for hook API",
        ),
        (PLUGIN.replace('"far_away:Far")', '"far_away:Far", api=2)', 1), "was not written for hook API 1"),
    ],
)
def test_a_plugin_that_fails_is_named(install, content, message):
    install(content)
    with pytest.raises(PluginError, match=message):
        class_of_kind("input", "far", FAR)


@pytest.mark.parametrize(
    ("name", "message"), [("typo", "could not load 'far_away:Fra'"), ("function", "must be a frozen dataclass")]
)
def test_a_factory_that_is_none_is_told(install, name, message):
    install()
    with pytest.raises(PluginError, match=message):
        class_of_kind("input", name, FAR)


@pytest.mark.parametrize("allowed", ["none", "near,nearer"])
def test_a_plugin_that_the_environment_leaves_out_is_not_loaded(install, monkeypatch, allowed):
    install()
    monkeypatch.setenv("EDGEMM_PLUGINS", allowed)
    with pytest.raises(PluginError, match="need the plugin 'far' of far-dist, which EDGEMM_PLUGINS leaves out"):
        class_of_kind("input", "far", FAR)
    assert "far_away" not in sys.modules


def test_a_plugin_that_the_environment_names_is_loaded(install, monkeypatch):
    install()
    monkeypatch.setenv("EDGEMM_PLUGINS", "near, far")
    assert class_of_kind("input", "far", FAR).kind == "far"


def test_a_plugin_may_be_an_object_in_a_module(install):
    content = (
        PLUGIN.replace("@edgemm.hookimpl\ndef edgemm_inputs", "def plain")
        + "\nclass Plugin:\n"
        + (
            "    @staticmethod\n    @edgemm.hookimpl\n    def edgemm_inputs():\n        yield edgemm.InputEntry('far', 'far_away:Far')\n"
        )
    )
    install(content, module="far_away:Plugin")
    assert [entry.name for entry in entries_of("input", FAR, "it")] == ["far"]
