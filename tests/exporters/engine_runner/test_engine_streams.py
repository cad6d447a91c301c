"""Bundles of bound engines, streamed on the imitated GPU: the CPU's answers, and nothing over the bus but what is asked for."""

from __future__ import annotations

import gc
import itertools
import threading

import numpy as np
import pytest
from onnx import helper
from small_engines import copies
from small_models import (
    ANSWER,
    BOOL,
    CPU,
    FLAG,
    FLOAT,
    GPU,
    KINDS,
    MEMBERS,
    MS,
    NAMES,
    TOKENS,
    TRUSTED,
    X,
    model,
    onnx_of,
    same,
    script,
)

import edgemm
from edgemm.bundle.manifest import GraphRecord, Manifest, Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.errors import EdgeMMError
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import Trigger
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm.runtime.batch import Batch, Measured
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.outputs.array import Array


@pytest.fixture
def bundle(machine, tmp_path):
    """Makes a bundle of a model, for the CPU and as engines."""

    def make(graph, contents):
        runners = {name: OnnxRuntimeRunner(content, name) for name, content in contents.items()}
        with BundleWriter(tmp_path / "net.edgemm", overwrite=True) as writer:
            onnx = {name: writer.add(f"graphs/{name}/model.onnx", content) for name, content in contents.items()}
            engines = {
                name: writer.add(f"variants/{GPU}/{name}.engine", b"plan " + content)
                for name, content in contents.items()
            }
            variants = {
                CPU: Variant("cpu", "onnxruntime", "1", "fp32", onnx),
                GPU: Variant(
                    "rtx-4090", "tensorrt_rtx", machine.rtx.__version__, "fp32", engines, compute_capability=89
                ),
            }
            records = {name: GraphRecord(tuple(r.inputs), tuple(r.outputs)) for name, r in runners.items()}
            writer.finish(
                lambda files: Manifest(graph.name, graph.inputs, records, graph.nodes, graph.outputs, variants, files)
            )
        return tmp_path / "net.edgemm"

    return make


@pytest.fixture
def opened(bundle):
    """Opens a kind of model on the GPU, and closes it."""
    models = []

    def make(kind="plain", variant=GPU):
        models.append(edgemm.open(bundle(*model(kind)), variant=variant, trust=TRUSTED))
        return models[-1]

    yield make
    for one in models:
        one.close()


@pytest.fixture
def both(opened):
    """Opens a kind of model on both."""
    return lambda kind="plain": (opened(kind, CPU), opened(kind, GPU))


# ---- the CPU's answers


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_of_engines_gives_the_cpus_answers(both, kind):
    lives = [one.live() for one in both(kind)]
    for at, (name, value, at_ns) in enumerate(script()):
        if at == 25:
            for live in lives:
                live.reset("audio")
        expected, got = (live.push(name, value, at_ns) for live in lives)
        same(got, expected)
    expected, got = (live.tick(1000 * MS) for live in lives)
    same(got, expected)


@pytest.mark.parametrize("kind", ["plain", "state", "hold state"])
def test_reset_forgets_what_is_on_the_gpu(opened, kind):
    live = opened(kind).live()
    answers = []
    for _ in range(2):
        live.reset()
        answers.append([live.push(*packet) for packet in script(15)])
    for first, second in zip(*answers, strict=True):
        same(second, first)


@pytest.mark.parametrize("kind", ["plain", "state", "hold"])
def test_streams_of_one_model_do_not_meet_on_the_gpu(both, kind):
    cpu, gpu = both(kind)
    lives = [[one.live() for one in (cpu, gpu)] for _ in range(3)]
    scripts = [script(20, seed) for seed in range(3)]
    for packets in zip(*scripts, strict=True):
        for (plain, bound), packet in zip(lives, packets, strict=True):
            same(bound.push(*packet), plain.push(*packet))


def test_streams_of_one_model_run_on_threads_of_their_own(machine, both):
    machine.rtx.slow_s = 0.0002
    cpu, gpu = both("state")
    wrong = []

    def work(seed):
        plain, bound = cpu.live(), gpu.live()
        try:
            for packet in script(20, seed):
                same(bound.push(*packet), plain.push(*packet))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("kind", ["plain", "state", "hold state"])
@pytest.mark.parametrize("together", [True, False])
def test_a_batch_of_streams_gives_each_its_own_answers(monkeypatch, both, kind, together):
    monkeypatch.setattr(Batch, "_measure", lambda *_: Measured(together))
    cpu, gpu = both(kind)
    batch, lives = gpu.batch(3), [cpu.live() for _ in range(3)]
    random = np.random.default_rng(1)
    for number in range(12):
        name = NAMES[number % 3]
        values = [random.uniform(0.1, 1, 4).astype(np.float32) if random.random() < 0.8 else None for _ in range(3)]
        results = batch.push(name, values, number * MS)
        for live, value, got in zip(lives, values, results, strict=True):
            same(got, None if value is None else live.push(name, value, number * MS))


