"""The runner of TensorRT engines, on an imitated GPU that breaks the test when it is misused (see conftest.py)."""

from __future__ import annotations

import inspect
import os
import sys
import threading

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgemm.bundle.manifest import GraphRecord, Variant
from edgemm.errors import BundleError, EdgeMMError, InputError, MissingDependencyError
from edgemm.host.optional import is_installed
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm.tensors import TensorSpec
from edgemm_exporters.tensorrt_engine.runner import failures, opening
from edgemm_exporters.tensorrt_engine.runner.failures import DeviceLostError, EngineError
from edgemm_exporters.tensorrt_engine.runner.opening import fit, open_engine

PLAN = b"plan "
RTX = Variant("rtx-4090", "tensorrt_rtx", "1.7.1.116", "fp16", {"net": "net.engine"}, compute_capability=89)
TRT = Variant("jetson", "tensorrt", "10.3.0", "fp16", {"net": "net.engine"}, compute_capability=89)


def onnx_of(nodes, inputs, outputs):
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs],
        [helper.make_tensor_value_info(n, t, s) for n, t, s in outputs],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


SUMS = onnx_of(
    [
        helper.make_node("Cast", ["frame"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["f", "x"], ["total"]),
        helper.make_node("Greater", ["total", "x"], ["more"]),
    ],
    [("frame", TensorProto.UINT8, ["batch", 3]), ("x", TensorProto.FLOAT, ["batch", 3])],
    [("total", TensorProto.FLOAT, ["batch", 3]), ("more", TensorProto.BOOL, ["batch", 3])],
)


def feeds(batch=1, seed=0):
    random = np.random.default_rng(seed)
    return {
        "frame": random.integers(0, 255, (batch, 3), np.uint8),
        "x": random.standard_normal((batch, 3)).astype(np.float32),
    }


def open_sums(variant=RTX, **options):
    return open_engine(PLAN + SUMS, {"graph": "net", "variant": variant, **options})


@pytest.fixture(params=[RTX, TRT], ids=lambda variant: variant.backend)
def runner(machine, request):
    opened = open_sums(request.param)
    yield opened
    opened.close()


# ---- answers


def test_it_computes_what_the_graph_does_at_every_batch(machine, runner):
    reference = OnnxRuntimeRunner(SUMS, "net")
    for seed, batch in enumerate((1, 8, 1, 3, 3, 8, 2)):
        given = feeds(batch, seed)
        expected = reference.run(given)
        for got, wanted in zip(runner.run(given), expected, strict=True):
            assert got.dtype == wanted.dtype
            np.testing.assert_array_equal(got, wanted)


def test_its_tensors_are_described_in_order(runner):
    reference = OnnxRuntimeRunner(SUMS, "net")
    assert (runner.inputs, runner.outputs) == (reference.inputs, reference.outputs)


def test_results_belong_to_the_caller(runner):
    given = feeds(1, 1)
    first = runner.run(given)
    kept = [array.copy() for array in first]
    runner.run(feeds(1, 2))
    for array, wanted in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, wanted)
        assert array.flags.owndata
    given["x"][:] = 7
    np.testing.assert_array_equal(first[0], kept[0])


def test_inputs_need_not_be_contiguous(runner):
    given = {"frame": np.arange(12, dtype=np.uint8).reshape(3, 4).T[:2], "x": np.zeros((2, 6), np.float32)[:, ::2]}
    np.testing.assert_array_equal(runner.run(given)[0], given["frame"])


