"""What fails when engines are loaded and run, call by call, and what cannot be served; the imitations beside the real modules."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from imitated_tensorrt import PLAN
from onnx import TensorProto, helper
from small_engines import RTX, TRT, feeds, onnx_of, open_sums

from edgemm.errors import BundleError, EdgeMMError, MissingDependencyError
from edgemm.host.optional import is_installed
from edgemm_exporters.tensorrt_engine.runner import failures, opening
from edgemm_exporters.tensorrt_engine.runner.failures import DeviceLostError, EngineError
from edgemm_exporters.tensorrt_engine.runner.opening import open_engine

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
