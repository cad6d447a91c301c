"""model.toml: what a user writes, checked, and compiled to the node graph.

    [model]            name, width
    [inputs.NAME]      modality and its sizes (edgemm.inputs)
    [encoders.NAME]    use = plugin, its options; or share = another encoder
    [[node]]           an encoder that reads other edges too: the escape to the general form
    [fusion]           use = plugin, its options
    [heads.NAME]       use = plugin, its options
    [training]         task, seed

Each part may have `run = {when, policy, hold, stale_after_ms, valid_for_ms}`: when its node runs and how long its embedding serves. A
plugin's own options are checked by the plugin's pydantic model. Knows nothing of torch.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgemm.assets import Files, files_beside
from edgemm.errors import SpecError
from edgemm.host.declarations import INPUTS, OUTPUTS, declaration_from_table
from edgemm.inputs.kind import InputKind
from edgemm.model.edge import INPUT, edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import Policy, Trigger

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

if TYPE_CHECKING:
    from edgemm.host.entries import ConfiguredEntry
    from edgemm.host.plugin_host import PluginHost

__all__ = ["Component", "ModelSpec", "graph_from_spec", "spec_from_file", "spec_from_text"]


class Run(BaseModel):
    """When a node runs, and how long what it made serves."""

    model_config = ConfigDict(extra="forbid")
    when: str = ""
    policy: str = "latest"
    hold: bool = False
    stale_after_ms: float = Field(default=1000.0, gt=0)
    valid_for_ms: float = Field(default=0.0, ge=0)


class Component(BaseModel):
    """One plugin in use; every key but `use`, `share`, `run` and `output` is the plugin's own option."""

    model_config = ConfigDict(extra="allow")
    use: str = ""
    share: str = ""
    run: Run = Run()
    output: dict[str, Any] = Field(
        default_factory=dict
    )  # of a head: how it is read, such as { kind = "values", unit = "m/s" }

    @property
    def options(self) -> dict[str, Any]:
        """The plugin's own options."""
        return dict(self.__pydantic_extra__ or {})


class NodeTable(Component):
    """An encoder that reads other edges beside its input."""

    name: str
    reads: dict[str, str]


class ModelTable(BaseModel):
    """`[model]`."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1)
    width: int = Field(96, ge=1)


class TrainingTable(BaseModel):
    """`[training]`."""

    model_config = ConfigDict(extra="forbid")
    task: str
    seed: int = 0


class ModelSpec(BaseModel):
    """A parsed model.toml."""

    model_config = ConfigDict(extra="forbid")
    model: ModelTable
    inputs: dict[str, dict[str, Any]]
    encoders: dict[str, Component] = Field(default_factory=dict)
    node: list[NodeTable] = Field(default_factory=list)
    fusion: Component
    heads: dict[str, Component] = Field(min_length=1)
    training: TrainingTable | None = None
    text: str = Field("", exclude=True)
    files: Files | None = Field(None, exclude=True)  # reads the files that inputs and outputs name

    @property
    def input_specs(self) -> dict[str, InputKind]:
        """The declared inputs, in order."""
        specs: dict[str, InputKind] = {}
        for name, table in self.inputs.items():
            with _under("inputs", name):
                specs[name] = declaration_from_table(INPUTS, table, f"inputs.{name}", files=self.files)
        return specs

    @property
    def encoder_names(self) -> tuple[str, ...]:
        """Encoders and nodes, in the order in which fusion reads them."""
        return (*self.encoders, *(node.name for node in self.node))


def spec_from_file(path: str | Path) -> ModelSpec:
    """Read a model.toml.

    Raises:
        SpecError: naming the key, and the line where it can be told.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot read the model specification '{path}': {error}") from None
    return spec_from_text(text, str(path), files_beside(Path(path).parent))