def test_the_manifests_order_and_names_of_axes_are_kept(machine):
    total, more = TensorSpec("total", "float32", ("batch", 3)), TensorSpec("more", "bool", ("batch", 3))
    x, frame = TensorSpec("x", "float32", ("batch", 3)), TensorSpec("frame", "uint8", ("batch", 3))
    opened = open_sums(record=GraphRecord((x, frame), (more, total)))
    given = feeds()
    assert (opened.inputs, opened.outputs) == ((x, frame), (more, total))
    assert [array.dtype for array in opened.run(given)] == [bool, np.float32]
    opened.close()
    for wrong in (
        GraphRecord((x, TensorSpec("frame", "float32", ("batch", 3))), (more, total)),
        GraphRecord((x, frame), (more,)),
        GraphRecord((x, frame), (TensorSpec("more", "bool", ("batch", 4)), total)),
    ):
        with pytest.raises(BundleError, match=r"the manifest says .*edgemm build BUNDLE"):
            open_sums(record=wrong)


# ---- memory, shapes, threads


def test_a_thousand_frames_allocate_nothing(machine, runner):
    allocated = machine.gpu.allocations
    for number in range(1000):
        runner.run(feeds(1 + number % 3, number % 7))
    assert machine.gpu.allocations == allocated


def test_shapes_are_set_only_when_they_change(machine, runner):
    runner.run(feeds(2))
    calls = machine.gpu.shape_calls
    for seed in range(5):
        runner.run(feeds(2, seed))
    assert machine.gpu.shape_calls == calls
    runner.run(feeds(1))
    assert machine.gpu.shape_calls == calls + 2


def test_threads_take_turns_and_get_their_own_answers(machine, runner):
    machine.rtx.slow_s = machine.trt.slow_s = 0.0005
    wrong = []

    def ask(seed):
        for turn in range(6):
            given = feeds(1 + (seed + turn) % 2, seed * 100 + turn)
            try:
                if not np.array_equal(runner.run(given)[0], given["frame"] + given["x"]):
                    wrong.append(seed)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_close_gives_everything_back_once(machine):
    opened = open_sums()
    opened.run(feeds())
    assert machine.gpu.leaks()
    opened.close()
    opened.close()
    assert machine.gpu.leaks() == {}
    with pytest.raises(EngineError, match="was closed"):
        opened.run(feeds())


def test_close_comes_at_exit_if_nobody_called_it(machine, monkeypatch):
    registered = []
    monkeypatch.setattr("atexit.register", registered.append)
    open_sums()
    (at_exit,) = registered
    at_exit()
    assert machine.gpu.leaks() == {}


# ---- wrong input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": np.zeros((9, 3), np.uint8)}, r"takes uint8 \[1 to 8, 3\] for input 'frame', got uint8 \[9, 3\]"),
        ({"frame": np.zeros((0, 3), np.uint8)}, r"got uint8 \[0, 3\]"),
        ({"frame": np.zeros((1, 4), np.uint8)}, r"got uint8 \[1, 4\]"),
        ({"frame": np.zeros(3, np.uint8)}, r"got uint8 \[3\]"),
        ({"x": np.zeros((1, 3))}, r"takes float32 \[1 to 8, 3\] for input 'x', got float64 \[1, 3\]"),
        ({"x": np.zeros((2, 3), np.float32)}, "'x' has a batch of 2, the inputs before it 1"),
        ({"x": None}, "for input 'x', got nothing"),
        ({"y": np.zeros(1)}, "no input 'y'; it has: frame, x"),
    ],
)
def test_wrong_input_is_refused_before_the_gpu_sees_it(machine, runner, change, message):
    calls = len(machine.gpu.calls)
    with pytest.raises(InputError, match=message):
        runner.run({name: value for name, value in {**feeds(), **change}.items() if value is not None})
    assert len(machine.gpu.calls) == calls
    runner.run(feeds())


# ---- failures


CUDA_AT_LOAD = ("cudaGetDeviceCount", "cudaDeviceGetAttribute", "cudaSetDevice", "cudaFree", "cudaMalloc", "cudaHostAlloc", "cudaStreamCreateWithFlags",
                "cudaEventCreateWithFlags", "cudaMemcpyAsync", "cudaEventRecord", "cudaEventSynchronize",
                "cudaStreamSynchronize")  # fmt: skip


