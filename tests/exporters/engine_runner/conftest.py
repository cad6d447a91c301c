"""An imitated GPU: `cuda.bindings.runtime` and a TensorRT module that break the test when they are used wrongly.

Device addresses are no memory of this process; what the host reads too early is 0xCD; work happens when somebody waits for it. Work of two streams
that touches the same memory must be ordered by an event or by the host, and memory must not be freed while pending work uses it. An "engine"
is an ONNX graph that ONNX Runtime executes, so that answers are right or wrong.
"""

from __future__ import annotations

import ctypes
import itertools
import sys
import threading
import time
import weakref
from types import ModuleType, SimpleNamespace

import numpy as np
import onnxruntime
import pytest

UNWRITTEN = 0xCD
DEVICE_BASE = 1 << 52  # not an address that a process can have: touching it ends the test run
PLAN = b"plan "
STICKY = {700, 710, 716, 719}
TYPES = {
    "tensor(float)": ("FLOAT", np.float32), "tensor(float16)": ("HALF", np.float16), "tensor(int8)": ("INT8", np.int8),
    "tensor(uint8)": ("UINT8", np.uint8), "tensor(int32)": ("INT32", np.int32), "tensor(int64)": ("INT64", np.int64),
    "tensor(bool)": ("BOOL", np.bool_), "tensor(double)": ("BF16", np.float64),
}  # fmt: skip


class Handle:
    """A stream or an event: an object that `int()` takes."""

    def __init__(self, number):
        self.number = number

    def __int__(self):
        return self.number


class Code(int):
    """An error code, as the enums of cuda-bindings."""


class Gpu:
    """What is true of the imitated GPU, and what was done wrong with it."""

    def __init__(self):
        self.violations = []
        self.lock = threading.RLock()  # the driver may be called by several threads
        self.device = {}  # address -> bytes on the device
        self.pinned = {}  # address -> (ctypes memory, view)
        self.graveyard = []  # freed host memory is kept, so that a late read is wrong, and a late write seen, but neither crashes
        self.streams = {}  # number -> queue of work
        self.events = {}  # number -> (stream, how much of its work, what that work comes after)
        self.after = {}  # stream -> {stream: how much of its work comes before what is enqueued next}
        self.uses = {}  # address -> pending work that uses it: (stream, its place there, whether it writes)
        self.copied = {"up": 0, "down": 0}  # bytes between host and device
        self.done = {}  # stream -> how much of its work was executed
        self.numbers = itertools.count(1)
        self.addresses = itertools.count(DEVICE_BASE, 1 << 24)
        self.allocations = 0
        self.live = {"context": 0, "config": 0, "kernels": 0, "engine": 0, "runtime": 0}
        self.contexts = weakref.WeakSet()
        self.threads = {}  # thread -> its GPU
        self.dead = 0  # the sticky error that it had
        self.told = False  # whether anybody was told of it
        self.calls = []
        self.fail = {}  # function -> code or answer, once
        self.skip = {}  # function -> calls that succeed before
        self.until_failure = None  # calls of any function that succeed before one fails
        self.shape_calls = self.address_calls = 0
        self.capabilities = (75, 89)  # of this process's GPUs, as CUDA numbers them

    def wrong(self, what):
        self.violations.append(what)
        raise AssertionError(what)

    def injected(self, name):
        """What a call answers instead of doing its work; None when it works."""
        if self.until_failure is not None:
            self.until_failure -= 1
            if self.until_failure < 0:
                self.until_failure = None
                return 999 if name.startswith("cuda") else "a reason of its own"
        if name in self.fail:
            if self.skip.get(name, 0) > 0:
                self.skip[name] -= 1
                return None
            return self.fail.pop(name)
        return None

    def leaks(self):
        kept = {
            "device": len(self.device),
            "pinned": len(self.pinned),
            "streams": len(self.streams),
            "events": len(self.events),
        }
        return {name: count for name, count in {**kept, **self.live}.items() if count}

    def check_thread(self, what):
        if threading.get_ident() not in self.threads:
            self.wrong(f"{what} in a thread without cudaSetDevice")

    def block(self, address, size, what):
        """The device memory at an address."""
        if address not in self.device:
            self.wrong(f"{what}: {address:#x} is no device memory, or was freed")
        if address % 256:
            self.wrong(f"{what}: {address:#x} is not aligned")
        if size > len(self.device[address]):
            self.wrong(f"{what}: {size} bytes in {len(self.device[address])}")
        return self.device[address]

    def host_block(self, address, size, what):
        if address not in self.pinned:
            self.wrong(f"{what}: {address:#x} is no pinned memory, or was freed")
        if size > len(self.pinned[address][1]):
            self.wrong(f"{what}: {size} bytes in {len(self.pinned[address][1])}")
        return self.pinned[address][1]

    def enqueue(self, stream, work, reads=(), writes=()):
        """Put work into a stream; `reads` and `writes` are the addresses of the blocks that it uses."""
        stream = int(stream)
        if stream not in self.streams:
            self.wrong(f"stream {stream} does not exist")
        place = len(self.streams[stream])
        for address, writing in [*((a, False) for a in reads), *((a, True) for a in writes)]:
            pending = self.pending(address)
            for other, at, wrote in pending:
                if other != stream and (writing or wrote) and self.after[stream].get(other, 0) <= at:
                    self.wrong(f"a race for {address:#x}: two streams use it, and nothing orders them")
            self.uses[address] = [*pending, (stream, place, writing)]
        self.streams[stream].append(work)

    def pending(self, address):
        """The work that uses a block and may not be done."""
        uses = self.uses.get(address, ())
        return [use for use in uses if use[0] in self.streams and use[1] >= self.done[use[0]]]

    def wait_in(self, stream, event):
        """Let what is enqueued from now on come after what an event stands for."""
        if self.events[event] is None:
            return
        other, count, after = self.events[event]
        own = self.after[stream]
        for before, much in {**after, other: max(count, after.get(other, 0))}.items():
            own[before] = max(own.get(before, 0), much)
        self.enqueue(stream, lambda: self.execute(other, count) if other in self.streams else None)

    def execute(self, stream, count):
        """Do a stream's work up to a point."""
        queue = self.streams[stream]
        while self.done[stream] < count:
            queue[self.done[stream]]()
            queue[self.done[stream]] = None
            self.done[stream] += 1