def test_whether_a_batch_pays_is_measured_on_the_gpu_too(opened):
    assert set(opened().batch(2).batched) == {*NAMES, "fusion"}


def test_single_questions_and_streams_share_the_engines(both):
    cpu, gpu = both("state")
    plain, bound = cpu.live(), gpu.live()
    for name, value, at_ns in script(12):
        same(bound.push(name, value, at_ns), plain.push(name, value, at_ns))
        np.testing.assert_allclose(*(one.infer(**{name: value}).outputs.get("answer", 0) for one in (cpu, gpu)))


def test_a_loop_keeps_its_state_on_the_gpu(machine, bundle):
    """It counts x up by its state, which is the answer too, until 5."""
    count = onnx_of(
        [
            helper.make_node("Add", ["n", "one"], ["more"]), helper.make_node("Mul", ["x", "more"], ["said"]),
            helper.make_node("GreaterOrEqual", ["more", "five"], ["stop"]),
        ],
        [("x", FLOAT, [1]), ("n", FLOAT, [1])], [("said", FLOAT, [1]), ("more", FLOAT, [1]), ("stop", BOOL, [1])],
        one=np.float32(1), five=np.float32(5),
    )  # fmt: skip
    nodes = (
        Node(
            "loop",
            "loop",
            edges({"x": "input.x"}),
            ("said", "more", "stop"),
            trigger=Trigger.parse("until(stop)"),
            state={"more": "n"},
        ),
    )
    graph = ModelGraph("count", {"x": Tensor((1,))}, nodes, {"said": Output.of("loop.said", Array())})
    with edgemm.open(bundle(graph, {"loop": count}), variant=GPU, trust=TRUSTED) as opened:
        live = opened.live()
        live.push("x", np.array([2], np.float32), 0)
        with copies(machine) as counted:
            said = []
            while live.running:
                said.append(float(live.resume(MS).outputs["said"][0]))
        assert said == [2, 4, 6, 8, 10]
        assert counted == {"up": 5 * 4, "down": 5 * (4 + 1)}, "x, and what is said and whether to stop; no state"


# ---- what goes over the bus


def test_only_inputs_flags_and_answers_go_over_the_bus(machine, opened):
    live = opened().live()
    for name in NAMES:
        live.push(name, np.ones(4, np.float32), 0)
    expected = {"image": 0, "audio": FLAG, "text": 0}
    for number, name in enumerate(NAMES, 1):
        with copies(machine) as counted:
            result = live.push(name, np.full(4, number, np.float32), number * MS)
        assert counted == {"up": X + 2 * MEMBERS, "down": expected[name] + ANSWER}, "no tokens, either way"
        assert result.outputs["answer"].shape == (2,)
    bound = {name: step.binding.copied_bytes for name, step in live.steps.items()}
    total = {way: sum(counts[way] for counts in bound.values()) for way in ("up", "down")}
    with copies(machine) as counted:
        live.push("text", np.ones(4, np.float32), 9 * MS)
    after = {way: sum(step.binding.copied_bytes[way] for step in live.steps.values()) for way in total}
    assert {way: after[way] - total[way] for way in total} == counted
    assert bound["image"] == {"up": 2 * X, "down": 0}


@pytest.mark.parametrize(
    ("kind", "down"),
    [("state", 0), ("hold", 0), ("hold state", 0), ("state shown", 0), ("hold state shown", TOKENS), ("window", TOKENS), ("window state", TOKENS)],
)  # fmt: skip
def test_state_and_what_is_held_stay_on_the_gpu(machine, opened, kind, down):
    """But for what is held of a state that others read, and for windows, which are kept on the host."""
    live = opened(kind).live()
    for step in range(3):
        live.push("audio", np.ones(4, np.float32), step * MS)
    with copies(machine) as counted:
        live.push("audio", np.ones(4, np.float32), 9 * MS)
    assert counted["down"] == FLAG + ANSWER + down
    held = TOKENS if kind == "hold state shown" else 3 * TOKENS + 3 if "window" in kind else 0
    assert counted["up"] == X + 2 * MEMBERS + held


def test_presence_and_age_are_read_in_place_at_every_run(opened):
    live = opened().live()
    live.push("image", np.ones(4, np.float32), 0)
    live.push("text", np.ones(4, np.float32), 5 * MS)
    sums = [live.tick(at * MS).outputs["answer"].tolist() for at in (10, 20)]
    assert sums == [[16 + 1600, 10 + 5], [16 + 1600, 20 + 15]]


