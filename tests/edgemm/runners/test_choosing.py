"""Which variant runs: what is native code needs trust, and whether it is, the runner of its format says."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.bundle.manifest import Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.errors import BundleError, MissingDependencyError, UsageError
from edgemm.host import plugin_host
from edgemm.host.interfaces import RunnerFit
from edgemm.runners.choosing import REFERENCE, choices, is_native
from edgemm.runners.onnxruntime import OnnxRuntimeRunner

KEY = "box.boxes-1.fp32"
TRUSTED = edgemm.Trust(engines=True)


class Elsewhere(OnnxRuntimeRunner):
    """Another backend's runner: here, ONNX Runtime under another name."""

    def __init__(self, content, options):
        super().__init__(content, options["graph"])


@pytest.fixture
def boxes(one_node, tmp_path):
    """A bundle that has its graph for the backend `boxes` too, in files of the given ending."""

    def make(ending="box"):
        source = Bundle(one_node)
        path = tmp_path / f"{ending}.edgemm"
        with BundleWriter(path) as writer:
            for name in source.manifest.files:
                writer.add(name, source.read(name))
            files = {"net": writer.add(f"variants/{KEY}/net.{ending}", source.read("graphs/net/model.onnx"))}
            variants = {**source.manifest.variants, KEY: Variant("box", "boxes", "1", "fp32", files)}
            writer.finish(lambda records: replace(source.manifest, variants=variants, files=records))
        return path

    return make


@pytest.fixture
def install(monkeypatch):
    """Makes runners for `.box` and `.lid` files the only plugin there is, as the options say; lists how often plugins were asked for."""
    asked = []

    def register(fit=lambda variant: RunnerFit(exact=True), lid=None, **options):
        entry = edgemm.RunnerEntry("boxes", "here:Elsewhere", formats=("box",), fit="fit" if fit else "", **options)
        lids = edgemm.RunnerEntry("lids", "here:Elsewhere", formats=("lid",), fit="lid", native=False)
        hook = edgemm.hookimpl(lambda: [entry, lids], specname="edgemm_runners")
        host = plugin_host.PluginHost(only=[])
        host.register(SimpleNamespace(edgemm_runners=hook), "boxes")
        made = {"fit": fit, "lid": lid}
        monkeypatch.setattr(host, "resolve", lambda registered, name: made.get(name, Elsewhere))
        monkeypatch.setattr(plugin_host, "default_host", lambda: asked.append(1) or host)
        return asked

    return register


def opened(path, **options):
    with edgemm.open(path, **options) as model:
        answer = model.infer(a=np.ones(3, np.float32), b=np.array([0, 9, 0], np.float32)).outputs["answer"]
        assert answer.label == "y"
        assert isinstance(model.runners["net"], Elsewhere) == (model.variant == KEY)
        return model.variant, model.variant_reason


def test_a_format_whose_runner_says_nothing_is_native(boxes, install):
    install()
    path = boxes()
    with pytest.raises(UsageError, match=r"native code.*trust=edgemm\.Trust\(engines=True\)"):
        edgemm.open(path, variant=KEY)
    assert opened(path, variant=KEY, trust=TRUSTED) == (KEY, "asked for")


def test_a_format_that_no_runner_declares_is_native(boxes, install):
    install(native=False)
    path = boxes("crate")
    with pytest.raises(UsageError, match="native code"):
        edgemm.open(path, variant=KEY)
    assert is_native(Bundle(path).manifest.variants[KEY])


def test_a_format_that_is_data_needs_no_trust(boxes, install):
    install(native=False)
    assert opened(boxes(), variant=KEY) == (KEY, "asked for")


def test_auto_takes_data_that_fits_and_says_why(boxes, install):
    install(native=False)
    assert opened(boxes()) == (KEY, "a boxes variant for this machine, made by the version that is here")


def test_auto_leaves_native_code_alone_without_trust_and_takes_it_with(boxes, install):
    install()
    path = boxes()
    variant, reason = opened(path)
    assert variant == REFERENCE
    assert reason.endswith("; its engines are not trusted (--trust-engines)")
    assert opened(path, trust=TRUSTED)[0] == KEY


