"""The engine builder: real compilations with TensorRT-RTX, both branches on imitated modules, and a child that misbehaves."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from onnx import TensorProto, helper

import edgemm_devices
from edgemm.errors import ExportError
from edgemm.host.entries import ExporterEntry
from edgemm.host.interfaces import ShapeRange
from edgemm.host.optional import is_installed
from edgemm.host.plugin_host import PluginHost
from edgemm.machine.machine import Gpu, Machine
from edgemm.machine.profiles import DeviceProfile, profiles
from edgemm.model.precision import PRECISIONS
from edgemm_exporters import tensorrt_engine
from edgemm_exporters.onnxruntime_quant.quantizers import cpu_int8, tensorrt_fp16, tensorrt_int8
from edgemm_exporters.tensorrt_engine import exporter as exporter_module
from edgemm_exporters.tensorrt_engine import gpu as gpu_module
from edgemm_exporters.tensorrt_engine import guard
from edgemm_exporters.tensorrt_engine.compiler import Hooks, plan_from_onnx
from edgemm_exporters.tensorrt_engine.exporter import EngineExporter, rtx_exporter, tensorrt_exporter
from edgemm_exporters.tensorrt_engine.guard import call_guarded
from edgemm_exporters.tensorrt_engine.messages import Log, explanation
from edgemm_exporters.tensorrt_engine.plan_header import plan_problem, read_plan_header

needs_rtx = pytest.mark.skipif(
    not is_installed("tensorrt_rtx"), reason="tensorrt_rtx is not installed: pip install 'edgemm[tensorrt-rtx]'"
)
GRAPHS = ("conv", "attention", "text", "audio")
# Each graph in each precision, the cards dealt in turn: what compiles depends on graph and precision, what a card adds is its target.
BUILDS = (
    ("conv", "fp16", "rtx-3090"),
    ("conv", "int8+fp16", "rtx-2080-ti"),
    ("conv", "int8", "rtx-5090"),
    ("conv", "fp32", "a100"),
    ("attention", "fp16", "rtx-2080-ti"),
    ("attention", "int8+fp16", "dgx-spark"),
    ("attention", "int8", "rtx-3090"),
    ("attention", "fp32", "rtx-4090"),
    ("text", "fp16", "a100"),
    ("text", "int8+fp16", "rtx-4090"),
    ("text", "int8", "dgx-spark"),
    ("text", "fp32", "rtx-5090"),
    ("audio", "fp16", "rtx-5090"),
    ("audio", "int8+fp16", "rtx-2080-ti"),  # keeps its front end in FP32, and Turing multiplies no FP32
    ("audio", "int8", "rtx-4090"),
    ("audio", "fp32", "dgx-spark"),
)
SHAPES = {"x": ShapeRange((1, 4), (1, 4), (8, 4))}


@pytest.fixture(scope="module")
def devices() -> dict[str, DeviceProfile]:
    host = PluginHost(only=(), strict=True)
    host.register(edgemm_devices, "devices")
    return profiles(host)


@pytest.fixture(scope="module")
def variants(graphs, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """(graph, precision) -> ONNX file in that precision."""
    folder = tmp_path_factory.mktemp("variants")
    made = {}
    for name, graph in graphs.items():
        made[name, "fp32"] = graph.path
        for precision, make in (("fp16", tensorrt_fp16), ("int8", tensorrt_int8), ("int8+fp16", tensorrt_int8)):
            made[name, precision] = folder / f"{name}.{precision}.onnx"
            make().quantize(
                graph.path,
                made[name, precision],
                precision=precision,
                calibration=graph.batches,
                keep_fp32=graph.keep_fp32,
            )
    return made


# ---- real compilations


def test_what_is_compiled_covers_every_card_and_each_graph_in_each_precision(devices) -> None:
    cards = {name for name, profile in devices.items() if profile.backend == "tensorrt_rtx"}
    assert {device for _, _, device in BUILDS} == cards
    assert {build[:2] for build in BUILDS} == {(graph, precision) for graph in GRAPHS for precision in PRECISIONS}


@needs_rtx
@pytest.mark.parametrize(("name", "precision", "device"), BUILDS)
def test_rtx_compiles_each_graph_in_each_precision_for_cards_that_take_it(
    graphs, variants, devices, tmp_path: Path, name: str, precision: str, device: str
) -> None:
    profile = devices[device]
    profile.check_precision(precision)
    target = tmp_path / "model.engine"
    record = rtx_exporter().build(variants[name, precision], target, device=profile, shapes=graphs[name].shapes())
    engine = target.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["model.engine"]
    assert record.engine_bytes == len(engine)
    assert record.builder == f"tensorrt_rtx {rtx_exporter().version()}"
    assert record.activation_bytes > 0
    assert plan_problem(engine, len(engine), profile.compute_capability) == ""


@needs_rtx
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_turing_refuses_fp32_products_also_when_forced(graphs, variants, devices, tmp_path: Path, precision) -> None:
    with pytest.raises(ExportError, match=r"(?s)SM75.*FP32 GEMM is not supported.*use --precision fp16 or int8\+fp16"):
        rtx_exporter().build(
            variants["attention", precision],
            tmp_path / "model.engine",
            device=devices["rtx-2080-ti"],
            shapes=graphs["attention"].shapes(),
        )
    assert list(tmp_path.iterdir()) == []


@needs_rtx
def test_a_graph_quantized_for_cpus_is_refused_with_advice(graphs, devices, tmp_path: Path) -> None:
    graph = graphs["conv"]
    source = tmp_path / "cpu.onnx"
    cpu_int8().quantize(graph.path, source, precision="int8", calibration=graph.batches, keep_fp32=())
    with pytest.raises(ExportError, match=r"(?s)quantized for CPUs.*use the tensorrt quantizer"):
        rtx_exporter().build(source, tmp_path / "m.engine", device=devices["rtx-4090"], shapes=graph.shapes())


@needs_rtx
def test_an_operator_that_rtx_lacks_is_named(devices, tmp_path: Path) -> None:
    source = tmp_path / "nonzero.onnx"
    _save(source, [helper.make_node("NonZero", ["x"], ["y"], name="find_them")], TensorProto.INT64, (2, None))
    with pytest.raises(ExportError, match=r"(?s)NonZero node 'find_them'.*rewrite the module without it"):
        rtx_exporter().build(source, tmp_path / "m.engine", device=devices["rtx-4090"], shapes=SHAPES)


@needs_rtx
def test_shapes_that_do_not_fit_are_refused(devices, tmp_path: Path) -> None:
    source = tmp_path / "relu.onnx"
    _save(source, [helper.make_node("Relu", ["x"], ["y"])])
    build = rtx_exporter().build
    target, device = tmp_path / "m.engine", devices["rtx-4090"]
    with pytest.raises(ExportError, match=r"input 'x' has dynamic axes \[-1, 4\] but no range"):
        build(source, target, device=device, shapes={})
    with pytest.raises(ExportError, match="has no input 'z'; it has: x"):
        build(source, target, device=device, shapes={**SHAPES, "z": SHAPES["x"]})
    with pytest.raises(ExportError, match=r"x: \[8, 4\] to \[1, 4\]"):
        build(source, target, device=device, shapes={"x": ShapeRange((8, 4), (1, 4), (1, 4))})
    with pytest.raises(ExportError, match=r"relu\.onnx"):
        build(source, target, device=device, shapes={"x": ShapeRange((1, 5), (1, 5), (8, 5))})
    assert [path.name for path in tmp_path.iterdir()] == ["relu.onnx"]


@needs_rtx
def test_a_file_that_is_no_onnx_is_refused(devices, tmp_path: Path) -> None:
    source = tmp_path / "noise.onnx"
    source.write_bytes(b"\x00\x01 this is not ONNX")
    with pytest.raises(ExportError, match=r"cannot read noise\.onnx.*not an ONNX graph"):
        rtx_exporter().build(source, tmp_path / "m.engine", device=devices["rtx-4090"], shapes={})


@needs_rtx
def test_a_build_is_cancelled_between_steps(graphs) -> None:
    import tensorrt_rtx

    phases: list[str] = []
    with pytest.raises(ExportError, match=r"compiling conv.onnx was cancelled"):
        plan_from_onnx(
            tensorrt_rtx,
            graphs["conv"].path,
            compute_capability=89,
            shapes=graphs["conv"].shapes(),
            hooks=Hooks(progress=phases.append, cancelled=lambda: True),
        )
    assert phases


def test_ctrl_c_leaves_no_file(devices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(function: str, payload: dict[str, object], **_: object) -> None:
        Path(str(payload["target"])).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(exporter_module, "call_guarded", interrupted)
    monkeypatch.setattr(exporter_module, "is_installed", lambda module: True)
    with pytest.raises(KeyboardInterrupt):
        rtx_exporter().build(tmp_path / "m.onnx", tmp_path / "m.engine", device=devices["rtx-4090"], shapes={})
    assert list(tmp_path.iterdir()) == []


def test_an_engine_for_another_gpu_is_not_kept(devices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(function: str, payload: dict[str, object], **_: object) -> None:
        Path(str(payload["target"])).write_bytes(_header(size_bytes=64, bits=0x04))

    monkeypatch.setattr(exporter_module, "call_guarded", wrong)
    monkeypatch.setattr(exporter_module, "is_installed", lambda module: True)
    with pytest.raises(ExportError, match="does not name SM89"):
        rtx_exporter().build(tmp_path / "m.onnx", tmp_path / "m.engine", device=devices["rtx-4090"], shapes={})
    assert list(tmp_path.iterdir()) == []


# ---- what this machine can compile


def test_entries_name_the_backends() -> None:
    host = PluginHost(only=(), strict=True)
    host.register(tensorrt_engine, "tensorrt_engine")
    backends = {name: registered.entry.backend for name, registered in host.entries(ExporterEntry).items()}
    assert backends == {"tensorrt_rtx": "tensorrt_rtx", "tensorrt": "tensorrt"}
    for name in backends:
        assert host.load(ExporterEntry, name)().format == "engine"


@pytest.mark.parametrize("device", ["jetson-orin-nano", "jetson-agx-thor"])
def test_rtx_sends_jetsons_to_the_device(devices, device: str) -> None:
    reason = rtx_exporter().unavailable(devices[device])
    assert f"no target SM{devices[device].compute_capability}" in reason
    assert "edgemm build" in reason


def test_a_missing_module_names_its_extra(devices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_module, "is_installed", lambda module: False)
    assert "pip install 'edgemm[tensorrt-rtx]'" in rtx_exporter().unavailable(devices["rtx-4090"])
    reason = EngineExporter("tensorrt", local_gpus=lambda: (87,)).unavailable(devices["jetson-orin-nano"])
    assert "edgemm[tensorrt]" in reason
    assert "--system-site-packages" in reason


@pytest.mark.parametrize(
    ("gpus", "said"), [((), "this one has none"), ((89, 120), "this machine has SM89, SM120"), ((87,), "")]
)
def test_tensorrt_compiles_only_for_the_gpu_that_is_there(devices, monkeypatch, gpus, said: str) -> None:
    monkeypatch.setattr(exporter_module, "is_installed", lambda module: True)
    reason = EngineExporter("tensorrt", local_gpus=lambda: gpus).unavailable(devices["jetson-orin-nano"])
    assert said in reason
    assert bool(reason) == bool(said)
    assert ("edgemm build" in reason) == bool(said)


def test_a_build_that_is_unavailable_says_why(devices, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"cannot compile m.onnx for 'jetson-agx-thor': .*edgemm build"):
        EngineExporter("tensorrt", local_gpus=tuple).build(
            tmp_path / "m.onnx", tmp_path / "m.engine", device=devices["jetson-agx-thor"], shapes={}
        )


def test_the_gpu_question_goes_to_this_machine(devices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_module, "is_installed", lambda module: True)
    monkeypatch.setattr(gpu_module, "this_machine", lambda: Machine(gpus=(Gpu("Jetson Orin", 87),)))
    assert tensorrt_exporter().unavailable(devices["jetson-orin-nano"]) == ""
    assert "this machine has SM87" in tensorrt_exporter().unavailable(devices["jetson-agx-thor"])


# ---- imitated modules: the attributes that each version has


def imitation(version: str, *, rtx: bool = False, fails: str = "") -> SimpleNamespace:
    """A module with the surface of TensorRT 10.3, 11.4 or RTX 1.7, as far as a builder sees it."""
    calls: list[tuple[object, ...]] = []
    lines = [
        ("VERBOSE", "Total Activation Memory is not what this says"),
        ("INFO", "[MemUsageStats] Total Activation Memory: 4096 bytes"),
        ("WARNING", "one"),
        ("WARNING", "one"),
    ]

    class Logger:
        def __init__(self) -> None:
            pass

    class Monitor:
        def __init__(self) -> None:
            pass

    def say(logger: Logger, severity: str, text: str) -> None:
        logger.log(SimpleNamespace(name=severity), text)

    class Profile:
        def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
            calls.append(("set_shape", name, shapes))

    class Config:
        progress_monitor = None

        def __init__(self) -> None:
            if fails != "old config":
                self.max_aux_streams = -1
            calls.append(("config", self))

        def set_compute_capability(self, capability: str, index: int) -> None:
            assert self.num_compute_capabilities == 1, "the count comes first"
            calls.append(("capability", capability, index))

        def add_optimization_profile(self, profile: Profile) -> int:
            return 0

    class Builder:
        def __init__(self, logger: Logger) -> None:
            self.logger = logger

        def create_network(self, flags: int) -> SimpleNamespace:
            calls.append(("flags", flags))
            tensor = SimpleNamespace(name="x", shape=(-1, 4))
            return SimpleNamespace(num_outputs=1, num_inputs=1, get_input=lambda index: tensor)

        def create_builder_config(self) -> Config:
            return Config()

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: object, config: Config) -> bytes | None:
            for severity, text in lines:
                say(self.logger, severity, text)
            config.progress_monitor.phase_start("Building engine", None, 3)
            goes_on = config.progress_monitor.step_complete("Building engine", 0)
            config.progress_monitor.phase_finish("Building engine")
            if fails == "build":
                say(self.logger, "ERROR", "NvMapMemAlloc failed: out of memory")
                say(self.logger, "INTERNAL_ERROR", "gone")
            return b"plan" if goes_on and fails != "build" else None

    class Parser:
        num_errors = 1 if fails == "parse" else 0

        def __init__(self, network: object, logger: Logger) -> None:
            pass

        def parse_from_file(self, path: str) -> bool:
            return fails != "parse"

        def get_error(self, index: int) -> SimpleNamespace:
            return SimpleNamespace(
                desc=lambda: "no importer", node_operator=lambda: "Weird", node_name=lambda: "weird_1"
            )

    flags = {"STRONGLY_TYPED": 1} | ({"EXPLICIT_BATCH": 0} if version.startswith("10.") else {})
    module = SimpleNamespace(
        __version__=version,
        ILogger=Logger,
        IProgressMonitor=Monitor,
        Builder=Builder,
        OnnxParser=Parser,
        NetworkDefinitionCreationFlag=SimpleNamespace(**flags),
        calls=calls,
    )
    if version.startswith("10."):  # the precision flags that 11 took away; touching one would fail on 11
        module.BuilderFlag = SimpleNamespace(FP16=0, INT8=1)
    if rtx:
        module.ComputeCapability = SimpleNamespace(SM86="SM86", SM89="SM89")
    return module


@pytest.mark.parametrize(
    ("version", "rtx"), [("10.3.0", False), ("10.13.2", False), ("11.4.0.106", False), ("1.7.1.116", True)]
)
def test_one_path_serves_every_version(version: str, rtx: bool) -> None:
    trt, phases = imitation(version, rtx=rtx), []
    plan = plan_from_onnx(
        trt, Path("m.onnx"), compute_capability=89, shapes=SHAPES, hooks=Hooks(progress=phases.append)
    )
    assert (plan.engine, plan.activation_bytes, plan.warnings) == (b"plan", 4096, ("one",))
    assert phases == ["Building engine"]
    assert ("flags", 1 << 1) in trt.calls, "strongly typed, and nothing else"
    assert ("set_shape", "x", ((1, 4), (1, 4), (8, 4))) in trt.calls
    assert (("capability", "SM89", 0) in trt.calls) == rtx
    (config,) = (call[1] for call in trt.calls if call[0] == "config")
    assert config.max_aux_streams == 0
    assert not hasattr(config, "flags"), "precision is never a builder flag"


def test_attributes_that_a_version_lacks_are_not_touched() -> None:
    trt = imitation("10.3.0", fails="old config")
    plan_from_onnx(trt, Path("m.onnx"), compute_capability=87, shapes=SHAPES)
    (config,) = (call[1] for call in trt.calls if call[0] == "config")
    assert not hasattr(config, "max_aux_streams")


@pytest.mark.parametrize("version", ["8.6.2", "10.2.0"])
def test_an_older_tensorrt_is_refused(version: str) -> None:
    with pytest.raises(ExportError, match=r"too old: EdgeMM needs TensorRT 10.3 or later \(JetPack 6.1"):
        plan_from_onnx(imitation(version), Path("m.onnx"), compute_capability=87, shapes=SHAPES)


def test_failures_carry_the_reason_and_what_to_do() -> None:
    with pytest.raises(ExportError, match=r"TensorRT 10.3.0 cannot read m.onnx:\n  Weird node 'weird_1': no importer"):
        plan_from_onnx(imitation("10.3.0", fails="parse"), Path("m.onnx"), compute_capability=87, shapes=SHAPES)
    with pytest.raises(ExportError, match=r"(?s)cannot compile m.onnx for SM87:.*NvMapMemAlloc.*gone.*add swap"):
        plan_from_onnx(imitation("10.3.0", fails="build"), Path("m.onnx"), compute_capability=87, shapes=SHAPES)
    with pytest.raises(ExportError, match=r"(?s)cannot compile for SM110; it knows SM86, SM89.*edgemm build"):
        plan_from_onnx(imitation("1.7.1", rtx=True), Path("m.onnx"), compute_capability=110, shapes=SHAPES)


def test_long_logs_are_cut_and_silence_is_said() -> None:
    text = explanation([f"line {index}" for index in range(30)])
    assert "line 7" in text
    assert "line 8" not in text
    assert "and 22 more" in text
    assert "gave no reason" in explanation([])
    log = Log()
    log.take("INFO", "Total Activation Memory: 12 bytes")
    log.take("INFO", "Total Activation Memory: 7 bytes")
    assert log.activation_bytes == 12


# ---- plan headers


def test_headers_are_read_and_judged() -> None:
    header = read_plan_header(_header(size_bytes=100, bits=0x1C))
    assert header is not None
    assert (header.version, header.size_bytes, header.compute_capability_bits) == ((1, 7), 100, 0x1C)
    assert plan_problem(_header(size_bytes=100, bits=0x1C), 100, 89) == ""
    assert "100 bytes, its header says 99" in plan_problem(_header(size_bytes=99, bits=0x08), 100, 89)
    assert "does not name SM75" in plan_problem(_header(size_bytes=100, bits=0x08), 100, 75)


def test_layouts_that_are_not_known_are_not_judged() -> None:
    assert plan_problem(b"other" * 20, 1, 89) == ""
    assert plan_problem(_header(size_bytes=5, bits=0, version=(1, 8)), 100, 89) == ""
    assert plan_problem(b"", 0, 89) == ""


# ---- the guarded child


MISCHIEF = """
import os, signal, sys, time
from pathlib import Path
from edgemm.errors import ExportError

