"""Engines bound to each other: values that stay on the imitated GPU, what is copied, and in which order."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from small_engines import PRODUCT, RTX, TRT, TWICE, copies, graph_of, row

from edgemm.errors import InputError
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm.runners.values import HostValue, PlainBound
from edgemm.testing import check_runner

# ---- answers


@pytest.mark.parametrize("variant", [RTX, TRT], ids=lambda variant: variant.backend)
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_a_bound_run_computes_what_the_graph_does(load, variant, batch):
    given = np.random.default_rng(batch).standard_normal((batch, 3)).astype(np.float32)
    bound = load(TWICE, variant).bind(batch)
    outputs = bound.new_outputs()
    bound.feed("x", given)
    bound.run(outputs)
    for value, expected in zip(outputs, OnnxRuntimeRunner(TWICE, "net").run({"x": given}), strict=True):
        np.testing.assert_array_equal(value.array, expected)
        assert value.memory == "cuda:1"


def test_what_is_fed_is_read_anew_at_every_run(pair):
    for number in (1, 2, 3):
        pair.x[:] = number
        pair.b[:] = number + 1
        np.testing.assert_array_equal(pair.run(), np.full((1, 3), 2 * number * (number + 1)))


def test_what_is_fed_need_not_be_contiguous(load):
    bound = load(TWICE).bind()
    outputs = bound.new_outputs()
    bound.feed("x", np.arange(6, dtype=np.float32)[np.newaxis, ::2])
    bound.run(outputs)
    np.testing.assert_array_equal(outputs[0].array, [[0, 4, 8]])


def test_an_input_can_be_linked_after_it_was_fed_and_fed_after_it_was_linked(pair):
    pair.run()
    pair.second.feed("a", row(100))
    np.testing.assert_array_equal(pair.run(), row(1000))
    pair.second.link("a", pair.between[1])
    np.testing.assert_array_equal(pair.run(), row(-10))


def test_state_is_double_buffered_on_the_device(machine, load):
    bound = load(PRODUCT).bind()
    now, then = bound.new_outputs(), bound.new_outputs()
    now[0].put(row(1)[0])
    bound.feed("a", row(2))
    with copies(machine) as counted:
        for _ in range(5):
            bound.link("b", now[0])
            bound.run(then)
            now, then = then, now
    assert counted == {"up": 5 * 12, "down": 0}
    np.testing.assert_array_equal(now[0].array, row(32))


def test_bindings_of_one_engine_and_plain_runs_do_not_meet(load):
    runner = load(TWICE)
    bounds = [runner.bind(batch) for batch in (1, 2, 1)]
    values = []
    for number, bound in enumerate(bounds):
        outputs = bound.new_outputs()
        bound.feed("x", row(number + 1, batch=bound.new_outputs()[0].shape[0]))
        bound.run(outputs)
        values.append(outputs)
        plain = runner.run({"x": row(50 + number, batch=4)})
        assert plain[0].tolist() == row(100 + 2 * number, batch=4).tolist()
    assert [outputs[0].array[0, 0] for outputs in values] == [2, 4, 6]


def test_an_engine_whose_other_axes_vary_is_bound_by_feeding_it(load):
    runner = load(TWICE)
    found = runner._ranges["x"]
    runner._ranges["x"] = type(found)((1, 1), (1, 3), (8, 3))
    assert isinstance(runner.bind(), PlainBound)


@pytest.mark.parametrize("variant", [RTX, TRT], ids=lambda variant: variant.backend)
@pytest.mark.parametrize("content", [TWICE, PRODUCT], ids=["one input", "two inputs"])
def test_engines_keep_the_contract_of_runners(load, variant, content):
    check_runner(load(content, variant), batches=(1, 3, 8))


# ---- copies


def test_nothing_is_copied_between_engines(machine, pair):
    pair.run()
    with copies(machine) as counted:
        pair.first.run(pair.between)
    assert counted == {"up": 12, "down": 0}
    with copies(machine) as counted:
        pair.second.run(pair.last)
        assert pair.last[0].array[0, 0] == 20
    assert counted == {"up": 12, "down": 12}
    assert pair.first.copied_bytes == {"up": 24, "down": 0}
    assert pair.second.copied_bytes == {"up": 24, "down": 24}


def test_a_value_is_copied_down_once_per_run_and_only_for_who_looks(machine, pair):
    pair.first.run(pair.between)
    with copies(machine) as counted:
        first_look = pair.between[0].array
        assert pair.between[0].array is first_look
    assert counted == {"up": 0, "down": 12}
    pair.x[:] = 4
    pair.first.run(pair.between)
    with copies(machine) as counted:
        assert pair.between[0].array is first_look, "the same array after every run"
        assert first_look.tolist() == [[8, 8, 8]]
    assert counted == {"up": 0, "down": 0}, "what was looked at before is copied with the run"
    pair.first.run(pair.between)
    with copies(machine) as counted:
        pair.x[:] = 5
        pair.first.run(pair.between)
    assert counted["down"] == 0, "nobody looked any more"
    assert pair.between[0].array.tolist() == [[10, 10, 10]], "not what was copied with the run before"


def test_the_host_waits_once_for_all_that_it_looked_at_before(machine, pair):
    def look():
        pair.first.run(pair.between)
        before = len(machine.gpu.calls)
        values = [value.array[0, 0] for value in pair.between]
        return values, machine.gpu.calls[before:]

    look()
    assert look() == ([2, -1], ["cudaEventSynchronize"])


def test_new_outputs_are_zeros_on_both_sides(machine, load):
    bound, reader = load(TWICE).bind(), load(PRODUCT).bind()
    with copies(machine) as counted:
        outputs = bound.new_outputs()
        assert outputs[0].array.tolist() == [[0, 0, 0]]
    assert counted == {"up": 0, "down": 0}
    last = reader.new_outputs()
    reader.link("a", outputs[0])
    reader.feed("b", row(3))
    reader.run(last)
    assert last[0].array.tolist() == [[0, 0, 0]], "not 0xCD"


def test_put_and_clear_are_seen_by_who_is_linked(machine, pair):
    pair.run()
    value = pair.between[0]
    value.put(row(7)[0])
    pair.second.run(pair.last)
    assert (value.array[0, 0], pair.last[0].array[0, 0]) == (7, 70)
    with copies(machine) as counted:
        value.clear()
    assert counted == {"up": 0, "down": 0}
    pair.second.run(pair.last)
    assert (value.array[0, 0], pair.last[0].array[0, 0]) == (0, 0)


def test_rows_that_are_put_one_after_the_other_do_not_meet_in_pinned_memory(machine, pair):
    value = pair.between[0]
    with copies(machine) as counted:
        for number in (1, 2, 3):
            value.put(row(number)[0])  # the imitation compares what it copies with what was there
    assert counted == {"up": 36, "down": 0}
    assert pair.first.copied_bytes == counted
    pair.second.run(pair.last)
    assert pair.last[0].array[0, 0] == 30


def test_a_row_of_another_shape_is_refused(pair):
    with pytest.raises(InputError, match=r"float32 \[3\], got float64 \[3\]"):
        pair.between[0].put(np.zeros(3))
    with pytest.raises(InputError, match=r"float32 \[3\], got float32 \[1\]"):
        pair.between[0].put(np.zeros(1, np.float32))


def test_a_thousand_bound_runs_allocate_nothing_and_tell_tensorrt_nothing_twice(machine, pair):
    pair.run()
    gpu = machine.gpu
    before = gpu.allocations, gpu.shape_calls, gpu.address_calls
    for number in range(1000):
        pair.x[:] = number
        assert pair.run()[0, 0] == 20 * number
    assert (gpu.allocations, gpu.shape_calls, gpu.address_calls) == before


# ---- order


def test_the_next_engine_waits_on_the_device_and_the_host_does_not(machine, pair):
    pair.run()
    before = len(machine.gpu.calls)
    pair.first.run(pair.between)
    pair.second.run(pair.last)
    assert machine.gpu.calls[before:].count("cudaStreamWaitEvent") == 1
    pending = [stream for stream, work in machine.gpu.streams.items() if machine.gpu.done[stream] < len(work)]
    assert len(pending) == 2
    assert pair.last[0].array[0, 0] == 20


def test_what_the_host_has_waited_for_needs_no_event(machine, pair):
    pair.run()
    pair.first.run(pair.between)
    assert pair.between[0].array[0, 0] == 2
    before = len(machine.gpu.calls)
    pair.second.run(pair.last)
    assert "cudaStreamWaitEvent" not in machine.gpu.calls[before:]


@pytest.mark.parametrize("write", ["run", "put", "clear"])
def test_nobody_overwrites_what_the_next_engine_still_reads(pair, write):
    pair.first.run(pair.between)
    pair.second.run(pair.last)  # pending
    if write == "run":
        pair.x[:] = 99
        pair.first.run(pair.between)
    elif write == "put":
        pair.between[0].put(row(99)[0])
    else:
        pair.between[0].clear()
    assert pair.last[0].array[0, 0] == 20, "and the imitation has seen no race"


def test_pinned_memory_is_not_overwritten_while_it_is_copied_up(machine, pair):
    for number in (1, 2, 3):
        pair.x[:] = number
        pair.first.run(pair.between)  # the imitation compares what it copies with what was there
    assert pair.between[0].array[0, 0] == 6


def test_wait_blocks_and_copies_nothing(machine, pair):
    pair.first.run(pair.between)
    with copies(machine) as counted:
        pair.first.wait()
    assert machine.gpu.calls[-1] == "cudaEventSynchronize"
    assert counted == {"up": 0, "down": 0}


# ---- what lies elsewhere


class Elsewhere:
    """A value of another memory: its array is made anew at every look."""

    memory, fixed, handle = "cuda:7", True, None

    def __init__(self):
        self.looks = 0

    @property
    def array(self):
        self.looks += 1
        return row(self.looks)


def test_a_value_of_another_memory_is_read_at_every_run(pair):
    value = Elsewhere()
    pair.second.link("b", value)
    looks = value.looks
    assert [pair.run()[0, 0] for _ in range(3)] == [2 * (looks + n) for n in (1, 2, 3)]
    pair.second.feed("b", row(50))
    assert [pair.run()[0, 0] for _ in range(2)] == [100, 100]


def test_a_host_value_whose_array_changes_is_read_where_it_is(pair):
    value = HostValue(row(3), fixed=False)
    pair.second.link("b", value)
    assert pair.run()[0, 0] == 6
    value.array = row(5)
    assert pair.run()[0, 0] == 10
    value.array = row(5).astype(np.float64)
    with pytest.raises(InputError, match="got float64"):
        pair.run()


def test_a_fixed_host_value_is_fed_in_place(pair):
    value = HostValue(row(3))
    pair.second.link("b", value)
    value.array[:] = 4
    assert pair.run()[0, 0] == 8


# ---- wrong use


def test_what_does_not_fit_is_refused_before_the_gpu_sees_it(machine, pair, load):
    wide = load(TWICE, graph="wide").bind(2)
    between = wide.new_outputs()
    calls = len(machine.gpu.calls)
    for name, array, message in (
        ("b", row(1, batch=2), r"graph 'second': the engine is bound to float32 \[1, 3\] for input 'b', got float32 \[2, 3\]"),
        ("b", row(1).astype(np.float64), "got float64"),
        ("c", row(1), "no input 'c'; it has: a, b"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            pair.second.feed(name, array)
    with pytest.raises(InputError, match=r"got float32 \[2, 3\]"):
        pair.second.link("a", between[0])
    assert len(machine.gpu.calls) == calls
    assert pair.run()[0, 0] == 20, "and what was bound before stays bound"


def test_an_input_that_was_never_bound_is_said(load):
    bound = load(PRODUCT).bind()
    bound.feed("a", row(1))
    with pytest.raises(InputError, match="graph 'net': input 'b' was neither fed nor linked"):
        bound.run(bound.new_outputs())


@pytest.mark.parametrize("batch", [0, 9])
def test_a_batch_that_the_engine_was_not_built_for_is_refused(load, batch):
    with pytest.raises(InputError, match=f"takes a batch of 1 to 8, got {batch}"):
        load(TWICE).bind(batch)


def test_a_graph_whose_first_axis_is_fixed_is_bound_as_it_is(load):
    content = graph_of(helper.make_node("Neg", ["x"], ["y"]), reads="x", writes="y", batch=2)
    bound = load(content).bind()
    outputs = bound.new_outputs()
    bound.feed("x", row(1, batch=2))
    bound.run(outputs)
    assert outputs[0].array.tolist() == row(-1, batch=2).tolist()


def test_a_run_writes_only_into_values_of_its_own_binding(pair):
    for outputs in (pair.last, (HostValue(row(0)), HostValue(row(0)))):
        with pytest.raises(InputError, match="output 'y' is not one"):
            pair.first.run((*outputs, *outputs)[:2])
    assert pair.run()[0, 0] == 20