def test_auto_goes_to_the_cpu_where_nothing_runs_what_is_trusted(boxes, install):
    install()
    variant, reason = opened(boxes("crate"), trust=TRUSTED)
    assert variant == REFERENCE
    assert "no installed plugin runs '.crate' files" in reason


def test_auto_goes_to_the_cpu_where_the_question_itself_fails(boxes, install):
    def fit(variant):
        raise MissingDependencyError("boxes need a warehouse\n  pip install warehouse")

    install(native=False, fit=fit)
    assert opened(boxes()) == (REFERENCE, "the FP32 reference, which every CPU runs; boxes need a warehouse")


def test_auto_says_why_what_it_may_load_does_not_fit(boxes, install):
    install(native=False, fit=lambda variant: RunnerFit(problem="the box is full"))
    assert opened(boxes()) == (REFERENCE, "the FP32 reference, which every CPU runs; the box is full")


def test_auto_takes_no_variant_whose_runner_does_not_say_that_it_fits(boxes, install):
    install(native=False, fit=None)
    assert opened(boxes())[0] == REFERENCE


@pytest.mark.parametrize("lid", [RunnerFit(problem="no lid"), RunnerFit(exact=False)])
def test_all_runners_of_a_variant_are_asked_whether_it_fits(boxes, install, lid):
    install(native=False, lid=lambda variant: lid)
    bundle = Bundle(boxes())
    bundle.manifest.variants[KEY].files["lid"] = "variants/x/more.lid"
    reasons = "; ".join(choice.reason for choice in choices(bundle, "auto"))
    assert ("no lid" if lid.problem else "made by a version that may do") in reasons


def test_a_variant_with_one_native_file_is_native(boxes, install):
    install(native=False)
    variant = Bundle(boxes()).manifest.variants[KEY]
    assert not is_native(variant)
    assert is_native(variant._replace(files={**variant.files, "more": "variants/x/more.so"}))


@pytest.mark.parametrize("variant", ["auto", KEY])
def test_engines_are_refused_without_looking_for_plugins(boxes, install, variant):
    asked = install(native=False)
    path = boxes("engine")
    if variant == "auto":
        assert opened(path)[0] == REFERENCE
    else:
        with pytest.raises(UsageError, match="native code"):
            edgemm.open(path, variant=variant)
    assert asked == []


def test_onnx_on_the_cpu_is_data(one_node):
    assert not is_native(Bundle(one_node).manifest.variants[REFERENCE])


@pytest.mark.parametrize("runner", [("nobody-dist", "boxes"), ("edgemm", "a plugin of old"), ("edgemm", "inputs")])
def test_a_runner_that_is_not_where_the_bundle_says_is_looked_for_everywhere(boxes, install, runner):
    asked = install(native=False)
    variant = Bundle(boxes()).manifest.variants[KEY]._replace(runner=runner)
    assert not is_native(variant)
    assert asked


def test_what_the_version_that_is_here_has_made_is_tried_first(boxes, install):
    install(native=False, fit=lambda variant: RunnerFit(exact=variant.device == "box"))
    bundle = Bundle(boxes())
    kept = bundle.manifest.variants.pop(KEY)
    bundle.manifest.variants.update({"older": kept._replace(device="older box"), KEY: kept})
    assert [choice.key for choice in choices(bundle, "auto")] == [KEY, "older", REFERENCE]


def test_a_graph_that_takes_other_inputs_than_the_manifest_says_is_refused_and_released(boxes, install, monkeypatch):
    closed = []

    class Other(Elsewhere):
        def __init__(self, content, options):
            super().__init__(content, options)
            self.inputs = self.inputs[::-1]

        def close(self):
            closed.append(1)
            super().close()

    monkeypatch.setitem(globals(), "Elsewhere", Other)
    install(native=False)
    with pytest.raises(BundleError, match=f"graph 'net' of variant '{KEY}' takes .*, the manifest says a "):
        edgemm.open(boxes(), variant=KEY)
    assert closed == [1]
