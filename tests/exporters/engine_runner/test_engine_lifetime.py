"""How long bound engines and their values live, and what happens when a call fails, on the imitated GPU."""

from __future__ import annotations

import gc
import itertools
import threading

import numpy as np
import pytest
from small_engines import PRODUCT, TWICE, Chain, row

from edgemm.errors import EdgeMMError
from edgemm_exporters.tensorrt_engine.runner.failures import DeviceLostError, EngineError

# ---- lifetime


def test_what_is_garbage_is_given_back_at_the_next_bind(machine, load):
    runner = load(TWICE)
    kept = machine.gpu.leaks()
    for _ in range(3):
        bound = runner.bind()
        outputs = bound.new_outputs()
        bound.feed("x", row(1))
        bound.run(outputs)
        assert outputs[0].array[0, 0] == 2
        del bound, outputs
        gc.collect()
    held = machine.gpu.leaks()
    assert held["device"] == kept["device"] + 3, "two outputs and an input of the last one"
    bound = runner.bind()
    assert bound
    assert machine.gpu.leaks() == {**kept, "events": kept["events"] + 1}


def test_garbage_that_is_still_read_is_waited_for(machine, load):
    first, second = load(TWICE), load(PRODUCT)
    chain = Chain(first.bind(), second.bind())
    chain.first.run(chain.between)
    chain.second.run(chain.last)
    last = chain.last
    del chain
    gc.collect()
    again = first.bind()  # the imitation refuses to free what pending work uses
    assert last[0].array[0, 0] == 20
    del again


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("pending", [False, True])
def test_engines_close_in_any_order_while_values_live(machine, load, order, pending):
    runners = [load(TWICE), load(TWICE), load(PRODUCT)]
    one, two, last = (runner.bind() for runner in runners)
    values = [bound.new_outputs() for bound in (one, two, last)]
    one.feed("x", row(1))
    two.link("x", values[0][0])
    last.link("a", values[1][0])
    last.link("b", values[0][1])
    for bound, outputs in zip((one, two, last), values, strict=True):
        bound.run(outputs)
    if not pending:
        assert values[2][0].array[0, 0] == -4
    for index in order:
        runners[index].close()
    assert machine.gpu.leaks() == {}


def test_a_closed_engine_is_said_by_whoever_needs_it(machine, load):
    runner, reader = load(TWICE, graph="first"), load(PRODUCT, graph="second")
    chain = Chain(runner.bind(), reader.bind())
    assert chain.run()[0, 0] == 20
    unseen = chain.between[0]
    runner.close()
    with pytest.raises(EngineError, match="graph 'first': its engine was closed"):
        chain.first.run(chain.between)
    with pytest.raises(
        EngineError, match="graph 'second' reads what graph 'first' wrote, and that one's engine was closed"
    ):
        chain.second.run(chain.last)
    for use in (
        lambda: unseen.array,
        unseen.clear,
        lambda: unseen.put(row(1)[0]),
        chain.first.new_outputs,
        chain.first.wait,
        runner.bind,
    ):
        with pytest.raises(EngineError, match="graph 'first': its engine was closed"):
            use()
    assert chain.last[0].array[0, 0] == 20, "what was looked at is on the host"
    chain.second.feed("a", row(3))
    chain.second.run(chain.last)
    assert chain.last[0].array[0, 0] == 30, "the other engine goes on"


def test_closing_waits_for_who_is_at_it_in_another_thread(machine, load):
    machine.rtx.slow_s = 0.0005
    runner = load(TWICE)
    failures, started = [], threading.Barrier(4)

    def work():
        bound = runner.bind()
        outputs = bound.new_outputs()
        bound.feed("x", row(1))
        started.wait()
        try:
            while True:
                bound.run(outputs)
                assert outputs[0].array[0, 0] == 2
        except EngineError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    started.wait()
    runner.close()
    for thread in threads:
        thread.join()
    assert failures == ["graph 'net': its engine was closed"] * 3
    assert machine.gpu.leaks() == {}


