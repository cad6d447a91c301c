"""An imitated TensorRT module, which breaks the test when it is used wrongly.

An "engine" is an ONNX graph that ONNX Runtime executes, so that answers are right or wrong.
"""

from __future__ import annotations

import threading
import time
from types import ModuleType, SimpleNamespace

import numpy as np
import onnxruntime

PLAN = b"plan "
TYPES = {
    "tensor(float)": ("FLOAT", np.float32), "tensor(float16)": ("HALF", np.float16), "tensor(int8)": ("INT8", np.int8),
    "tensor(uint8)": ("UINT8", np.uint8), "tensor(int32)": ("INT32", np.int32), "tensor(int64)": ("INT64", np.int64),
    "tensor(bool)": ("BOOL", np.bool_), "tensor(double)": ("BF16", np.float64),
}  # fmt: skip


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
