"""What starting costs: a fresh process to its first answer, beside a script that uses ONNX Runtime alone; and `import edgemm`.

    python           nothing
    import edgemm    and no more
    bare             reads the same files of the bundle, makes the same sessions, runs one answer by hand
    edgemm           `edgemm.open(bundle).infer(...)`, which also verifies every file that it reads and converts the inputs

Processes run in turns; wall time is theirs from start to end, CPU time what they used. Tiny graphs, so that nearly everything is overhead, and
those of a bundle if one is given.

    python tests/benchmarks/bench_start.py [BUNDLE] [--runs 25] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from reporting import finish, heading
from tiny import write_tiny

import edgemm

RATIO = 1.10
IMPORT_MS = 30.0

BARE = """
import numpy as np
import onnxruntime as ort

def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with open(path, "rb") as file:
        return ort.InferenceSession(file.read(), options, providers=["CPUExecutionProvider"])

values = {}
"""


def bare_script(model: Any) -> str:
    """What somebody would write by hand for this model."""
    graph, folder = model.graph, model.bundle.path
    files = model.bundle.manifest.variants[model.variant].files
    lines = [BARE]
    lines += [f"{name} = session({str(folder / files[name])!r})" for name in graph.graph_names]
    for node in graph.nodes:
        feeds = []
        for name, edge in node.reads.items():
            if edge.from_input:
                spec = graph.inputs[edge.output].tensors[graph.tensor_index(edge)]
                feeds.append(f"{name!r}: np.zeros({spec.with_batch(1)}, {spec.dtype!r})")
            else:
                feeds.append(f"{name!r}: values[{edge.owner!r}][{node_output(graph, edge)}]")
        shape = (1, len(node.members))
        feeds += [f"{node.presence!r}: np.ones({shape}, 'float32')"] if node.presence else []
        feeds += [f"{node.age!r}: np.zeros({shape}, 'float32')"] if node.age else []
        lines.append(f"values[{node.name!r}] = {node.graph}.run(None, {{{', '.join(feeds)}}})")
    answers = [edge for output in graph.outputs.values() for edge in output.reads.values()]
    return "\n".join([*lines, *(f"values[{edge.owner!r}][{node_output(graph, edge)}][0]" for edge in answers)])


def node_output(graph: Any, edge: Any) -> int:
    """Which of its node's outputs an edge carries."""
    return int(graph.tensor_index(edge))


def edgemm_script(model: Any) -> str:
    """The same through EdgeMM, from raw values of the size that needs no resizing."""
    inputs = []
    for name, kind in model.graph.inputs.items():
        if kind.kind == "text":
            inputs.append(f"{name}='go on'")
        else:
            spec = kind.tensors[0]
            inputs.append(f"{name}=np.zeros({spec.shape[1:]}, {spec.dtype!r})")
    return (
        f"import numpy as np\nimport edgemm\nwith edgemm.open({str(model.bundle.path)!r}) as model:\n"
        f"    model.infer({', '.join(inputs)}).outputs"
    )


def run(script: Path) -> tuple[float, float]:
    """Wall and CPU time of a fresh process, ms."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run([sys.executable, str(script)], check=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": ""})
    wall_s = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return wall_s * 1e3, cpu_s * 1e3


def measure(bundle: Path, runs: int) -> dict[str, dict[str, float]]:
    """Way -> medians."""
    with tempfile.TemporaryDirectory() as folder, edgemm.open(bundle) as model:
        scripts = {
            "python": "",
            "import edgemm": "import edgemm",
            "bare": bare_script(model),
            "edgemm": edgemm_script(model),
        }
        paths = {}
        for index, (way, text) in enumerate(scripts.items()):
            paths[way] = Path(folder) / f"way{index}.py"
            paths[way].write_text(text, encoding="utf-8")
            run(paths[way])  # files into the cache, bytecode written
        times: dict[str, list[tuple[float, float]]] = {way: [] for way in scripts}
        order = list(paths)
        for number in range(runs):
            for way in order[number % 4 :] + order[: number % 4]:
                times[way].append(run(paths[way]))
    return {
        way: {"wall_ms": round(median(wall for wall, _ in rows), 1), "cpu_ms": round(median(cpu for _, cpu in rows), 1)}
        for way, rows in times.items()
    }


def show(title: str, rows: dict[str, dict[str, float]]) -> tuple[float, float]:
    """Print; the ratio of cold starts and what the import adds in ms."""
    print(f"\n{title:<40}{'wall ms':>10}{'CPU ms':>10}")
    for way, row in rows.items():
        print(f"  {way:<38}{row['wall_ms']:>10.1f}{row['cpu_ms']:>10.1f}")
    ratio = rows["edgemm"]["wall_ms"] / rows["bare"]["wall_ms"]
    print(f"  edgemm over bare: wall {ratio:.3f}, CPU {rows['edgemm']['cpu_ms'] / rows['bare']['cpu_ms']:.3f}")
    return ratio, rows["import edgemm"]["wall_ms"] - rows["python"]["wall_ms"]


def main() -> int:
    """Measure and print; 1 when starting costs more than it may."""
    parser = argparse.ArgumentParser(description="What starting costs.")
    parser.add_argument("bundle", nargs="?", type=Path, help="also measure this bundle, a folder")
    parser.add_argument("--runs", type=int, default=25, help="processes of each way (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    arguments, _ = parser.parse_known_args()  # `make bench` gives every benchmark the same
    heading("cold start")
    with tempfile.TemporaryDirectory() as folder:
        found = {"tiny graphs": measure(write_tiny(Path(folder) / "tiny.edgemm"), arguments.runs)}
    if arguments.bundle is not None:
        found[str(arguments.bundle)] = measure(arguments.bundle.resolve(), arguments.runs)
    shown = [show(title, rows) for title, rows in found.items()]
    ratio, import_ms = max(ratio for ratio, _ in shown), min(ms for _, ms in shown)
    kept = ratio <= RATIO and import_ms <= IMPORT_MS
    print(
        f"\ncold start {ratio:.3f} of bare (target {RATIO:.2f}), import {import_ms:.1f} ms (target {IMPORT_MS:g}): "
        f"{'kept' if kept else 'BROKEN'}"
    )
    finish({"start": found}, arguments.json)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