class CudaRuntime(ModuleType):
    """`cuda.bindings.runtime`."""

    cudaHostAllocDefault, cudaStreamNonBlocking, cudaEventDisableTiming = 0, 1, 2
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaDeviceAttr = SimpleNamespace(cudaDevAttrComputeCapabilityMajor=75, cudaDevAttrComputeCapabilityMinor=76)
    without_context = ("cudaSetDevice", "cudaGetDeviceCount", "cudaDeviceGetAttribute")

    def __init__(self, gpu):
        super().__init__("cuda.bindings.runtime")
        self.gpu = gpu

    def _call(self, name, *arguments):
        with self.gpu.lock:
            return self._call_alone(name, *arguments)

    def _call_alone(self, name, *arguments):
        gpu = self.gpu
        gpu.calls.append(name)
        if gpu.dead and gpu.told:
            gpu.wrong(f"{name} after sticky error {gpu.dead}")
        code = gpu.dead or gpu.injected(name)
        if code:
            if code in STICKY:
                gpu.dead, gpu.told = code, True
            return (Code(code), None)
        if name not in self.without_context:
            gpu.check_thread(name)
        answer = getattr(self, f"_{name}")(*arguments)
        return (Code(0),) if answer is None else (Code(0), answer)

    def __getattr__(self, name):
        if name.startswith("cuda") and hasattr(type(self), f"_{name}"):
            return lambda *arguments: self._call(name, *arguments)
        raise AttributeError(name)

    def cudaGetErrorString(self, code):
        return (Code(0), b"error number %d" % int(code))

    def cudaMemGetInfo(self):
        return (Code(0), 3 << 20, 8 << 20)

    def _cudaGetDeviceCount(self):
        return len(self.gpu.capabilities)

    def _cudaDeviceGetAttribute(self, attribute, index):
        return divmod(self.gpu.capabilities[index], 10)[attribute - 75]

    def _cudaSetDevice(self, index):
        self.gpu.threads[threading.get_ident()] = index

    def _cudaMalloc(self, size):
        self.gpu.allocations += 1
        address = next(self.gpu.addresses)
        self.gpu.device[address] = np.full(size, UNWRITTEN, np.uint8)
        return address

    def _cudaHostAlloc(self, size, flags):
        self.gpu.allocations += 1
        memory = (ctypes.c_ubyte * (size + 256))()
        address = -(-ctypes.addressof(memory) // 256) * 256
        start = address - ctypes.addressof(memory)
        view = np.frombuffer(memory, np.uint8)[start : start + size]
        view.fill(UNWRITTEN)
        self.gpu.pinned[address] = (memory, view)
        return address

    def _cudaFree(self, address):
        if address == 0:
            return
        if self.gpu.pending(address):
            self.gpu.wrong("device memory freed while pending work uses it")
        if self.gpu.device.pop(address, None) is None:
            self.gpu.wrong(f"cudaFree of {address:#x}")

    def _cudaFreeHost(self, address):
        if address not in self.gpu.pinned:
            self.gpu.wrong(f"cudaFreeHost of {address:#x}")
        if self.gpu.pending(address):
            self.gpu.wrong("pinned memory freed while pending work uses it")
        memory, view = self.gpu.pinned.pop(address)
        view.fill(UNWRITTEN)
        self.gpu.graveyard.append((memory, view))

    def _cudaStreamCreateWithFlags(self, flags):
        if flags != self.cudaStreamNonBlocking:
            self.gpu.wrong("a stream that waits for the default stream")
        self.gpu.allocations += 1
        number = next(self.gpu.numbers)
        self.gpu.streams[number], self.gpu.done[number], self.gpu.after[number] = [], 0, {}
        return Handle(number)

    def _cudaStreamDestroy(self, stream):
        if any(int(stream) in context.streams for context in self.gpu.contexts):
            self.gpu.wrong("stream destroyed before the context that uses it")
        queue = self.gpu.streams.pop(int(stream))
        if self.gpu.done[int(stream)] < len(queue):
            self.gpu.wrong("stream destroyed with work in it")

    def _cudaStreamSynchronize(self, stream):
        self.gpu.execute(int(stream), len(self.gpu.streams[int(stream)]))

    def _cudaStreamWaitEvent(self, stream, event, flags):
        if flags != 0:
            self.gpu.wrong(f"cudaStreamWaitEvent with flags {flags}")
        self.gpu.wait_in(int(stream), int(event))

    def _cudaDeviceSynchronize(self):
        for stream, queue in self.gpu.streams.items():
            self.gpu.execute(stream, len(queue))

    def _cudaEventCreateWithFlags(self, flags):
        if flags != self.cudaEventDisableTiming:
            self.gpu.wrong("an event that takes the time")
        self.gpu.allocations += 1
        number = next(self.gpu.numbers)
        self.gpu.events[number] = None
        return Handle(number)

    def _cudaEventDestroy(self, event):
        del self.gpu.events[int(event)]

    def _cudaEventRecord(self, event, stream):
        number = int(stream)
        self.gpu.events[int(event)] = (number, len(self.gpu.streams[number]), dict(self.gpu.after[number]))

    def _cudaEventSynchronize(self, event):
        if self.gpu.events[int(event)] is not None:  # CUDA, too, returns at once from an event that was never recorded
            self.gpu.execute(*self.gpu.events[int(event)][:2])

    def _cudaMemsetAsync(self, target, value, size, stream):
        block = self.gpu.block(target, size, "memset")
        self.gpu.enqueue(stream, lambda: block[:size].fill(value), writes=[target])

    def _cudaMemcpyAsync(self, target, source, size, kind, stream):
        gpu = self.gpu
        if kind == 1:
            into, out = gpu.block(target, size, "upload"), gpu.host_block(source, size, "upload")
            meant = out[:size].copy()

            def work():
                if not np.array_equal(meant, out[:size]):
                    gpu.wrong("an input was overwritten before it was copied")
                into[:size] = out[:size]

            gpu.copied["up"] += size
        else:
            into, out = gpu.host_block(target, size, "download"), gpu.block(source, size, "download")
            into[:] = UNWRITTEN

            def work():
                into[:size] = out[:size]

            gpu.copied["down"] += size
        gpu.enqueue(stream, work, reads=[source], writes=[target])


class Logger:
    def __init__(self):
        pass


class Recorder:
    def __init__(self):
        pass


class Enum(int):
    """A member of one of TensorRT's enums."""

    def __new__(cls, value, name):
        member = super().__new__(cls, value)
        member.name = name
        return member


def enum(*names, first=0):
    members = {name: Enum(number, name) for number, name in enumerate(names, first)}
    return SimpleNamespace(**members, __members__=members)


class Counted:
    """A TensorRT object; says when it is destroyed before what it is made of is no longer used."""

    kind, users = "", ()

    def __init__(self, trt, parent=None):
        self.trt, self.gpu = trt, trt.gpu
        self.error_recorder = parent and parent.error_recorder  # as TensorRT's children inherit it
        self.gpu.live[self.kind] += 1
        self.gpu.check_thread(self.kind)

    def __del__(self):
        self.gpu.live[self.kind] -= 1
        for user in self.users:
            if self.gpu.live[user] > self.gpu.live[self.kind]:
                self.gpu.violations.append(f"{self.kind} destroyed before the {user}")

    def _said(self, text):
        """Tell the error recorder, and fail."""
        self.error_recorder.report_error(1, text)


class Runtime(Counted):
    kind, users = "runtime", ("engine", "context")

    def __init__(self, trt, logger):
        super().__init__(trt)
        if not isinstance(logger, Logger) or trt.loggers - {logger}:
            self.gpu.wrong("more than one logger")
        trt.loggers.add(logger)
        self.engine_host_code_allowed = False

    def get_engine_validity(self, content):
        return self.trt.EngineValidity.VALID, 0

    def deserialize_cuda_engine(self, content):
        if self.gpu.fail.get("deserialize_cuda_engine"):
            self._said(self.gpu.fail.pop("deserialize_cuda_engine"))
            return None
        model = self.trt.models.get(bytes(content)) or (content[len(PLAN) :] if content.startswith(PLAN) else None)
        if model is None:
            self._said("Serialization (Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed.)")
            return None
        return (RtxEngine if self.trt.with_config else Engine)(self.trt, self, model)


class Engine(Counted):
    kind, users = "engine", ("context",)

    def __init__(self, trt, runtime, model):
        super().__init__(trt, runtime)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.graph_optimization_level = trt.optimisation
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.inputs = [value.name for value in self.session.get_inputs()]
        self.values = {value.name: value for value in (*self.session.get_inputs(), *self.session.get_outputs())}
        self.num_io_tensors = len(self.values)
        self.names = list(self.values)

    def get_tensor_name(self, index):
        return self.names[index]

    def get_tensor_mode(self, name):
        return self.trt.TensorIOMode.INPUT if name in self.inputs else self.trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return getattr(self.trt.DataType, TYPES[self.values[name].type][0])

    def get_tensor_location(self, name):
        return self.trt.location

    def get_tensor_format(self, name, profile):
        return self.trt.format

    def get_tensor_shape(self, name):
        return [size if isinstance(size, int) else -1 for size in self.values[name].shape]

    def get_tensor_profile_shape(self, name, profile):
        if name not in self.inputs:
            self.gpu.wrong(f"profile shape of output '{name}'")
        return [[size if size > 0 else batch for size in self.get_tensor_shape(name)] for batch in (1, 1, 8)]

    def create_execution_context(self, config=None):
        if self.trt.with_config and config.dynamic_shapes_kernel_specialization_strategy != 1:
            self.gpu.wrong("kernels would be compiled in the background")
        return self._answer("create_execution_context", lambda: Context(self.trt, self))

    def _answer(self, name, make):
        text = self.gpu.injected(name)
        if text:
            self._said(text)
            return None
        return make()


class RtxEngine(Engine):
    def create_runtime_config(self):
        return self._answer("create_runtime_config", lambda: Config(self.trt, self))


class Config(Counted):
    kind, users = "config", ("context",)
    dynamic_shapes_kernel_specialization_strategy = "LAZY"

    def create_runtime_cache(self):
        return Kernels(self.trt, self)

    def set_runtime_cache(self, kernels):
        return self.gpu.injected("set_runtime_cache") is None


class Kernels(Counted):
    kind, users = "kernels", ("context",)

    def deserialize(self, blob):
        self.trt.offered.append(bytes(blob))
        if bytes(blob) != self.trt.compiled:
            self._said("rejecting cache: another driver")
            return False
        return True

    def serialize(self):
        if not self.gpu.live["context"]:
            self.gpu.wrong("kernels serialised without a context")
        return None if self.gpu.injected("serialize") else self.trt.compiled


class Context(Counted):
    kind, users = "context", ()

    def __init__(self, trt, engine):
        super().__init__(trt, engine)
        # what it needs of the engine, not the engine: as if nothing but the runner kept it alive
        self.session, self.names, self.inputs, self.values = engine.session, engine.names, engine.inputs, engine.values
        self.shapes, self.addresses, self.streams = {}, {}, set()
        self.gpu.contexts.add(self)
        self.state = SimpleNamespace(profile=False)  # what the stream's work may hold
        self.inferred = False
        self.user = None

    def _enter(self, name):
        """One thread at a time; whoever comes meanwhile is caught."""
        self.gpu.check_thread(name)
        if self.gpu.dead and self.gpu.told:
            self.gpu.wrong(f"{name} after a sticky error")
        if self.user not in (None, threading.get_ident()):
            self.gpu.wrong("two threads in one context")
        self.user = threading.get_ident()
        time.sleep(self.trt.slow_s)
        text = self.gpu.injected(name)
        if text:
            if text != "silence":
                self._said(text)
            if text == "silence" or "illegal" in text:
                self.gpu.dead, self.gpu.told = 700, text != "silence"
        return text

    def _call(self, name, work):
        try:
            if self._enter(name):
                return False
            with self.gpu.lock:
                work()
            return True
        finally:
            self.user = None

    def set_optimization_profile_async(self, index, stream):
        state, gpu = self.state, self.gpu

        def work():
            gpu.enqueue(stream, lambda: setattr(state, "profile", True))

        return self._call("set_optimization_profile_async", work)

    def set_input_shape(self, name, shape):
        if not self.state.profile:
            self.gpu.wrong("shapes before the profile is there")
        if not isinstance(shape, tuple):
            self.gpu.wrong(f"shape {shape!r} is no tuple")
        self.gpu.shape_calls += 1

        def work():
            self.shapes[name] = shape
            self.inferred = False

        return self._call("set_input_shape", work)

    def infer_shapes(self):
        if not self._call("infer_shapes", lambda: None):
            return ["something"]
        missing = [name for name in self.inputs if name not in self.shapes]
        self.inferred = not missing
        return missing

    def get_tensor_shape(self, name):
        if not self.inferred:
            self.gpu.wrong("output shapes before infer_shapes")
        if name in self.inputs:
            return list(self.shapes[name])
        batch = next(iter(self.shapes.values()))[0]
        return [
            size if isinstance(size, int) else (self.trt.data_dependent or batch) for size in self.values[name].shape
        ]

    def set_tensor_address(self, name, address):
        self.gpu.address_calls += 1
        self.addresses.pop(name, None)  # if it fails, nobody knows where the tensor lies
        return self._call("set_tensor_address", lambda: self.addresses.update({name: address}))

    def execute_async_v3(self, stream):
        gpu = self.gpu
        if not self.inferred:
            gpu.wrong("enqueue before shapes are set and inferred")
        if int(stream) == 0:
            gpu.wrong("enqueue on the default stream")
        self.streams.add(int(stream))
        blocks = {}
        for name in self.names:
            if name not in self.addresses:
                gpu.wrong(f"enqueue without the address of '{name}'")
            size = int(np.prod(self.get_tensor_shape(name))) * np.dtype(TYPES[self.values[name].type][1]).itemsize
            blocks[name] = gpu.block(self.addresses[name], size, f"enqueue, '{name}'")[:size]
        shapes = {name: tuple(self.get_tensor_shape(name)) for name in self.names}

        views = {n: b.view(TYPES[self.values[n].type][1]).reshape(shapes[n]) for n, b in blocks.items()}
        outputs = [name for name in self.names if name not in self.inputs]
        session, inputs = self.session, self.inputs

        def work():
            for name, value in zip(outputs, session.run(outputs, {n: views[n] for n in inputs}), strict=True):
                views[name][...] = value

        read = [self.addresses[name] for name in inputs]
        written = [self.addresses[name] for name in outputs]
        return self._call("execute_async_v3", lambda: gpu.enqueue(stream, work, read, written))


class TensorRt(ModuleType):
    """`tensorrt_rtx`, or `tensorrt` 10.3 when `with_config` is false."""

    ILogger, IErrorRecorder, runtime_class = Logger, Recorder, Runtime
    TensorIOMode = enum("NONE", "INPUT", "OUTPUT")
    TensorLocation = enum("DEVICE", "HOST")
    TensorFormat = enum("LINEAR", "CHW2")
    DataType = enum("FLOAT", "HALF", "INT8", "INT32", "INT64", "BOOL", "UINT8", "BF16")
    EngineValidity = enum("VALID", "SUBOPTIMAL", "INVALID")

    def __init__(self, gpu, name, version, with_config):
        super().__init__(name)
        self.__version__ = version
        self.gpu, self.with_config = gpu, with_config
        self.loggers, self.models = set(), {}
        self.location, self.format = self.TensorLocation.DEVICE, self.TensorFormat.LINEAR
        self.compiled, self.offered = b"kernels of this GPU", []
        self.slow_s, self.data_dependent = 0.0, 0
        self.optimisation = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        if with_config:
            self.DynamicShapesKernelSpecializationStrategy = enum("LAZY", "EAGER", "NONE")

    def Runtime(self, logger):
        return self.runtime_class(self, logger)

    def init_libnvinfer_plugins(self, logger, namespace):
        return True


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