def spec_from_text(text: str, where: str = "model.toml", files: Files | None = None) -> ModelSpec:
    """Read the content of a model.toml.

    Args:
        files: reads the files that its inputs and outputs name.

    Raises:
        SpecError: naming the key, and the line where it can be told.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{where}: not valid TOML: {error}") from None
    try:
        spec = ModelSpec(**table, text=text, files=files)
    except ValidationError as error:
        raise SpecError(describe_validation(error, where, text)) from None
    except TypeError as error:
        raise SpecError(f"{where}: {error}") from None
    try:
        _check(spec)
        graph_from_spec(spec)
    except SpecError as error:
        line = line_of(text, error.path) if error.path else 0
        place = f"{where}, line {line}" if line else where
        raise SpecError(f"{place}: {error}", error.path) from None
    return spec


def describe_validation(error: ValidationError, where: str, text: str, prefix: tuple[str, ...] = ()) -> str:
    """The first problems that pydantic found, in our words, with key and line."""
    lines = []
    for problem in error.errors()[:5]:
        path = (*prefix, *(str(part) for part in problem["loc"]))
        key = ".".join(path)
        line = line_of(text, path)
        place = f"{where}, line {line}" if line else where
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"there is no such key{_nearest_key(error, problem, path)}"
        elif problem["type"] == "missing":
            message = "is missing"
        lines.append(f"{place}: {key}: {message}")
    return "\n".join(lines)


def line_of(text: str, path: tuple[str, ...]) -> int:
    """Line (from 1) of a key in a TOML text, or of the table that should have it; 0 when it cannot be told."""
    table: tuple[str, ...] = ()
    best = 0
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line)
        if header:
            table = tuple(part.strip().strip("\"'") for part in header[1].split("."))
            if table == path:
                return number
            if table == path[: len(table)]:
                best = number
            continue
        key = re.match(r"\s*([A-Za-z0-9_\-.\"']+)\s*=", line)
        if key:
            full = (*table, *(part.strip().strip("\"'") for part in key[1].split(".")))
            if full == path:
                return number
            if full == path[: len(full)]:
                best = number
    return best


def graph_from_spec(spec: ModelSpec) -> ModelGraph:
    """Compile the easy profile to nodes and edges.

    Raises:
        SpecError: for anything that cannot be run.
    """
    inputs = spec.input_specs
    nodes = [_encoder_node(name, component, inputs) for name, component in spec.encoders.items()]
    nodes += [_free_node(table, inputs) for table in spec.node]
    reads: dict[str, str] = {}
    for name in spec.encoder_names:
        reads |= {f"{name}_tokens": f"{name}.tokens", f"{name}_valid": f"{name}.valid"}
    trigger, policy = _schedule(spec.fusion.run, "arrival", "fusion")
    fusion = Node(
        "fusion",
        "fusion",
        edges(reads),
        tuple(spec.heads),
        role="fusion",
        members=spec.encoder_names,
        presence="presence",
        age="age_ms",
        trigger=trigger,
        policy=policy,
    )
    outputs = {name: _output(name, head, spec.files) for name, head in spec.heads.items()}
    return ModelGraph(spec.model.name, inputs, (*nodes, fusion), outputs)


def files_of_spec(spec: ModelSpec) -> dict[str, bytes]:
    """Every file that a spec's inputs and outputs carry, by the name that the spec has for it."""
    graph = graph_from_spec(spec)
    declared: list[tuple[Any, dict[str, Any]]] = [(graph.inputs[name], table) for name, table in spec.inputs.items()]
    declared += [(graph.outputs[name].kind, head.output) for name, head in spec.heads.items()]
    return {table[key]: getattr(kind, key).content for kind, table in declared for key in kind.assets if key in table}


def options_of(
    component: Component, where: tuple[str, ...], record: type[ConfiguredEntry], host: PluginHost, text: str
) -> tuple[Any, Any]:
    """The factory of a component's plugin, and its checked options.

    Raises:
        UnknownNameError: nobody registered the plugin.
        MissingDependencyError, PluginError: it cannot be loaded.
        SpecError: an option is wrong; the message names the key and the line.
    """
    registered = host.find(record, component.use)
    factory = host.resolve(registered, registered.entry.factory)
    reference = registered.entry.config
    if not reference:
        return factory, component.options
    try:
        return factory, host.resolve(registered, reference)(**component.options)
    except ValidationError as error:
        raise SpecError(describe_validation(error, f"options of '{component.use}'", text, where)) from None


