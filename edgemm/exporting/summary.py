"""What an export made, for people and for JSON. Knows nothing of how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgemm.model.precision import FP32


@dataclass(frozen=True)
class ExportSummary:
    """What `export` made.

    Attributes:
        path, id: the bundle and its id.
        variants: target key -> total bytes of its files.
        fallbacks: target key -> graph -> precision that it got instead, and why.
        planned: target key -> why it was not compiled here, and how to.
        not_run: target key -> why this machine could not run its engines; the ONNX that they were compiled from was run instead.
        parity: rung -> name -> record.
        seconds: how long it took.
    """

    path: Path
    id: str = ""
    variants: Mapping[str, int] = field(default_factory=dict)
    fallbacks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    planned: Mapping[str, str] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)
    parity: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def quantized(self) -> bool:
        """Whether any variant, here or planned, is of another precision than FP32: only such were calibrated."""
        return any(key.rpartition(".")[2] != FP32 for key in (*self.variants, *self.planned))

    def to_json(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {**self.__dict__, "path": str(self.path)}

    def __str__(self) -> str:
        lines = [f"{self.path}  (id {self.id[:12]}, {self.seconds:.0f} s)"]
        for key, size in self.variants.items():
            lines.append(f"  {key:<52} {size / 2**20:>7.2f} MiB")
            for graph, reason in self.fallbacks.get(key, {}).items():
                lines.append(f"      {graph}: {reason}")
        for key, reason in self.planned.items():
            lines.append(f"  {key:<52} planned: {reason}")
        for rung, records in self.parity.items():
            worst = min(records.values(), key=lambda record: record["cosine"])
            lines.append(
                f"  parity {rung:<34} worst: {worst['name']:<10} cosine {worst['cosine']:.6f}  SNR {worst['snr_db']:>5.1f} dB  "
                f"agree {min(record['agreement'] for record in records.values()):.3f}"
            )
        ran = [key for key in self.variants if key not in self.not_run]
        lines.append(f"  opened again and run on the test vectors: {', '.join(ran)}")
        if self.not_run:
            lines.append(
                f"  {len(self.not_run)} more by the ONNX they were compiled from: this machine cannot run their engines; "
                "there, 'edgemm verify BUNDLE --trust-engines' does"
            )
        if self.calibration.get("random") and self.quantized:
            lines.append(
                "  calibrated on random data: sizes and speed are real, accuracy is not. Give --calibration SAMPLES.npz"
            )
        return "\n".join(lines)
