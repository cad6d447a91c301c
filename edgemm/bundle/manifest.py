"""What a bundle's manifest.json says. One frozen tree, read and written by `strict`; `version` says which ones are read at all."""

# No `annotations` from `__future__`: every start reads these types for the strict reader, and kept as text each would be compiled.
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from edgemm.bundle.strict import json_from_record, record_from_json
from edgemm.bundle.version import FORMAT, READS_FROM, READS_FROM_WITH_ASSETS, VERSION, WRITTEN_BY, may_have_unknown_keys
from edgemm.errors import BundleError, UnknownNameError
from edgemm.host.named import Provider
from edgemm.inputs.kind import InputKind
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.tensors import TensorSpec

if TYPE_CHECKING:
    from edgemm.assets import Asset


class FileRecord(NamedTuple):
    """Size and SHA-256 (hexadecimal) of one file."""

    bytes: int
    sha256: str

    def check(self) -> None:
        """Raise unless a file can be so."""
        if self.bytes < 0:
            raise BundleError(f"a file cannot have {self.bytes} bytes")


class GraphRecord(NamedTuple):
    """The tensors of one exported graph, in the graph's order, and its size."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: int = 0


class Variant(NamedTuple):
    """All graphs compiled for one target.

    Attributes:
        device: name of the device profile.
        backend: what loads it: `onnxruntime`, `tensorrt_rtx` or `tensorrt`.
        backend_version: full version that wrote it.
        precision: as asked for: fp32, fp16, int8, int8+fp16.
        files: graph -> path of the file to load.
        sources: graph -> path of the ONNX that it was compiled from, when the file is an engine.
        compute_capability: that the engines are for, 0 for CPU.
        build: graph -> what the build told (seconds, memory), for reports.
        runner: distribution and plugin that bring what runs the files, so that only that is loaded; () where ONNX Runtime does, or nobody said.
    """

    device: str
    backend: str
    backend_version: str
    precision: str
    files: Mapping[str, str]
    sources: Mapping[str, str] = {}
    compute_capability: int = 0
    build: Mapping[str, Any] = {}
    runner: tuple[str, ...] = ()

    @property
    def brought_by(self) -> Provider | None:
        """Who brings what runs it, where it says so."""
        return Provider(*self.runner) if self.runner else None


class Planned(NamedTuple):
    """A variant that is still to be compiled, on the device or where the compiler is installed, by `edgemm build`.

    Attributes:
        sources: graph -> path of the ONNX to compile.
        reason: why it is not compiled, and what to do.
    """

    device: str
    backend: str
    precision: str
    sources: Mapping[str, str]
    reason: str


@dataclass(frozen=True)
class Manifest:
    """The whole manifest.

    Attributes:
        variants: target key -> variant; `cpu.onnxruntime.fp32` is always there and is the reference.
        vectors: path of the test vectors (npz).
        parity: what the parity ladder measured at export.
        calibration: what the quantized graphs were calibrated on.
        planned: target key -> variants that are still to be compiled.
        provenance: model, checkpoint hash, package versions.
        files: path -> size and hash of every other file.
        format, version, reads_from, written_by: as `edgemm.bundle.version` has them; set when it is written.
    """

    format: str = field(default=FORMAT, kw_only=True)
    version: int = field(default=VERSION, kw_only=True)
    reads_from: int = field(default=READS_FROM, kw_only=True)
    written_by: str = field(default="", kw_only=True)
    name: str
    inputs: Mapping[str, InputKind]
    graphs: Mapping[str, GraphRecord]
    nodes: tuple[Node, ...]
    outputs: Mapping[str, Output]
    variants: Mapping[str, Variant]
    files: Mapping[str, FileRecord]
    vectors: str = ""
    parity: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    planned: Mapping[str, Planned] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for record in self.files.values():
            record.check()
        for key, variant in self.variants.items():
            if len(variant.runner) not in (0, 2):
                raise BundleError(
                    f"manifest.json: variant '{key}': runner is a distribution and a plugin, got {list(variant.runner)!r:.80}"
                )
            for path in (*variant.files.values(), *variant.sources.values()):
                if path not in self.files:
                    raise BundleError(f"manifest.json: variant '{key}' names '{path}', which is not among its files")
            missing = [graph for graph in self.model.graph_names if graph not in variant.files]
            if missing:
                raise BundleError(f"manifest.json: variant '{key}' lacks graph '{missing[0]}'")
        _check_graphs_and_plans(self)

    @cached_property
    def model(self) -> ModelGraph:
        """The nodes and edges."""
        return ModelGraph(self.name, self.inputs, self.nodes, self.outputs)

    @property
    def assets(self) -> "tuple[Asset, ...]":
        """The files that its declarations carry."""
        from edgemm.assets import assets_of  # most bundles carry none, and a cold start does without it

        kinds = (*self.inputs.values(), *(output.kind for output in self.outputs.values()))
        return tuple(asset for kind in kinds for asset in assets_of(kind))

    def find_variant(self, name: str) -> str:
        """The target key that `name` means: a key itself, or a precision or device that fits only one.

        Raises:
            UnknownNameError: lists the target keys.
        """
        if name in self.variants:
            return name
        fitting = [key for key, variant in self.variants.items() if name in (variant.precision, variant.device)]
        on_cpu = [key for key in fitting if self.variants[key].backend == "onnxruntime"]
        for candidates in (fitting, on_cpu):
            if len(candidates) == 1:
                return candidates[0]
        raise UnknownNameError("variant", name, self.variants)


def manifest_from_json(value: Any, where: str, read: Callable[[str, FileRecord], bytes] | None = None) -> Manifest:
    """Read a manifest.

    Args:
        value: parsed JSON.
        where: what messages begin with.
        read: the verified content of a file that the manifest lists, for declarations that carry one.

    Raises:
        BundleError: it is not one that this EdgeMM reads, or something in it does not fit; the message names the place.
    """
    lenient = may_have_unknown_keys(value)
    files = None if read is None else _Carried(value.get("files"), where, read, lenient)
    return record_from_json(Manifest, value, where, ignore_unknown=lenient, files=files)


def _check_graphs_and_plans(manifest: Manifest) -> None:
    """Every graph says what it takes and gives; what is to be compiled is among the files, as it is read and written by these names."""
    graphs = manifest.model.graph_names
    for graph in graphs:
        if graph not in manifest.graphs:
            raise BundleError(f"manifest.json: graphs lacks '{graph}', which a node uses")
    for key, plan in manifest.planned.items():
        if sorted(plan.sources) != sorted(graphs):
            raise BundleError(
                f"manifest.json: planned '{key}' has the graphs {', '.join(plan.sources) or '(none)'}; the model has {', '.join(graphs)}"
            )
        for path in plan.sources.values():
            if path not in manifest.files:
                raise BundleError(f"manifest.json: planned '{key}' names '{path}', which is not among its files")


class _Carried:
    """The files that declarations name: of those that the manifest lists, each read once, and not more than a bundle may make anyone read."""

    def __init__(self, listed: Any, where: str, read: Callable[[str, FileRecord], bytes], lenient: bool) -> None:
        self._listed = listed if isinstance(listed, dict) else {}
        self._where, self._read, self._lenient = where, read, lenient
        self._found: dict[str, bytes] = {}

    def __call__(self, name: str) -> bytes:
        from edgemm.assets import LIMIT_BYTES, TOTAL_LIMIT_BYTES

        if name not in self._found:
            if name not in self._listed:
                raise BundleError(f"{self._where}: a declaration names '{name:.200}', which is not among its files")
            place = f"{self._where}.files.{name}"
            record = record_from_json(FileRecord, self._listed[name], place, ignore_unknown=self._lenient)
            record.check()
            together = record.bytes + sum(map(len, self._found.values()))
            if record.bytes > LIMIT_BYTES or together > TOTAL_LIMIT_BYTES:
                raise BundleError(
                    f"{place}: has {record.bytes} bytes; what declarations carry may have {LIMIT_BYTES} each and {TOTAL_LIMIT_BYTES} together"
                )
            self._found[name] = self._read(name, record)
        return self._found[name]


def json_from_manifest(manifest: Manifest) -> Any:
    """The inverse, in the form of this EdgeMM, whichever one the manifest was read from."""
    reads_from = READS_FROM_WITH_ASSETS if manifest.assets else READS_FROM
    stamped = replace(manifest, format=FORMAT, version=VERSION, reads_from=reads_from, written_by=WRITTEN_BY)
    return json_from_record(stamped)