@pytest.mark.parametrize("function", CUDA_AT_LOAD)
def test_any_cuda_call_that_fails_while_loading_is_told_and_leaves_nothing(machine, function):
    opened = open_sums()
    count = machine.gpu.calls.count(function)
    opened.close()
    assert count
    for skip in range(count):
        opening.cuda_index.cache_clear()  # as in a new process
        opening.cuda_device.cache_clear()
        machine.gpu.fail[function], machine.gpu.skip[function] = 999, skip
        with pytest.raises(EngineError, match=f"{function} failed.*\n.*error number 999") as caught:
            open_sums()
        assert caught.value.__traceback__ is not None  # held, and still nothing is left
        assert machine.gpu.leaks() == {}


@pytest.mark.parametrize(
    "function", ["cudaSetDevice", "cudaMemcpyAsync", "cudaEventRecord", "cudaEventSynchronize", "cudaStreamSynchronize"]
)
def test_any_cuda_call_that_fails_while_running_is_told_and_the_next_run_works(machine, runner, function):
    if function == "cudaStreamSynchronize":  # called only while recovering
        machine.gpu.fail["execute_async_v3"] = "first"
    machine.gpu.fail[function] = 999
    with pytest.raises(EngineError, match=r"error number 999|first"):
        runner.run(feeds())
    for seed in (3, 4):
        given = feeds(1, seed)
        if function != "cudaStreamSynchronize":
            np.testing.assert_array_equal(runner.run(given)[0], given["frame"] + given["x"])


TENSORRT_AT_LOAD = ("deserialize_cuda_engine", "create_runtime_config", "create_execution_context",
                    "set_optimization_profile_async", "set_input_shape", "infer_shapes", "set_tensor_address",
                    "execute_async_v3")  # fmt: skip


@pytest.mark.parametrize("function", TENSORRT_AT_LOAD)
def test_any_none_or_false_of_tensorrt_while_loading_is_told_and_leaves_nothing(machine, function):
    machine.gpu.fail[function] = "a reason of its own"
    with pytest.raises(EdgeMMError, match=r"graph 'net': the engine.*\n  a reason of its own") as caught:
        open_sums()
    assert "AttributeError" not in str(caught.value), "somebody went on with None"
    assert machine.gpu.leaks() == {}, "while the error is still held"


@pytest.mark.parametrize("function", ["set_input_shape", "infer_shapes", "execute_async_v3"])
def test_any_false_of_tensorrt_while_running_is_told_and_the_next_run_works(machine, runner, function):
    machine.gpu.fail[function] = "a reason of its own"
    with pytest.raises(EngineError, match="a reason of its own"):
        runner.run(feeds(5, 1))
    for batch in (5, 1):
        given = feeds(batch, 2)
        np.testing.assert_array_equal(runner.run(given)[0], given["frame"] + given["x"])


def test_a_failed_change_of_shapes_is_not_taken_for_done(machine, runner):
    runner.run(feeds(1))
    machine.gpu.fail["infer_shapes"] = "no"
    with pytest.raises(EngineError):
        runner.run(feeds(4))
    given = feeds(1, 5)
    np.testing.assert_array_equal(runner.run(given)[0], given["frame"] + given["x"])


@pytest.mark.parametrize("how", ["cuda", "tensorrt", "silence"])
def test_a_lost_gpu_is_not_touched_again_by_anyone(machine, runner, how):
    variant = RTX if machine.gpu.live["config"] else TRT
    other = open_sums(variant)
    if how == "cuda":
        machine.gpu.fail["cudaEventSynchronize"] = 700
    elif how == "tensorrt":
        machine.gpu.fail["execute_async_v3"] = "Error Code 1: Cuda Runtime (an illegal memory access was encountered)"
    else:  # TensorRT says nothing, and the next innocent call meets the error
        machine.gpu.fail["execute_async_v3"] = how
    with pytest.raises(DeviceLostError, match="restart it"):
        runner.run(feeds())
    calls, live = list(machine.gpu.calls), dict(machine.gpu.live)
    for one in (runner, other):
        with pytest.raises(DeviceLostError, match="restart it"):
            one.run(feeds())
        one.close()
    with pytest.raises(DeviceLostError, match="restart it"):
        open_sums(variant)
    assert machine.gpu.calls == calls
    assert machine.gpu.live == live, "TensorRT's destructors call CUDA too"