def fine(payload, hooks):
    os.write(1, b"native chatter\\n")
    print("chatter")
    hooks.progress("half way")
    return {"twice": payload["value"] * 2}

def aborts(payload, hooks):
    os.write(2, b"terminate called in native code\\n")
    os.abort()

def is_killed(payload, hooks):
    os.kill(os.getpid(), signal.SIGKILL)

def exits(payload, hooks):
    os._exit(7)

def hangs(payload, hooks):
    Path(payload["started"]).touch()
    time.sleep(60)

def refuses(payload, hooks):
    raise ExportError("it cannot be")

def fails(payload, hooks):
    raise KeyError("surprise")

def waits_for_cancel(payload, hooks):
    Path(payload["started"]).touch()
    while not hooks.cancelled():
        time.sleep(0.01)
    Path(payload["cancelled"]).touch()
"""


@pytest.fixture
def mischief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "mischief.py").write_text(MISCHIEF)
    monkeypatch.syspath_prepend(tmp_path)
    return "mischief"


def test_a_child_answers_whatever_native_code_prints(mischief: str) -> None:
    assert call_guarded(f"{mischief}:fine", {"value": 21}, what="doubling", timeout_s=60) == {"twice": 42}


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("aborts", r"(?s)building crashed the compiler \(SIGABRT\).*terminate called in native code"),
        ("is_killed", r"SIGKILL.*memory ran out"),
        ("exits", r"ended without a result \(exit code 7\)"),
        ("refuses", r"^it cannot be$"),
        ("fails", r"KeyError: 'surprise'"),
    ],
)
def test_a_child_that_fails_is_an_export_error(mischief: str, function: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        call_guarded(f"{mischief}:{function}", {}, what="building", timeout_s=60)


def test_a_child_that_hangs_is_stopped(mischief: str, tmp_path: Path) -> None:
    payload = {"started": str(tmp_path / "started")}
    with pytest.raises(ExportError, match="building took longer than 3 s and was stopped"):
        call_guarded(f"{mischief}:hangs", payload, what="building", timeout_s=3)
    assert _children() == []


def test_ctrl_c_cancels_the_child_in_order(mischief: str, tmp_path: Path) -> None:
    started, cancelled = tmp_path / "started", tmp_path / "cancelled"

    def press_ctrl_c() -> None:
        while not started.exists():
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    presser = threading.Thread(target=press_ctrl_c)
    presser.start()
    payload = {"started": str(started), "cancelled": str(cancelled)}
    with pytest.raises(KeyboardInterrupt):
        call_guarded(f"{mischief}:waits_for_cancel", payload, what="building", timeout_s=60)
    presser.join()
    assert cancelled.exists()
    assert _children() == []


def test_a_child_that_ignores_ctrl_c_is_killed(mischief: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "GRACE_S", 0.2)
    started = tmp_path / "started"

    def press_ctrl_c() -> None:
        while not started.exists():
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    presser = threading.Thread(target=press_ctrl_c)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        call_guarded(f"{mischief}:hangs", {"started": str(started)}, what="building", timeout_s=60)
    presser.join()
    assert _children() == []


def _children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def _header(size_bytes: int, bits: int, version: tuple[int, int] = (1, 7)) -> bytes:
    header = bytearray(64)
    header[:4] = b"vtrt"
    header[16:24] = size_bytes.to_bytes(8, "little")
    header[24:26] = bytes(version)
    header[32:36] = bits.to_bytes(4, "little")
    return bytes(header)


def _save(path: Path, nodes: list[onnx.NodeProto], data_type: int = TensorProto.FLOAT, shape=("batch", 4)) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", 4))
    y = helper.make_tensor_value_info("y", data_type, shape)
    graph = helper.make_graph(nodes, "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
