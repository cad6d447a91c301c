"""model.toml: what a user writes, checked, and compiled to the node graph.

    [model]            name, width
    [inputs.NAME]      kind and its sizes (edgemm.inputs)
    [encoders.NAME]    use = plugin, its options; or share = another encoder
    [[node]]           an encoder that reads other edges too: the escape to the general form
    [fusion]           use = plugin, its options
    [heads.NAME]       use = plugin, its options; output = how it is read
    [training]         task, seed

Encoders, nodes and fusion may have `run`: when they run, and how long an embedding serves. Which keys a table has is in `tables`; a
plugin's own options are checked by the plugin's pydantic model. Knows nothing of torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, PrivateAttr, ValidationError

from edgemm.assets import Files, files_beside
from edgemm.errors import SpecError
from edgemm.host.declarations import INPUTS, OUTPUTS, declaration_from_table
from edgemm.inputs.kind import InputKind
from edgemm.model.edge import INPUT, Edge, edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import Policy, Trigger
from edgemm.modeling.tables import (
    EncoderRun,
    EncoderTable,
    FusionRun,
    FusionTable,
    HeadTable,
    ModelTable,
    NodeTable,
    PluginTable,
    Table,
    TrainingTable,
    describe_validation,
    line_of,
)
from edgemm.reading.plain_toml import table_from_toml

if TYPE_CHECKING:
    from edgemm.host.entries import ConfiguredEntry
    from edgemm.host.plugin_host import PluginHost

__all__ = ["ModelSpec", "graph_from_spec", "spec_from_file", "spec_from_text"]


class ModelSpec(Table):
    """A parsed model.toml."""

    model: ModelTable
    inputs: dict[str, dict[str, Any]]
    encoders: dict[str, EncoderTable] = Field(default_factory=dict)
    node: list[NodeTable] = Field(default_factory=list)
    fusion: FusionTable
    heads: dict[str, HeadTable] = Field(min_length=1)
    training: TrainingTable | None = None
    _text: str = PrivateAttr("")
    _files: Files | None = PrivateAttr(None)

    def model_post_init(self, context: Any) -> None:
        """Keep what `spec_from_text` knows beside the tables."""
        self._text, self._files = context or ("", None)

    @property
    def text(self) -> str:
        """What it was read from; "" where it was not."""
        return self._text

    @property
    def files(self) -> Files | None:
        """What reads the files that inputs and outputs name."""
        return self._files

    @property
    def input_specs(self) -> dict[str, InputKind]:
        """The declared inputs, in order."""
        specs: dict[str, InputKind] = {}
        for name, table in self.inputs.items():
            with _under("inputs", name):
                specs[name] = declaration_from_table(INPUTS, table, f"inputs.{name}", files=self.files)
        return specs

    @property
    def encoder_tables(self) -> list[tuple[str, tuple[str, ...], EncoderTable]]:
        """Encoders and nodes in the order in which fusion reads them: name, the keys that lead to its table, the table."""
        encoders = [(name, ("encoders", name), table) for name, table in self.encoders.items()]
        return [*encoders, *((table.name, ("node", str(index)), table) for index, table in enumerate(self.node))]

    @property
    def encoder_names(self) -> tuple[str, ...]:
        """Encoders and nodes, in the order in which fusion reads them."""
        return tuple(name for name, _, _ in self.encoder_tables)


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
        table = table_from_toml(text)
    except ValueError as error:
        raise SpecError(f"{where}: not valid TOML: {error}") from None
    try:
        spec = ModelSpec.model_validate(table, context=(text, files))
    except ValidationError as error:
        raise SpecError(describe_validation(error, where, text, ModelSpec)) from None
    try:
        graph_from_spec(spec)
    except SpecError as error:
        line = line_of(text, error.path) if error.path else 0
        place = f"{where}, line {line}" if line else where
        raise SpecError(f"{place}: {error}", error.path) from None
    return spec


def graph_from_spec(spec: ModelSpec) -> ModelGraph:
    """Compile the easy profile to nodes and edges.

    Raises:
        SpecError: for anything that cannot be run.
    """
    _check(spec)
    inputs = spec.input_specs
    nodes = [_encoder_node(name, table, inputs) for name, table in spec.encoders.items()]
    nodes += [_free_node(table, index, inputs) for index, table in enumerate(spec.node)]
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
    graph = ModelGraph(spec.model.name, inputs, (*nodes, fusion), outputs)
    for name, path, table in spec.encoder_tables:
        if table.share:
            _check_shared(graph, graph.node(name), graph.node(table.share), path)
    return graph


def files_of_spec(spec: ModelSpec) -> dict[str, bytes]:
    """Every file that a spec's inputs and outputs carry, by the name that the spec has for it."""
    graph = graph_from_spec(spec)
    declared: list[tuple[Any, dict[str, Any]]] = [(graph.inputs[name], table) for name, table in spec.inputs.items()]
    declared += [(graph.outputs[name].kind, head.output) for name, head in spec.heads.items()]
    return {table[key]: getattr(kind, key).content for kind, table in declared for key in kind.assets if key in table}


