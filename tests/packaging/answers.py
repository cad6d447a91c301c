"""What a bundle answers on this machine: its test vectors in one pass, and a clip streamed. `make aarch64` runs it on two.

    python answers.py BUNDLE CLIP OUT.npz

It knows only `edgemm` and numpy, and nothing of what is compared.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import edgemm

VARIANTS = ("fp32", "int8")
SECONDS = 4  # of the clip: emulated, a second of video takes some of ours


def main(bundle: Path, clip: Path, out: Path) -> None:
    """Write for each variant `.rows`, and of the stream `.at_ms` and `.scores`; NaN where nothing was answered."""
    with np.load(bundle / "testvectors" / "vectors.npz") as vectors:
        inputs = {n.removeprefix("input."): vectors[n] for n in vectors.files if n.startswith("input.")}
    answers: dict[str, np.ndarray] = {}
    for variant in VARIANTS:
        with edgemm.open(bundle, variant=variant) as model:
            (rows,) = (tensors["scores"] for tensors in model.run(inputs).outputs().values())
            at_ms, scores = streamed(model, clip, rows.shape[1])
        answers |= {f"{variant}.rows": rows, f"{variant}.at_ms": at_ms, f"{variant}.scores": scores}
    np.savez(out, **answers)


def streamed(model: edgemm.Model, clip: Path, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """When each result was, and its scores: `(results,)`, `(results, labels)`."""
    sources = {"image": clip, "audio": clip, "text": clip.with_suffix(".srt")}
    with edgemm.stream(model, sources, realtime=False, seconds=SECONDS) as stream:
        results = list(stream)
    nothing = np.full(labels, np.nan, np.float32)
    scores = [result.outputs["answer"].scores if "answer" in result.outputs else nothing for result in results]
    return np.array([result.at_ns for result in results]) / 1e6, np.stack(scores)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
