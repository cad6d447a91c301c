"""A backend that somebody else brings: what its profile lists is made, or an error says what is missing; nothing is left out silently."""

from __future__ import annotations

import pytest

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.errors import ExportError, MissingDependencyError, ParityError, UnknownNameError, UsageError
from edgemm.exporting.plan import plan_targets
from edgemm.host.plugin_host import default_host

REFERENCE = "cpu.onnxruntime.fp32"


def test_a_backend_of_somebody_elses_gets_its_variant(chain, imaginary, tmp_path):
    imaginary.device("board", ["fp32"], compute_capability=12)
    imaginary.exporter()
    summary = edgemm.export(chain, tmp_path / "b", device="board", host=imaginary.host())
    bundle = Bundle(tmp_path / "b")
    assert list(summary.variants) == list(bundle.manifest.variants) == [REFERENCE, "board.xyz-1.0.fp32"]
    variant = bundle.manifest.variants["board.xyz-1.0.fp32"]
    assert (variant.backend, variant.backend_version, variant.compute_capability) == ("xyz", "1.0", 12)
    for graph in ("step", "last"):
        assert bundle.read(variant.files[graph]) == b"xyz\0" + bundle.read(f"graphs/{graph}/model.onnx")


def test_auto_is_what_the_profile_lists(imaginary):
    imaginary.device("board", ["fp32", "int8", "fp16"])
    imaginary.exporter()
    imaginary.quantizer("int8", "fp16")
    keys = [target.key for target in plan_targets(imaginary.host(), ["board"], "auto")]
    assert keys == [REFERENCE, "board.xyz-1.0.fp32", "board.xyz-1.0.int8", "board.xyz-1.0.fp16"]


def test_auto_is_what_the_profile_says_that_it_is(imaginary):
    imaginary.device("board", ["fp16", "fp32"], auto=["fp32"])
    imaginary.exporter()
    keys = [target.key for target in plan_targets(imaginary.host(), ["board"], "auto")]
    assert keys == [REFERENCE, "board.xyz-1.0.fp32"]


@pytest.mark.parametrize(("device", "made"), [("jetson-orin-nano", ["fp16", "int8+fp16"]), ("cpu", ["int8"])])
def test_auto_of_our_own_devices(device, made):
    targets = plan_targets(default_host(), [device], "auto")
    assert [target.precision.name for target in targets] == ["fp32", *made]


def test_without_an_exporter_the_error_names_the_kind_of_plugin(chain, imaginary, tmp_path):
    imaginary.device("board", ["fp32"])
    with pytest.raises(MissingDependencyError, match="no plugin compiles for xyz: none registers an ExporterEntry"):
        edgemm.export(chain, tmp_path / "b", device="board", host=imaginary.host())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["auto", "fp16"])
def test_without_a_quantizer_the_error_names_the_kind_of_plugin(chain, imaginary, tmp_path, precision):
    imaginary.device("board", ["fp16"])
    imaginary.exporter()
    imaginary.quantizer("int8")
    imaginary.quantizer("fp16", backend="onnxruntime")
    with pytest.raises(
        MissingDependencyError, match="no plugin writes fp16 graphs for xyz: none registers a QuantizerEntry"
    ):
        edgemm.export(chain, tmp_path / "b", device="board", precision=precision, host=imaginary.host())
    assert list(tmp_path.iterdir()) == []


def test_a_fallback_that_nobody_writes_is_missed_only_when_it_is_needed(chain, imaginary, tmp_path):
    imaginary.device("board", ["int8+fp16", "fp16", "fp32"])
    imaginary.exporter()
    changes = {}
    imaginary.quantizer("int8+fp16", changes=changes)
    wanted = {"device": "board", "precision": "int8+fp16", "host": imaginary.host()}
    edgemm.export(chain, tmp_path / "good", **wanted)
    changes["int8+fp16"] = ExportError("no such kernel")
    with pytest.raises(
        ParityError, match=r"in int8\+fp16: it could not be converted.*no plugin writes fp16 graphs for xyz"
    ):
        edgemm.export(chain, tmp_path / "bad", **wanted)


