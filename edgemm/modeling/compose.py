"""A model of plugins: encoders, fusion and heads named in a model.toml, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from edgemm.errors import EdgeMMError, PluginError, SpecError
from edgemm.host.entries import ConfiguredEntry, EncoderEntry, FusionEntry, HeadEntry
from edgemm.host.plugin_host import PluginHost, default_host
from edgemm.inputs.kind import InputKind
from edgemm.model.graph import ModelGraph
from edgemm.modeling.spec import ModelSpec, graph_from_spec, options_of
from edgemm.modeling.tables import EncoderTable, PluginTable, line_of
from edgemm.tensors import BATCH, TensorSpec


class ComposedModel(nn.Module):
    """Encoders, a fusion and heads.

    Attributes:
        spec: what it was made from.
        graph: the same as nodes and edges.
        encoders, fusion, heads: the plugins' modules.
        modules_by_graph: one module per exported graph.
    """

    def __init__(self, spec: ModelSpec, host: PluginHost) -> None:
        super().__init__()
        self.spec = spec
        self.graph: ModelGraph = graph_from_spec(spec)
        self.inputs = tuple(spec.inputs)
        width = spec.model.width
        self.encoders = nn.ModuleDict()
        for name, path, table in spec.encoder_tables:
            if not table.share:
                self.encoders[name] = self._encoder(name, path, table, host)
        self.graph = _with_state(self.graph, self.state_by_graph)
        self.fusion = _made(host, FusionEntry, spec.fusion, ("fusion",), spec, spec.encoder_names, width)
        self.heads = nn.ModuleDict(
            {name: _made(host, HeadEntry, head, ("heads", name), spec, width) for name, head in spec.heads.items()}
        )

    @property
    def modules_by_graph(self) -> dict[str, nn.Module]:
        """Graph name -> module, called with the graph's tensors in order."""
        graphs: dict[str, nn.Module] = dict(self.encoders.items())
        graphs["fusion"] = FusionGraph(self.fusion, self.heads)
        return graphs

    @property
    def state_by_graph(self) -> dict[str, tuple[TensorSpec, ...]]:
        """Graph name -> state inputs, of encoders that have some: their attribute `state` says name -> shape without the batch."""
        return {name: found for name, encoder in self.encoders.items() if (found := _state_of(name, encoder))}

    def _encoder(self, name: str, path: tuple[str, ...], table: EncoderTable, host: PluginHost) -> nn.Module:
        read = next(edge.output for edge in self.graph.node(name).reads.values() if edge.from_input)
        kind = self.graph.inputs[read]
        _check_modality(table.use, read, kind, (*path, "use"), self.spec.text, host)
        return _made(host, EncoderEntry, _with_width(table, self.spec.model.width, host), path, self.spec, kind)


class FusionGraph(nn.Module):
    """Fusion and heads as one graph: `(tokens, valid) * M, presence, age_ms -> outputs of the heads`."""

    def __init__(self, fusion: nn.Module, heads: nn.ModuleDict) -> None:
        super().__init__()
        self.fusion = fusion
        self.heads = heads

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Tokens `(B, T, d)` and valid `(B, T)` of each encoder in turn, presence `(B, M)`, age in ms `(B, M)`."""
        *pairs, presence, age_ms = tensors
        fused = self.fusion(list(pairs[0::2]), list(pairs[1::2]), presence, age_ms)
        return tuple(head(fused) for head in self.heads.values())


def _state_of(name: str, encoder: nn.Module) -> tuple[TensorSpec, ...]:
    state = getattr(encoder, "state", {})
    fits = isinstance(state, Mapping) and all(
        isinstance(key, str) and isinstance(shape, (tuple, list)) and all(isinstance(n, int) and n > 0 for n in shape)
        for key, shape in state.items()
    )
    if not fits:
        raise PluginError(
            f"encoder '{name}': its attribute `state` must say name -> shape without the batch axis, such as {{'h': (64,)}}; got {state!r:.80}"
        )
    return tuple(TensorSpec(key, "float32", (BATCH, *shape)) for key, shape in state.items())


def _with_state(graph: ModelGraph, states: Mapping[str, Sequence[TensorSpec]]) -> ModelGraph:
    """Give nodes the state of their encoders: `forward(x, *state) -> (tokens, valid, *next state)`."""
    nodes = []
    for node in graph.nodes:
        following = {f"{spec.name}_next": spec.name for spec in states.get(node.graph, ())}
        nodes.append(node._replace(outputs=(*node.outputs, *following), state=following) if following else node)
    return replace(graph, nodes=tuple(nodes))


def compose(spec: ModelSpec, host: PluginHost | None = None) -> ComposedModel:
    """Make the model that a spec describes, with fresh weights.

    Raises:
        UnknownNameError: a plugin that nobody registered.
        SpecError: options that a plugin does not take.
        PluginError: a plugin that fails while making its module.
    """
    model = ComposedModel(spec, host or default_host())
    model.eval()
    return model


def _made(
    host: PluginHost,
    record: type[ConfiguredEntry],
    table: PluginTable,
    where: tuple[str, ...],
    spec: ModelSpec,
    *arguments: Any,
) -> nn.Module:
    factory, options = options_of(table, where, record, host, spec.text)
    kind = host.find(record, table.use).kind
    try:
        module = factory(options, *arguments)
    except EdgeMMError:
        raise
    except Exception as error:
        raise PluginError(f"{kind} '{table.use}' could not be made: {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise PluginError(f"{kind} '{table.use}' made a {type(module).__name__}, not a torch nn.Module")
    return module


def _check_modality(use: str, name: str, kind: InputKind, path: tuple[str, ...], text: str, host: PluginHost) -> None:
    """Refuse an encoder of another modality than its input's; one that names none takes any."""
    modality = host.find(EncoderEntry, use).entry.modality
    if modality in ("", kind.modality):
        return
    fitting = [
        known for known, found in host.entries(EncoderEntry).items() if found.entry.modality in ("", kind.modality)
    ]
    line = line_of(text, path)
    raise SpecError(
        f"{f'line {line}: ' if line else ''}{'.'.join(path)}: '{use}' encodes {modality}, but input '{name}' (kind '{kind.kind}') is "
        f"{kind.modality}\n  encoders for {kind.modality}: {', '.join(sorted(fitting)) or '(none is installed)'}",
        path,
    )


def _with_width(table: EncoderTable, width: int, host: PluginHost) -> EncoderTable:
    """Fill in the option `width` of an encoder that has one: the length of its tokens is the model's (see `EncoderEntry`)."""
    if "width" in table.options:
        return table
    registered = host.find(EncoderEntry, table.use)
    reference = registered.entry.config
    if reference and "width" in host.resolve(registered, reference).model_fields:
        return table.model_copy(update={"width": width})
    return table