# ---- failures


def test_any_call_that_fails_quarantines_a_node_and_the_others_go_on(machine, both):
    cpu, gpu = both("hold state")
    failed = 0
    for at in itertools.count():
        plain, bound = cpu.live(), gpu.live()
        for packet in script(6):
            plain.push(*packet)
            bound.push(*packet)
        machine.gpu.until_failure = at
        for number, name in enumerate(NAMES):
            bound.push(name, np.full(4, 2, np.float32), (100 + number) * MS)
        reached = machine.gpu.until_failure is None
        machine.gpu.until_failure = None
        if not reached:
            break
        failed += 1
        (node,) = bound.failing
        assert "999" in bound.failing[node] or "a reason of its own" in bound.failing[node]
        for live in (plain, bound):
            live.reset()
        results = [live.push(*packet) for live in (plain, bound) for packet in script(6, 5)]
        for expected, got in zip(results[:6], results[6:], strict=True):
            same(got, expected)
    assert failed > 40


def test_a_node_that_failed_is_absent_with_the_reason_and_comes_back(machine, opened):
    live = opened().live()
    for name in NAMES:
        live.push(name, np.ones(4, np.float32), 0)
    machine.gpu.fail["execute_async_v3"] = "out of memory"
    result = live.push("audio", np.ones(4, np.float32), MS)
    assert result.inputs["audio"].state == "absent"
    assert "out of memory" in result.inputs["audio"].reason
    assert result.outputs["answer"][0] == 16 + 1600, "the others answer"
    assert live.push("audio", np.ones(4, np.float32), 500 * MS).outputs["answer"][0] == 16 + 160 + 1600


def test_a_first_run_that_fails_while_it_binds_is_bound_again(machine, both):
    cpu, gpu = both()
    expected = cpu.live().push("image", np.ones(4, np.float32), 500 * MS)
    for at in itertools.count():
        live = gpu.live()
        machine.gpu.until_failure = at
        live.push("image", np.ones(4, np.float32), 0)
        reached = machine.gpu.until_failure is None
        machine.gpu.until_failure = None
        same(live.push("image", np.ones(4, np.float32), 500 * MS), expected)
        if not reached:
            break
    assert at > 20


def test_streams_that_cannot_be_made_leave_nothing(machine, opened):
    gpu = opened("hold state")

    def tidy():
        for _ in range(2):
            gc.collect()
            for runner in gpu.runners.values():
                runner.bind()
        return machine.gpu.leaks()

    kept = tidy()
    failed = 0
    for at in itertools.count():
        machine.gpu.until_failure = at
        try:
            gpu.live()
        except EdgeMMError:
            failed += 1
        reached = machine.gpu.until_failure is None
        machine.gpu.until_failure = None
        if not reached:
            break
    assert failed > 40
    left = tidy()
    assert left["device"] - kept["device"] <= at - failed, "but for what could not be freed, which the end tries again"


# ---- ends


@pytest.mark.parametrize("order", list(itertools.permutations((*NAMES, "fusion")))[::5], ids="-".join)
def test_engines_close_in_any_order_under_a_stream(machine, opened, order):
    gpu = opened()
    live = gpu.live()
    for name in NAMES:
        live.push(name, np.ones(4, np.float32), 0)
    live.steps["image"].binding.run()  # pending
    for number, name in enumerate(order, 1):
        gpu.runners[name].close()
        result = live.push("text", np.ones(4, np.float32), number * 1000 * MS)
        if result is not None:
            assert all("closed" in reason for reason in live.failing.values())
    assert live.failing
    assert machine.gpu.leaks() == {}


def test_a_model_that_is_closed_under_its_stream_is_said(machine, opened):
    gpu = opened()
    live = gpu.live()
    for name in NAMES:
        live.push(name, np.ones(4, np.float32), 0)
    gpu.close()
    assert machine.gpu.leaks() == {}
    result = live.push("image", np.ones(4, np.float32), MS)
    assert result.outputs == {}
    assert "closed" in live.failing["image"]
    assert "closed" in live.failing["fusion"]


def test_what_a_stream_has_held_is_given_back_when_the_next_one_is_made(machine, opened):
    gpu = opened("hold state")

    def stream():
        live = gpu.live()
        for packet in script(10):
            live.push(*packet)
        return live

    live = stream()
    held = machine.gpu.leaks()
    for _ in range(3):
        del live
        gc.collect()
        live = stream()
        assert machine.gpu.leaks()["device"] <= held["device"] + 8, "but for what making a stream leaves over"
    assert live