def test_what_cannot_be_compiled_here_is_planned_and_built_where_it_can(chain, imaginary, tmp_path):
    imaginary.device("board", ["fp32"])
    exporter = imaginary.exporter(refuses="there is no xyz here; compile on the board: edgemm build")
    host = imaginary.host()
    summary = edgemm.export(chain, tmp_path / "b", device="board", host=host)
    assert summary.planned == {"board.xyz-planned.fp32": exporter.refuses}
    with pytest.raises(ExportError, match="there is no xyz here"):
        edgemm.build(tmp_path / "b", host=host)
    exporter.refuses = ""
    assert list(edgemm.build(tmp_path / "b", device="board", host=host).built) == ["board.xyz-1.0.fp32"]
    bundle = Bundle(tmp_path / "b")
    assert bundle.manifest.planned == {}
    assert bundle.check_all() > 0
    variant = bundle.manifest.variants["board.xyz-1.0.fp32"]
    assert bundle.read(variant.files["step"]) == b"xyz\0" + bundle.read(variant.sources["step"])


def test_a_variant_names_who_brings_what_runs_it(chain, imaginary, tmp_path):
    """So that a device with many packages loads that one and no other; also of what is built later."""
    imaginary.device("board", ["fp32"])
    imaginary.runner()
    exporter = imaginary.exporter()
    host = imaginary.host(distribution="acme-boards 1.2")
    edgemm.export(chain, tmp_path / "here", device="board", host=host)
    exporter.refuses = "there is no xyz here"
    edgemm.export(chain, tmp_path / "later", device="board", host=host)
    exporter.refuses = ""
    edgemm.build(tmp_path / "later", host=host)
    for name in ("here", "later"):
        variants = Bundle(tmp_path / name).manifest.variants
        assert variants["board.xyz-1.0.fp32"].runner == ("acme-boards", imaginary.name)
        assert variants[REFERENCE].runner == ()


def test_what_is_built_is_no_longer_planned_and_the_rest_is(chain, imaginary, tmp_path):
    exporter = imaginary.exporter(refuses="there is no xyz here")
    for name in ("board", "other"):
        imaginary.device(name, ["fp32"])
    host = imaginary.host()
    edgemm.export(chain, tmp_path / "b", device=["board", "other"], host=host)
    exporter.refuses = ""
    edgemm.build(tmp_path / "b", device="board", host=host)
    assert list(Bundle(tmp_path / "b").manifest.planned) == ["other.xyz-planned.fp32"]


def test_devices_and_precisions_that_do_not_fit_are_refused():
    host = default_host()
    with pytest.raises(UnknownNameError, match="did you mean 'rtx-4090'"):
        plan_targets(host, ["rtx-4900"], "auto")
    with pytest.raises(UnknownNameError, match="unknown precision 'int9'"):
        plan_targets(host, ["cpu"], "int9")
    with pytest.raises(UsageError, match="',' names no precision for 'cpu'"):
        plan_targets(host, ["cpu"], ",")
    with pytest.raises(ExportError, match="FP32 GEMM"):
        plan_targets(host, ["rtx-2080-ti"], "fp32")
    with pytest.raises(ExportError, match="does not take fp16"):
        plan_targets(host, ["cpu"], "fp16")


def test_a_target_is_planned_once_and_a_device_may_have_precisions_of_its_own():
    targets = plan_targets(default_host(), ["cpu", "host", "jetson-orin-nano:int8", "cpu"], "fp32,int8")
    assert [(target.device.name, target.precision.name) for target in targets] == [
        ("cpu", "fp32"),
        ("cpu", "int8"),
        ("jetson-orin-nano", "int8"),
    ]
