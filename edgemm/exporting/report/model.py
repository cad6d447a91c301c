"""The model as a picture: inputs, nodes and outputs in columns, with when each node runs."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass

from edgemm.bundle.manifest import Manifest
from edgemm.exporting.report.page import count, escape, hue_of, section
from edgemm.model.edge import INPUT
from edgemm.model.graph import ModelGraph, Node
from edgemm.model.rules import Tick

_WIDTH, _HEIGHT, _ACROSS, _DOWN, _MARGIN = 206, 74, 74, 24, 4
_WHEN = {"arrival": "on each arrival", "hop": "each hop", "change": "when it changes"}
_GLYPHS = {
    "image": "M0 2h18v14H0zM0 13l5-5 4 4 3-3 6 5M12.5 6.5h.01",
    "audio": "M1 7v4M5 3v12M9 6v6M13 1v16M17 6v6",
    "text": "M1 3h16M1 8h16M1 13h10",
}


@dataclass(frozen=True)
class _Box:
    """One box of the picture: its column, its lines, its colour, and the names of the boxes before it."""

    name: str
    column: int
    title: str
    lines: tuple[str, ...]
    hue: str
    before: tuple[str, ...]
    glyph: str = ""


def model_section(manifest: Manifest) -> str:
    """The card about the model."""
    graph = manifest.model
    rates = sorted({_when(node) for node in graph.nodes})
    lead = (
        f"{_counted(graph.inputs, 'input')}, {_counted(graph.nodes, 'node')}, {_counted(graph.outputs, 'output')}. "
        f"Every node runs at its own rate ({', '.join(rates)}) and keeps what it computed until something newer comes."
    )
    return section("The model", lead, f'<div class="scroll">{graph_svg(manifest)}</div>')


def graph_svg(manifest: Manifest) -> str:
    """Boxes in columns by depth, joined by curves."""
    boxes = _boxes(manifest)
    columns: dict[int, list[_Box]] = {}
    for box in boxes:
        columns.setdefault(box.column, []).append(box)
    tallest = max(len(column) for column in columns.values())
    width = len(columns) * _WIDTH + (len(columns) - 1) * _ACROSS + 2 * _MARGIN
    height = tallest * (_HEIGHT + _DOWN) - _DOWN + 2 * _MARGIN
    places: dict[str, tuple[float, float]] = {}
    for number, key in enumerate(sorted(columns)):
        free = height - 2 * _MARGIN - len(columns[key]) * _HEIGHT
        gap = free / (len(columns[key]) + 1) if len(columns[key]) < tallest else _DOWN
        top = _MARGIN + (gap if len(columns[key]) < tallest else 0)
        for row, box in enumerate(columns[key]):
            places[box.name] = (_MARGIN + number * (_WIDTH + _ACROSS), top + row * (_HEIGHT + gap))
    hues = {box.name: box.hue for box in boxes}
    wires = "".join(_wire(places[owner], places[box.name], hues[owner]) for box in boxes for owner in box.before)
    drawn = "".join(_box_svg(box, *places[box.name]) for box in boxes)
    label = escape(f"{manifest.name}: {', '.join(manifest.inputs)} to {', '.join(manifest.outputs)}")
    return (
        f'<svg viewBox="0 0 {width} {height:.0f}" style="min-width:{round(width * 0.72)}px" role="img" aria-label="{label}">'
        f"{wires}{drawn}</svg>"
    )


def _boxes(manifest: Manifest) -> list[_Box]:
    graph = manifest.model
    names = tuple(graph.inputs)
    boxes = [
        _Box(f"{INPUT}.{name}", 0, name, (spec.modality, spec.describe()), hue_of(names, name), (), spec.modality)
        for name, spec in graph.inputs.items()
    ]
    depth = {box.name: 0 for box in boxes}
    for node in graph.nodes:
        depth[node.name] = 1 + max(depth[owner] for owner in node.sources)
        record = manifest.graphs.get(node.graph)
        size = f"{count(record.parameters)} parameters" if record and record.parameters else f"graph {node.graph}"
        lines = (f"{node.role}, {_when(node)}", f"{size}{', holds' if node.hold else ''}")
        boxes.append(_Box(node.name, depth[node.name], node.name, lines, _hue(graph, node, names), node.sources))
    last = 1 + max(depth.values())
    for name, output in graph.outputs.items():
        labels = getattr(output.kind, "labels", ())
        lines = (f"{len(labels)} classes", _labels(labels)) if labels else (output.kind.kind, "")
        boxes.append(_Box(f"output.{name}", last, name, lines, "good", output.sources))
    return boxes


def _hue(graph: ModelGraph, node: Node, names: Sequence[str]) -> str:
    """An encoder has its input's colour, what joins several has its own."""
    owners = node.sources
    if len(owners) > 1:
        return "teal" if len(names) <= 3 else "soft"
    owner = owners[0]
    return (
        hue_of(names, owner.removeprefix(f"{INPUT}."))
        if owner.startswith(INPUT)
        else _hue(graph, graph.node(owner), names)
    )


def _box_svg(box: _Box, x: float, y: float) -> str:
    glyph = _GLYPHS.get(box.glyph, "")
    drawn = f'<path class="glyph" transform="translate({_WIDTH - 34} 14)" d="{glyph}"/>' if glyph else ""
    lines = "".join(
        f'<text class="soft" x="16" y="{45 + 17 * number}" font-size="12.5">{escape(_cut(line, 30))}</text>'
        for number, line in enumerate(box.lines)
    )
    return (
        f'<g class="c-{box.hue}" transform="translate({x:.1f} {y:.1f})"><rect class="tint" width="{_WIDTH}" height="{_HEIGHT}" '
        f'rx="12"/>{drawn}<text x="16" y="26" font-size="15.5" font-weight="650">{escape(_cut(box.title, 20))}</text>{lines}</g>'
    )


def _wire(start: tuple[float, float], end: tuple[float, float], hue: str) -> str:
    x1, y1 = start[0] + _WIDTH, start[1] + _HEIGHT / 2
    x2, y2 = end[0], end[1] + _HEIGHT / 2
    bend = max(24.0, (x2 - x1) / 2)
    return f'<path class="wire c-{hue}" d="M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"/>'


def _when(node: Node) -> str:
    trigger = node.trigger
    return f"{trigger.hz:g} times a second" if isinstance(trigger, Tick) else _WHEN.get(trigger.name, str(trigger))


def _labels(labels: Sequence[str]) -> str:
    return (
        ", ".join(labels)
        if len(labels) <= 4
        else f"{_cut(labels[0], 10)}, {_cut(labels[1], 10)} … {_cut(labels[-1], 10)}"
    )


def _counted(things: Sized, word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