def options_of(
    table: PluginTable, where: tuple[str, ...], record: type[ConfiguredEntry], host: PluginHost, text: str
) -> tuple[Any, Any]:
    """The factory of a table's plugin, and its checked options.

    Raises:
        UnknownNameError: nobody registered the plugin.
        MissingDependencyError, PluginError: it cannot be loaded.
        SpecError: an option is wrong; the message names the key and the line.
    """
    registered = host.find(record, table.use)
    factory = host.resolve(registered, registered.entry.factory)
    reference = registered.entry.config
    if not reference:
        return factory, table.options
    checked = host.resolve(registered, reference)
    try:
        return factory, checked(**table.options)
    except ValidationError as error:
        raise SpecError(describe_validation(error, f"options of '{table.use}'", text, checked, where)) from None


def _check(spec: ModelSpec) -> None:
    for name in spec.inputs:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            message = f"inputs.{name}: a name is letters, digits and '_', as it becomes an argument of infer()"
            raise SpecError(message, ("inputs", name))
    if not spec.encoder_names:
        raise SpecError("encoders: a model needs at least one [encoders.NAME]")
    own = [name for name, _, table in spec.encoder_tables if table.use]
    for _, path, table in spec.encoder_tables:
        if table.share and table.share not in own:
            raise SpecError(
                f"{'.'.join(path)}.share: '{table.share}' is no encoder or node with a plugin of its own; those are: {', '.join(own) or '(none)'}",
                (*path, "share"),
            )


def _encoder_node(name: str, table: EncoderTable, inputs: dict[str, InputKind]) -> Node:
    if name not in inputs:
        message = f"encoders.{name}: there is no [inputs.{name}]; an encoder has its input's name (inputs: {', '.join(inputs)})"
        raise SpecError(message, ("encoders", name))
    tensors = [spec.name for spec in inputs[name].tensors]
    reads = {"x": f"{INPUT}.{name}"} if len(tensors) == 1 else {part: f"{INPUT}.{name}.{part}" for part in tensors}
    return _node(name, table, edges(reads), inputs[name].trigger, ("encoders", name))


def _free_node(table: NodeTable, index: int, inputs: dict[str, InputKind]) -> Node:
    path = ("node", str(index))
    with _under(*path, "reads"):
        reads = edges(table.reads)
    first = next((edge.output for edge in reads.values() if edge.from_input), None)
    if first is None:
        message = f"node '{table.name}' must read at least one input of the model, as 'input.NAME' (inputs: {', '.join(inputs)})"
        raise SpecError(message, (*path, "reads"))
    return _node(table.name, table, reads, inputs[first].trigger if first in inputs else "arrival", path)


def _check_shared(graph: ModelGraph, node: Node, owner: Node, path: tuple[str, ...]) -> None:
    """Refuse a node whose reads are not what the module that it shares was made for."""
    mine, theirs = ({name: _carried(graph, edge) for name, edge in each.reads.items()} for each in (node, owner))
    if list(mine.items()) != list(theirs.items()):
        shown = [", ".join(f"{name} = {what}" for name, what in reads.items()) for reads in (theirs, mine)]
        raise SpecError(
            f"{'.'.join(path)}.share: '{owner.name}' reads {shown[0]}; '{node.name}' reads {shown[1]}. What shares a module reads the same",
            (*path, "share"),
        )


def _carried(graph: ModelGraph, edge: Edge) -> str:
    """What an edge carries, as far as it is known before there are modules."""
    if edge.from_input:
        text = str(graph.inputs[edge.output].tensors[graph.tensor_index(edge)])
    else:
        text = f"an encoder's {edge.output}"
    return text if edge.window is None else f"{text}, {edge.part} of a window of {edge.window.count}"


def _output(name: str, head: HeadTable, files: Files | None) -> Output:
    """How a head's tensor is read: as it says itself, as classes where it has labels, else as numbers."""
    labels = head.options.get("labels")
    table = head.output or ({"kind": "classes", "labels": labels} if labels else {"kind": "array"})
    with _under("heads", name, "output"):
        kind = declaration_from_table(OUTPUTS, table, f"heads.{name}.output", files=files)
        return Output.of(f"fusion.{name}", kind)


def _node(name: str, table: EncoderTable, reads: dict[str, Edge], when: str, path: tuple[str, ...]) -> Node:
    run: EncoderRun = table.run
    trigger, policy = _schedule(run, when, *path)
    return Node(
        name,
        table.share or name,
        reads,
        ("tokens", "valid"),
        role="encoder",
        usable="valid",
        trigger=trigger,
        policy=policy,
        hold=run.hold,
        stale_after_ms=run.stale_after_ms,
        valid_for_ms=run.valid_for_ms,
    )


def _schedule(run: FusionRun, when: str, *path: str) -> tuple[Trigger, Policy]:
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
