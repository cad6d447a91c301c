"""A whole plugin: another backend. Graphs are compressed, and run by ONNX's own reference evaluator; a device profile says for what."""

import zlib
from importlib.metadata import version

import edgemm
from edgemm.errors import BundleError
from edgemm.host.interfaces import EngineRecord, RunnerFit
from edgemm.tensors import TensorSpec

LARGEST_BYTES = 2**28


@edgemm.hookimpl
def edgemm_devices():
    yield edgemm.DeviceEntry("board", "elsewhere:board.toml", "a board that runs graphs elsewhere")


@edgemm.hookimpl
def edgemm_exporters():
    yield edgemm.ExporterEntry("elsewhere", "elsewhere:Exporter", "ONNX, compressed", backend="elsewhere")


@edgemm.hookimpl
def edgemm_runners():
    yield edgemm.RunnerEntry(
        "elsewhere",
        "elsewhere:Runner",
        "ONNX's reference evaluator",
        formats=("onnxz",),
        fit="elsewhere:fit",
        native=False,
    )


class Exporter:
    format = "onnxz"

    def unavailable(self, device):
        return ""

    def version(self):
        return version("onnx")

    def build(self, source, target, *, device, shapes):
        target.write_bytes(zlib.compress(source.read_bytes()))
        return EngineRecord(f"onnx {self.version()}", 0.0, target.stat().st_size)


class Runner:
    def __init__(self, content, options):
        from onnx import load_from_string
        from onnx.reference import ReferenceEvaluator

        unpacking = zlib.decompressobj()
        graph = unpacking.decompress(content, LARGEST_BYTES)
        if unpacking.unconsumed_tail:
            raise BundleError(f"graph '{options['graph']}' unpacks to more than {LARGEST_BYTES} bytes")
        model = load_from_string(graph)
        self.inputs = tuple(_spec(value) for value in model.graph.input)
        self.outputs = tuple(_spec(value) for value in model.graph.output)
        self._evaluator = ReferenceEvaluator(model)

    def run(self, feeds):
        return self._evaluator.run(None, dict(feeds))

    def close(self):
        self._evaluator = None


def fit(variant):
    return RunnerFit(exact=variant.backend_version == version("onnx"))


def _spec(value):
    from onnx.helper import tensor_dtype_to_np_dtype

    tensor = value.type.tensor_type
    shape = tuple(size.dim_param or size.dim_value for size in tensor.shape.dim)
    return TensorSpec(value.name, tensor_dtype_to_np_dtype(tensor.elem_type).name, shape)