def test_a_gpu_that_is_lost_while_closing_is_left_alone(machine, runner):
    machine.gpu.fail["cudaDeviceSynchronize"] = 719
    live = dict(machine.gpu.live)
    runner.close()
    assert machine.gpu.live == live
    assert machine.gpu.calls[-1] == "cudaDeviceSynchronize"


def test_no_memory_says_how_much_there_is(machine):
    machine.gpu.fail["cudaMalloc"] = 2
    with pytest.raises(EngineError, match=r"3 of 8 MiB are free(.|\n)*close other programs"):
        open_sums()


@pytest.mark.parametrize(
    ("line", "kind", "remedy"),
    [
        ("The engine plan file is not compatible: Version tag does not match", BundleError, "edgemm build BUNDLE"),
        ("Assertion plan.header.size == blobSize failed", BundleError, "edgemm verify BUNDLE"),
        ("Assertion header.magicTag == kEXPECTED_MAGIC_TAG failed", BundleError, "truncated"),
        ("incompatible device, expecting compute 8.9 got compute 8.6", BundleError, "another GPU"),
        ("getEngineHostCodeAllowed() is false", BundleError, "code for the processor"),
        ("Plugin X not found in plugin registry", BundleError, "load its library"),
        ("profileMinDims.d[i] <= dimensions.d[i] does not satisfy any optimization profiles", EngineError, "these shapes"),
        ("Static dimension mismatch while setting input shape", EngineError, "these shapes"),
        ("Address is not set for input tensor x", EngineError, "please report"),
        ("Neither address or allocator is set for output tensor", EngineError, "please report"),
        ("Cuda Runtime (cudaError 35: CUDA driver version is insufficient)", MissingDependencyError, "NVIDIA driver"),
        ("NvMapMemAllocInternalTagged: 1075072515 error 12", EngineError, "restart a Jetson"),
        ("Error Code 1: Cuda Runtime (out of memory)", EngineError, "close other programs"),
        ("[cudaError 716: misaligned address]", DeviceLostError, "restart"),
        ("Error Code 1: Cuda Driver (unspecified launch failure)", DeviceLostError, "restart"),
        ("something that nobody has seen before", EngineError, ""),
    ],
)  # fmt: skip
def test_what_tensorrt_says_becomes_what_to_do(line, kind, remedy):
    error = failures.failure("graph 'net'", [line])
    assert type(error) is kind
    assert line in str(error)
    assert remedy in str(error)
    assert ("what to do" in str(error)) == bool(remedy)


@pytest.mark.skipif(not is_installed("tensorrt_rtx"), reason="tensorrt_rtx is not installed")
def test_the_real_tensorrt_rtx_talks_to_our_recorder_and_logger():
    """The only part of a real runtime that works without a GPU: refusing what is no engine, and why."""
    import tensorrt_rtx as trt

    runtime = trt.Runtime(failures.logger_of(trt))
    recorder = failures.recorder_for(trt)
    runtime.error_recorder = recorder
    assert runtime.deserialize_cuda_engine(b"no engine at all" * 40) is None
    lines = recorder.drain()
    assert "magicTag" in lines[0]
    assert isinstance(failures.failure("x", lines[:1]), BundleError)
    assert recorder.num_errors() == 0
    assert int(runtime.get_engine_validity(b"no engine at all" * 40)[0]) == int(trt.EngineValidity.INVALID)


