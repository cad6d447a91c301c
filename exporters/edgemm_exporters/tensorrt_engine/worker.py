"""The child's side of `guard`: calls one function, watches the lifeline, and answers in JSON lines."""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

from edgemm.errors import EdgeMMError
from edgemm.host.interfaces import ShapeRange
from edgemm_exporters.tensorrt_engine.compiler import Hooks, plan_from_onnx
from edgemm_exporters.tensorrt_engine.guard import GRACE_S


def main(job: dict[str, Any]) -> None:
    """Run `job` and write its answer to what was standard output."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what native code prints must not mix with answers
    cancelled = threading.Event()
    threading.Thread(target=_watch_lifeline, args=(cancelled,), daemon=True).start()
    with contextlib.suppress(OSError):  # let the kernel choose this process, not its parent, when memory runs out
        Path("/proc/self/oom_score_adj").write_text("800", encoding="ascii")
    hooks = Hooks(progress=lambda phase: _say(answers, {"progress": phase}), cancelled=cancelled.is_set)
    try:
        result = pkgutil.resolve_name(job["function"])(job["payload"], hooks)
    except EdgeMMError as error:
        _say(answers, {"error": str(error)})
    except Exception as error:  # the parent cannot see it otherwise
        _say(answers, {"error": f"{type(error).__name__}: {error}"})
    else:
        _say(answers, {"result": result})


def compile_graph(payload: dict[str, Any], hooks: Hooks) -> dict[str, Any]:
    """Compile `payload["source"]` into the file `payload["target"]` with `payload["module"]`; returns the record's figures."""
    trt = __import__(payload["module"])
    started = time.perf_counter()
    plan = plan_from_onnx(
        trt,
        Path(payload["source"]),
        compute_capability=payload["compute_capability"],
        shapes={name: ShapeRange(*map(tuple, shapes)) for name, shapes in payload["shapes"].items()},
        hooks=hooks,
    )
    seconds = time.perf_counter() - started
    with open(payload["target"], "wb") as file:
        file.write(plan.engine)
        file.flush()
        os.fsync(file.fileno())
    return {
        "builder": f"{payload['module']} {trt.__version__}",
        "seconds": seconds,
        "activation_bytes": plan.activation_bytes,
        "warnings": list(plan.warnings),
    }


def _say(answers: int, message: dict[str, Any]) -> None:
    os.write(answers, json.dumps(message).encode() + b"\n")


def _watch_lifeline(cancelled: threading.Event) -> None:
    """Ask the build to stop when the parent closes the pipe or dies, and insist when it does not."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    cancelled.set()
    time.sleep(2 * GRACE_S)
    os._exit(1)