def test_closing_waits_for_who_is_about_to_read_pinned_memory(machine, load, monkeypatch):
    runner = load(TWICE)
    bound = runner.bind()
    outputs = bound.new_outputs()
    bound.feed("x", row(1))
    bound.run(outputs)
    waiting, go_on, seen = threading.Event(), threading.Event(), []
    wait = machine.cuda._cudaEventSynchronize

    def slow_wait(event):
        wait(event)
        waiting.set()
        machine.gpu.lock.release()  # as the driver, which lets others call meanwhile
        go_on.wait()
        machine.gpu.lock.acquire()

    monkeypatch.setattr(machine.cuda, "_cudaEventSynchronize", slow_wait)
    looking = threading.Thread(target=lambda: seen.append(outputs[0].array[0, 0]))
    looking.start()
    waiting.wait()
    closing = threading.Thread(target=runner.close)
    closing.start()
    closing.join(0.2)
    held = machine.gpu.leaks()
    go_on.set()
    looking.join()
    closing.join()
    assert held["pinned"] > 0
    assert seen == [2], "not what freed memory holds"


def test_threads_with_bindings_of_one_engine_get_their_own_answers(machine, load):
    machine.rtx.slow_s = 0.0002
    first, second = load(TWICE), load(PRODUCT)
    wrong = []

    def work(seed):
        chain = Chain(first.bind(), second.bind())
        for turn in range(10):
            chain.x[:] = seed * 100 + turn
            if not np.array_equal(chain.run(), chain.expected):
                wrong.append((seed, turn))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ---- failures


def everything(chain):
    """Every call that a bound run makes: looked at, put, cleared, bound anew."""
    chain.run()
    chain.between[1].array
    chain.between[0].put(row(1)[0])
    chain.last[0].clear()
    chain.first.wait()
    chain.second.link("b", chain.between[1])
    chain.second.feed("b", chain.b)
    return chain.run()


def test_any_call_that_fails_is_told_and_the_next_run_works(machine, load):
    first, second = load(TWICE), load(PRODUCT)

    def attempt(at):
        chain = Chain(first.bind(), second.bind())
        machine.gpu.until_failure = at
        try:
            everything(chain)
            told = ""
        except EdgeMMError as error:
            told = str(error)
        reached = machine.gpu.until_failure is None
        machine.gpu.until_failure = None
        chain.x[:] = at
        np.testing.assert_array_equal(everything(chain), chain.expected)
        return told, reached

    failed = 0
    for at in itertools.count():
        told, reached = attempt(at)
        if not reached:
            break
        assert "error number 999" in told or "a reason of its own" in told
        failed += 1
    assert failed > 30


def test_any_call_that_fails_while_binding_is_told_and_leaves_nothing(machine, load):
    first, second = load(TWICE), load(PRODUCT)
    kept = machine.gpu.leaks()
    for at in itertools.count():
        machine.gpu.until_failure = at
        try:
            chain = Chain(first.bind(), second.bind())
        except EdgeMMError:
            pass
        else:
            machine.gpu.until_failure = None
            break
        gc.collect()
    assert at > 10
    del chain
    gc.collect()
    for runner in (first, second):
        binding = runner.bind()
        del binding
    gc.collect()
    assert machine.gpu.leaks()["device"] == kept["device"]
    assert machine.gpu.leaks()["pinned"] == kept["pinned"]


@pytest.mark.parametrize(
    "function", ["cudaEventSynchronize", "cudaStreamWaitEvent", "cudaMemcpyAsync", "cudaSetDevice"]
)
def test_a_lost_gpu_is_not_touched_again_by_bound_engines(machine, pair, function):
    pair.run()
    machine.gpu.fail[function] = 700
    with pytest.raises(DeviceLostError, match="restart it"):
        everything(pair)
    calls = list(machine.gpu.calls)
    for use in (lambda: pair.first.run(pair.between), pair.first.new_outputs, pair.between[0].clear):
        with pytest.raises(DeviceLostError, match="restart it"):
            use()
    assert machine.gpu.calls == calls


def test_an_address_that_tensorrt_did_not_take_is_not_taken_for_known(machine, pair):
    pair.run()
    pair.second.link("a", pair.between[1])
    machine.gpu.fail["set_tensor_address"] = "no"
    with pytest.raises(EngineError, match="does not take the address of 'a'"):
        pair.run()
    pair.second.link("a", pair.between[0])
    np.testing.assert_array_equal(pair.run(), pair.expected)


def test_work_of_a_failed_run_that_could_not_be_waited_for_is_waited_for_later(machine, pair):
    pair.run()
    machine.gpu.fail["execute_async_v3"] = "no"
    machine.gpu.fail["cudaStreamSynchronize"] = 999
    with pytest.raises(EngineError, match="no"):
        pair.first.run(pair.between)  # its copy up is pending, and reads pinned memory
    pair.x[:] = 5
    np.testing.assert_array_equal(pair.run(), pair.expected)