@pytest.mark.skipif(not is_installed("tensorrt_rtx"), reason="tensorrt_rtx is not installed")
def test_the_imitation_offers_nothing_that_the_real_module_lacks(imitations):
    import tensorrt_rtx as trt

    classes, module = imitations
    for name, imitated in classes.items():
        offered = {attribute for base in imitated.__mro__[:-2] for attribute in vars(base) if attribute[0] != "_"}
        offered -= {"kind", "users"}
        assert offered
        assert offered <= set(dir(getattr(trt, name))), name
    enums = ("TensorIOMode", "TensorLocation", "TensorFormat", "DataType", "EngineValidity")
    for name in (*enums, "DynamicShapesKernelSpecializationStrategy"):
        for member, value in getattr(module, name).__members__.items():
            real = getattr(trt, name).__members__[member]
            assert name == "DataType" or int(real) == int(value)


@pytest.mark.skipif(not is_installed("cuda.bindings"), reason="cuda.bindings is not installed")
def test_the_imitation_of_cuda_is_called_as_the_real_module(imitated_cuda):
    from cuda.bindings import runtime as real

    functions = {
        name.lstrip("_"): f
        for name, f in vars(imitated_cuda).items()
        if name.lstrip("_").startswith("cuda") and callable(f)
    }
    assert len(functions) > 15
    for name, function in functions.items():
        taken = len(inspect.signature(function).parameters) - 1
        assert len(inspect.signature(getattr(real, name)).parameters) == taken, name
    for name in ("cudaHostAllocDefault", "cudaStreamNonBlocking", "cudaEventDisableTiming"):
        assert int(getattr(real, name)) == getattr(imitated_cuda, name)
    for enum in ("cudaMemcpyKind", "cudaDeviceAttr"):
        for name, value in vars(getattr(imitated_cuda, enum)).items():
            assert int(getattr(getattr(real, enum), name)) == value


# ---- what cannot be served


def test_a_plan_that_is_no_engine_is_refused(machine):
    with pytest.raises(BundleError, match="truncated, or is no engine"):
        open_engine(b"anything else", {"graph": "net", "variant": TRT})


def test_an_engine_that_the_runtime_calls_invalid_is_refused(machine, monkeypatch):
    monkeypatch.setattr(
        machine.rtx.runtime_class, "get_engine_validity", lambda self, content: (machine.rtx.EngineValidity.INVALID, 33)
    )
    with pytest.raises(BundleError, match="reasons 0x21"):
        open_sums()


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("location", "HOST", "determine shapes"),
        ("format", "CHW2", "not dense"),
        ("data_dependent", -1, "depends on data"),
    ],
)
def test_tensors_that_it_cannot_serve_are_refused(machine, attribute, value, message):
    setattr(
        machine.rtx, attribute, getattr(getattr(machine.rtx, f"Tensor{attribute.title()}", None), str(value), value)
    )
    with pytest.raises(EdgeMMError, match=message):
        open_sums()


def test_types_that_numpy_lacks_are_refused(machine):
    model = onnx_of(
        [helper.make_node("Identity", ["x"], ["y"])],
        [("x", TensorProto.DOUBLE, ["batch", 2])], [("y", TensorProto.DOUBLE, ["batch", 2])],
    )  # fmt: skip
    with pytest.raises(BundleError, match="'x' of the engine cannot be served: its type is BF16"):
        open_engine(PLAN + model, {"graph": "net", "variant": RTX})


# ---- what must be there first