def _check(spec: ModelSpec) -> None:
    for name in spec.inputs:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            message = f"inputs.{name}: a name is letters, digits and '_', as it becomes an argument of infer()"
            raise SpecError(message, ("inputs", name))
    if not spec.encoder_names:
        raise SpecError("encoders: a model needs at least one [encoders.NAME]")
    parts: list[tuple[tuple[str, ...], Component]] = [
        (("encoders", name), component) for name, component in spec.encoders.items()
    ]
    parts += [(("fusion",), spec.fusion), *((("heads", name), component) for name, component in spec.heads.items())]
    for path, component in parts:
        if not component.use and not component.share:
            raise SpecError(
                f"{'.'.join(path)}: 'use' is missing; it names a plugin's entry, see 'edgemm plugins'", path
            )


def _encoder_node(name: str, component: Component, inputs: dict[str, InputKind]) -> Node:
    if name not in inputs:
        message = f"encoders.{name}: there is no [inputs.{name}]; an encoder has its input's name (inputs: {', '.join(inputs)})"
        raise SpecError(message, ("encoders", name))
    tensors = [spec.name for spec in inputs[name].tensors]
    reads = {"x": f"{INPUT}.{name}"} if len(tensors) == 1 else {part: f"{INPUT}.{name}.{part}" for part in tensors}
    return _node(name, component.share or name, reads, component.run, inputs[name].trigger, "encoders", name)


def _free_node(table: NodeTable, inputs: dict[str, InputKind]) -> Node:
    read = [inputs[edge.output] for edge in edges(table.reads).values() if edge.from_input and edge.output in inputs]
    when = read[0].trigger if read else "arrival"
    return _node(table.name, table.share or table.name, table.reads, table.run, when, "node")


def _output(name: str, head: Component, files: Files | None) -> Output:
    """How a head's tensor is read: as it says itself, as classes where it has labels, else as numbers."""
    labels = head.options.get("labels")
    table = head.output or ({"kind": "classes", "labels": labels} if labels else {"kind": "array"})
    with _under("heads", name, "output"):
        kind = declaration_from_table(OUTPUTS, table, f"heads.{name}.output", files=files)
        return Output.of(f"fusion.{name}", kind)


def _node(name: str, graph: str, reads: dict[str, str], run: Run, when: str, *path: str) -> Node:
    trigger, policy = _schedule(run, when, *path)
    return Node(
        name,
        graph,
        edges(reads),
        ("tokens", "valid"),
        role="encoder",
        usable="valid",
        trigger=trigger,
        policy=policy,
        hold=run.hold,
        stale_after_ms=run.stale_after_ms,
        valid_for_ms=run.valid_for_ms,
    )


def _schedule(run: Run, when: str, *path: str) -> tuple[Trigger, Policy]:
    """When a node runs, `when` if the spec does not say, and with what policy; `path` leads to its table."""
    where = ".".join((*path, "run"))
    with _under(*path, "run", "when"):
        trigger = Trigger.parse(run.when or when, f"{where}.when")
    with _under(*path, "run", "policy"):
        return trigger, Policy.parse(run.policy, f"{where}.policy")


@contextmanager
def _under(*keys: str) -> Iterator[None]:
    """Errors of what is done for the table under `keys` say so."""
    try:
        yield
    except SpecError as error:
        raise error.under(*keys) from None


def _nearest_key(error: ValidationError, problem: Any, path: tuple[str, ...]) -> str:
    import difflib

    known = {
        "": ["model", "inputs", "encoders", "node", "fusion", "heads", "training"],
        "model": list(ModelTable.model_fields),
        "training": list(TrainingTable.model_fields),
        "run": list(Run.model_fields),
    }
    parent = path[-2] if len(path) > 1 else ""
    nearest = difflib.get_close_matches(path[-1], known.get(parent, []), n=1)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""
