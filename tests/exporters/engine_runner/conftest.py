"""A machine with an imitated GPU (`imitated_cuda`, `imitated_tensorrt`), and engines on it."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from imitated_cuda import UNWRITTEN, CudaRuntime, Gpu
from imitated_tensorrt import PLAN, Config, Context, Kernels, RtxEngine, Runtime, TensorRt
from small_engines import PRODUCT, RTX, TRT, TWICE, Chain, open_sums

from edgemm_exporters.tensorrt_engine.runner.opening import open_engine


class Machine:
    """A machine with one GPU of compute capability 8.9 and both TensorRT modules; breaks the test at the end if it was misused."""

    def __init__(self, monkeypatch):
        self.gpu = Gpu()
        self.cuda = CudaRuntime(self.gpu)
        self.rtx = TensorRt(self.gpu, "tensorrt_rtx", "1.7.1.116", True)
        self.trt = TensorRt(self.gpu, "tensorrt", "10.3.0", False)
        for name, module in (
            ("cuda", ModuleType("cuda")), ("cuda.bindings", ModuleType("cuda.bindings")),
            ("cuda.bindings.runtime", self.cuda), ("tensorrt_rtx", self.rtx), ("tensorrt", self.trt),
        ):  # fmt: skip
            monkeypatch.setitem(sys.modules, name, module)
        self.capabilities = (75, 89)  # as the driver lists them
        opening = "edgemm_exporters.tensorrt_engine.runner.opening"
        monkeypatch.setattr(f"{opening}.compute_capabilities", lambda: self.capabilities)


@pytest.fixture
def imitations():
    """TensorRT's name of a class -> what stands for it, and the imitated module."""
    classes = {
        "Runtime": Runtime, "ICudaEngine": RtxEngine, "IExecutionContext": Context,
        "IRuntimeConfig": Config, "IRuntimeCache": Kernels,
    }  # fmt: skip
    return classes, TensorRt(Gpu(), "tensorrt_rtx", "1.7.1.116", True)


@pytest.fixture
def imitated_cuda():
    """What stands for `cuda.bindings.runtime`, which is not replaced by it."""
    return CudaRuntime


@pytest.fixture
def machine(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    here = Machine(monkeypatch)
    yield here
    assert here.gpu.violations == []
    assert all((view == UNWRITTEN).all() for _, view in here.gpu.graveyard), (
        "pinned memory was written after it was freed"
    )
    if not here.gpu.dead:
        assert here.gpu.leaks() == {}, "something was not given back"


@pytest.fixture(params=[RTX, TRT], ids=lambda variant: variant.backend)
def runner(machine, request):
    opened = open_sums(request.param)
    yield opened
    opened.close()


@pytest.fixture
def load(machine):
    """Opens engines of graphs; all are closed at the end, in the order that they were opened in."""
    opened = []

    def make(content, variant=RTX, graph="net"):
        opened.append(open_engine(PLAN + content, {"graph": graph, "variant": variant}))
        return opened[-1]

    yield make
    for runner in opened:
        runner.close()


@pytest.fixture
def pair(load):
    """Two bound engines, the second of which reads what the first writes: s = 2 x * b, z = -x."""
    first, second = load(TWICE, graph="first").bind(), load(PRODUCT, graph="second").bind()
    chain = Chain(first, second)
    yield chain
    chain.first = chain.second = chain.between = chain.last = None