@pytest.mark.parametrize("variant", [RTX, TRT], ids=lambda variant: variant.backend)
@pytest.mark.parametrize(
    ("missing", "kind", "message"),
    [
        ("module", MissingDependencyError, r"pip install 'edgemm\[tensorrt(-rtx)?\]'"),
        ("bindings", MissingDependencyError, r"pip install 'edgemm\[cuda\]'"),
        ("gpu", MissingDependencyError, "this machine has none"),
        ("capability", BundleError, r"built for SM89 .*this machine's GPU is SM75, SM86; .*edgemm build BUNDLE"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_loaded(machine, monkeypatch, variant, missing, kind, message):
    if missing == "module":
        monkeypatch.setitem(sys.modules, variant.backend, None)
    elif missing == "bindings":
        monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    else:
        machine.capabilities = () if missing == "gpu" else (75, 86)
    with pytest.raises(kind, match=message):
        open_sums(variant)
    assert fit(variant).problem
    assert machine.gpu.calls == []


@pytest.mark.parametrize("function", ["cudaGetDeviceCount", "cudaSetDevice"])
def test_an_old_driver_is_said(machine, function):
    machine.gpu.fail[function] = 35
    with pytest.raises(MissingDependencyError, match="NVIDIA driver is older"):
        open_sums()


def test_engines_of_another_tensorrt_are_refused_and_of_another_rtx_left_to_it(machine):
    machine.trt.__version__ = "10.7.0"
    with pytest.raises(BundleError, match=r"written by TensorRT 10\.3\.0, and this machine has 10\.7\.0.*edgemm build"):
        open_sums(TRT)
    machine.trt.__version__ = "8.6.1"
    with pytest.raises(MissingDependencyError, match=r"needs 10\.3"):
        open_sums(TRT)
    assert fit(RTX) == opening.RunnerFit(exact=True)
    machine.rtx.__version__ = "1.8.0"
    assert fit(RTX) == opening.RunnerFit(exact=False)
    open_sums(RTX).close()


def test_the_gpu_that_the_engine_is_for_is_used_by_cudas_number(machine):
    machine.capabilities = (89, 75, 89)
    machine.gpu.capabilities = (75, 86, 89, 89)
    open_sums().close()
    assert set(machine.gpu.threads.values()) == {2}


def test_a_gpu_that_cuda_hides_from_this_process_is_said(machine):
    machine.gpu.capabilities = (75,)
    with pytest.raises(
        BundleError, match=r"built for SM89, and CUDA shows this process SM75; see CUDA_VISIBLE_DEVICES"
    ):
        open_sums()


# ---- compiled kernels


def test_compiled_kernels_are_kept_and_offered_again(machine, tmp_path):
    open_sums().close()
    (kept,) = (tmp_path / "cache" / "edgemm" / "kernels").iterdir()
    assert kept.read_bytes() == machine.rtx.compiled
    assert kept.stat().st_mode & 0o077 == 0
    assert machine.rtx.offered == []
    os.utime(kept, ns=(10**18, 10**18))
    open_sums().close()
    assert machine.rtx.offered == [machine.rtx.compiled]
    assert kept.stat().st_mtime_ns == 10**18, "what did not change is not written again"
    machine.rtx.compiled = b"kernels of a new driver"
    open_sums().close()
    assert kept.read_bytes() == b"kernels of a new driver"
    assert len(list(kept.parent.iterdir())) == 1


def test_a_rejected_cache_is_not_blamed_for_what_fails_later(machine):
    open_sums().close()
    machine.rtx.compiled = b"kernels of a new driver"
    machine.gpu.fail["execute_async_v3"] = "the true reason"
    with pytest.raises(EngineError, match="the true reason") as caught:
        open_sums()
    assert "rejecting cache" not in str(caught.value)


@pytest.mark.parametrize("trouble", ["serialize", "set_runtime_cache", "home", "folder"])
def test_kernels_that_cannot_be_kept_do_not_matter(machine, monkeypatch, tmp_path, trouble):
    if trouble == "home":
        monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    elif trouble == "folder":
        (tmp_path / "cache").write_text("a file where the folder should be")
    else:
        machine.gpu.fail[trouble] = "no"
    opened = open_sums()
    given = feeds()
    np.testing.assert_array_equal(opened.run(given)[0], given["frame"] + given["x"])
    opened.close()


def test_tensorrt_has_no_kernels_to_keep(machine, tmp_path):
    open_sums(TRT).close()
    assert not os.path.exists(tmp_path / "cache")
