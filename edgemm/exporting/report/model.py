"""The model as a picture: inputs, nodes and outputs in columns by depth, with when each node runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass

from edgemm.bundle.manifest import Manifest
from edgemm.exporting.report.rendering import count, cut, hue_of
from edgemm.model.edge import INPUT
from edgemm.model.graph import ModelGraph, Node
from edgemm.model.rules import Tick

_WIDTH, _HEIGHT, _ACROSS, _DOWN, _MARGIN = 206, 74, 74, 24, 4
_WHEN = {"arrival": "on each arrival", "change": "when it changes"}
_GLYPHS = {
    "image": "M0 2h18v14H0zM0 13l5-5 4 4 3-3 6 5M12.5 6.5h.01",
    "audio": "M1 7v4M5 3v12M9 6v6M13 1v16M17 6v6",
    "text": "M1 3h16M1 8h16M1 13h10",
}


@dataclass(frozen=True)
class Part:
    """An input, a node or an output: its column, its lines, its colour, and the names of the parts before it."""

    name: str
    column: int
    title: str
    lines: tuple[str, ...]
    hue: str
    before: tuple[str, ...]
    glyph: str = ""


@dataclass(frozen=True)
class Box:
    """A part where it is drawn, `x` and `y` being its upper left corner."""

    x: str
    y: str
    title: str
    lines: tuple[str, ...]
    hue: str
    glyph: str


@dataclass(frozen=True)
class Wire:
    """A curve from one box to another, as an SVG path."""

    path: str
    hue: str


@dataclass(frozen=True)
class Picture:
    """The section: a sentence, and the drawing with all coordinates."""

    lead: str
    label: str
    width: int
    height: int
    least_width: int
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    box_size: tuple[int, int] = (_WIDTH, _HEIGHT)

    @classmethod
    def of(cls, manifest: Manifest) -> Picture:
        """Of a bundle's model."""
        parts = _parts(manifest)
        places, width, height = _places(parts)
        hues = {part.name: part.hue for part in parts}
        return cls(
            lead=_lead(manifest.model),
            label=f"{manifest.name}: {', '.join(manifest.inputs)} to {', '.join(manifest.outputs)}",
            width=width,
            height=round(height),
            least_width=round(width * 0.72),
            boxes=tuple(_box(part, *places[part.name]) for part in parts),
            wires=tuple(
                Wire(_curve(places[owner], places[part.name]), hues[owner]) for part in parts for owner in part.before
            ),
        )


def _lead(graph: ModelGraph) -> str:
    rates = sorted({_when(node) for node in graph.nodes})
    return (
        f"{_counted(graph.inputs, 'input')}, {_counted(graph.nodes, 'node')}, {_counted(graph.outputs, 'output')}. "
        f"Every node runs at its own rate ({', '.join(rates)}) and keeps what it computed until something newer comes."
    )


def _parts(manifest: Manifest) -> list[Part]:
    graph = manifest.model
    names = tuple(graph.inputs)
    parts = [
        Part(f"{INPUT}.{name}", 0, name, (spec.modality, spec.describe()), hue_of(names, name), (), spec.modality)
        for name, spec in graph.inputs.items()
    ]
    depth = {part.name: 0 for part in parts}
    for node in graph.nodes:
        depth[node.name] = 1 + max(depth[owner] for owner in node.sources)
        record = manifest.graphs.get(node.graph)
        size = f"{count(record.parameters)} parameters" if record and record.parameters else f"graph {node.graph}"
        lines = (f"{node.role}, {_when(node)}", f"{size}{', holds' if node.hold else ''}")
        parts.append(Part(node.name, depth[node.name], node.name, lines, _hue(graph, node, names), node.sources))
    last = 1 + max(depth.values())
    for name, output in graph.outputs.items():
        labels = getattr(output.kind, "labels", ())
        lines = (f"{len(labels)} classes", _labels(labels)) if labels else (output.kind.kind, "")
        parts.append(Part(f"output.{name}", last, name, lines, "good", output.sources))
    return parts


def _places(parts: Sequence[Part]) -> tuple[Mapping[str, tuple[float, float]], int, float]:
    """Part -> its corner, columns centred; and the picture's width and height."""
    columns: dict[int, list[Part]] = {}
    for part in parts:
        columns.setdefault(part.column, []).append(part)
    tallest = max(len(column) for column in columns.values())
    height = tallest * (_HEIGHT + _DOWN) - _DOWN + 2 * _MARGIN
    places: dict[str, tuple[float, float]] = {}
    for number, key in enumerate(sorted(columns)):
        column = columns[key]
        free = height - 2 * _MARGIN - len(column) * _HEIGHT
        full = len(column) == tallest
        gap = _DOWN if full else free / (len(column) + 1)
        top = _MARGIN + (0 if full else gap)
        for row, part in enumerate(column):
            places[part.name] = (_MARGIN + number * (_WIDTH + _ACROSS), top + row * (_HEIGHT + gap))
    return places, len(columns) * _WIDTH + (len(columns) - 1) * _ACROSS + 2 * _MARGIN, height


def _box(part: Part, x: float, y: float) -> Box:
    return Box(f"{x:.1f}", f"{y:.1f}", part.title, part.lines, part.hue, _GLYPHS.get(part.glyph, ""))


def _curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    """From the middle of one box's right edge to the middle of another's left."""
    x1, y1 = start[0] + _WIDTH, start[1] + _HEIGHT / 2
    x2, y2 = end[0], end[1] + _HEIGHT / 2
    bend = max(24.0, (x2 - x1) / 2)
    return f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"


def _hue(graph: ModelGraph, node: Node, names: Sequence[str]) -> str:
    """An encoder has its input's colour, what joins several has its own."""
    owners = node.sources
    if len(owners) > 1:
        return "teal" if len(names) <= 3 else "soft"
    owner = owners[0]
    if owner.startswith(f"{INPUT}."):
        return hue_of(names, owner.removeprefix(f"{INPUT}."))
    return _hue(graph, graph.node(owner), names)


def _when(node: Node) -> str:
    trigger = node.trigger
    return f"{trigger.hz:g} times a second" if isinstance(trigger, Tick) else _WHEN.get(trigger.name, str(trigger))


def _labels(labels: Sequence[str]) -> str:
    if len(labels) <= 4:
        return ", ".join(labels)
    return f"{cut(labels[0], 10)}, {cut(labels[1], 10)} … {cut(labels[-1], 10)}"


def _counted(things: Sized, word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"
