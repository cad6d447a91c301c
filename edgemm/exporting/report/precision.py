"""The parity ladder and the facts about calibration: does every rung compute what the one before it did?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgemm.exporting.report.page import escape, percent, section, share, table
from edgemm.model.precision import PRECISIONS

_MOST_DIGITS = 7.0
_HEADER = (("", ""), ("cosine", "n"), ("nines, gate", "w"), ("SNR", "n"), ("agree", "n"))


def parity_section(
    parity: Mapping[str, Mapping[str, Mapping[str, Any]]], calibration: Mapping[str, Any], outputs: Sequence[str]
) -> str:
    """One table for every rung, and what the quantized graphs were calibrated on."""
    lead = (
        "Each node is compared on what the FP32 chain feeds it; the answer is compared through the whole chain, so that errors may "
        "add up. Bars count the nines of the cosine, the mark is the gate; a graph that misses it falls back to the next higher precision."
    )
    rungs = "".join(
        f"<div><h3>{escape(rung)}</h3>{table(_HEADER, _rows(rung, records, outputs))}</div>"
        for rung, records in parity.items()
    )
    return section(
        "Parity ladder", lead, f'<div class="pair">{rungs or "Nothing was compared."}</div>{_calibration(calibration)}'
    )


def _rows(rung: str, records: Mapping[str, Mapping[str, Any]], outputs: Sequence[str]) -> Iterator[Sequence[str]]:
    precision = PRECISIONS.get(rung.rsplit(maxsplit=1)[-1])
    for name, record in records.items():
        answer = name in outputs
        limit = precision.gate.cosine if precision is not None and not answer else None
        cosine = float(record["cosine"])
        met = limit is None or cosine >= limit
        mark = f'<s style="left:{percent(_digits(limit) / _MOST_DIGITS)}"></s>' if limit is not None else ""
        hue = "good" if met and answer else "blue" if met else "bad"
        bar = f'<div class="bar c-{hue}"><i style="width:{percent(_digits(cosine) / _MOST_DIGITS)}"></i>{mark}</div>'
        title = f"<b>{escape(name)}</b>" + (' <span class="pill c-good">fused</span>' if answer else "")
        snr = float(record["snr_db"])
        yield (
            title,
            f"{cosine:.6f}",
            bar,
            "exact" if snr >= 200 else f"{snr:.1f} dB",
            share(float(record["agreement"])),
        )


def _digits(cosine: float) -> float:
    """How many nines a cosine has: 0.999 has three."""
    return min(_MOST_DIGITS, -math.log10(max(1.0 - cosine, 10**-_MOST_DIGITS)))


def _calibration(facts: Mapping[str, Any]) -> str:
    if not facts:
        return ""
    notes = ""
    if facts.get("random"):
        notes = (
            '<div class="note">Calibrated on random data: sizes and speed are real, accuracy is not. Export again with '
            "<code>--calibration SAMPLES.npz</code>.</div>"
        )
    elif not facts.get("evidence"):
        notes = '<div class="note">Few samples were left to compare on: read the agreement as a hint.</div>'
    rows = (
        ("Samples", f"{facts.get('source', '')}, {facts.get('rows', 0)} aligned rows of all inputs"),
        ("Compared on", f"{facts.get('compared_on', 0)} other rows, which calibration did not see"),
        ("SHA-256", str(facts.get("sha256", ""))),
    )
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f"<h3>Calibration</h3>{notes}<dl>{listed}</dl>"
