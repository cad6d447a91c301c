"""The runner of TensorRT engines, on an imitated GPU that breaks the test when it is misused (see conftest.py)."""

from __future__ import annotations

import os
import sys
import threading

import numpy as np
import pytest
from small_engines import RTX, SUMS, TRT, feeds, open_sums

from edgemm.bundle.manifest import GraphRecord
from edgemm.errors import BundleError, InputError, MissingDependencyError
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm.tensors import TensorSpec
from edgemm_exporters.tensorrt_engine.runner import opening
from edgemm_exporters.tensorrt_engine.runner.failures import EngineError
from edgemm_exporters.tensorrt_engine.runner.opening import fit

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
