"""From what was measured to what holds: slopes and percentiles with their uncertainty, because a machine that others use is noisy.

Something holds when it is shown: when the whole interval of 95% lies within its limit. An interval with the limit inside shows nothing, and says so.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SLOPE_LIMIT_MB_PER_H = 1.0
DRIFT_LIMIT = 0.05
WARM_UP_SHARE = 0.2
AFTER_TAKING = ("late", "does not fit")
BLOCK_S = 15.0  # of answers that are drawn together: those of a moment are late together
STUDENT = {
    3: 4.3,
    4: 3.2,
    5: 2.8,
    6: 2.6,
    8: 2.4,
    10: 2.3,
    14: 2.15,
    20: 2.1,
    30: 2.05,
}  # rows -> t of 95%, for rows - 2


class Verdict(NamedTuple):
    """One line of the end; nothing is said of what is only told."""

    what: str
    found: str
    limit: str
    said: str

    @property
    def holds(self):
        return self.said in ("PASS", "")


def slope_per_hour(samples, of):
    """MB per hour of a straight line through one of the memories, and half of its interval of 95%."""
    hours = np.array([one.at_s for one in samples]) / 3600
    megabytes = np.array([getattr(one, of) for one in samples]) / 1024
    if len(samples) < 4:
        return float("nan"), float("inf")
    (slope, _), covariance = np.polyfit(hours, megabytes, 1, cov=True)
    factor = STUDENT[max(rows for rows in STUDENT if rows <= len(samples))]
    return float(slope), float(factor * np.sqrt(covariance[0, 0]))


def grown(first, last, draws=1000):
    """The relative growth of the p99 of latencies from one time to another, and its interval of 95% by a bootstrap of blocks."""
    generator = np.random.default_rng(0)
    blocks = [_blocks(rows) for rows in (first, last)]
    drawn = []
    for _ in range(draws):
        p99 = [
            np.percentile(np.concatenate([some[i] for i in generator.integers(0, len(some), len(some))]), 99)
            for some in blocks
        ]
        drawn.append(p99[1] / p99[0] - 1)
    p99 = [float(np.percentile(rows[:, 1], 99)) for rows in (first, last)]
    return p99, p99[1] / p99[0] - 1, tuple(float(edge) for edge in np.percentile(drawn, (2.5, 97.5)))


def _blocks(rows):
    numbers = (rows[:, 0] // BLOCK_S).astype(int)
    return [rows[numbers == number, 1] for number in np.unique(numbers)]


def verdicts(samples, answers, accounts, complete, seconds):
    """All that is promised of a long run."""
    warm = [one for one in samples if one.at_s >= WARM_UP_SHARE * seconds]
    slope, half = slope_per_hour(warm, "anonymous_kb")
    used, half_used = slope_per_hour(warm, "in_use_kb")
    found = [
        Verdict("RSS after warm-up", f"{slope:+.2f} ± {half:.2f} MB/h ({len(warm)} rests)", f"< {SLOPE_LIMIT_MB_PER_H:g} MB/h",
                _said(slope - half, slope + half, SLOPE_LIMIT_MB_PER_H)),
        Verdict("of it in use", f"{used:+.2f} ± {half_used:.2f} MB/h", "", ""),
        _constant("threads", [one.threads for one in warm]),
        _constant("file descriptors", [one.files for one in warm]),
    ]  # fmt: skip
    for name, told in zip(("faults", "camera"), answers, strict=True):
        found += _drift(name, told, seconds)
    lost = sum(abs(sent - taken - sum(n for cause, n in causes.items() if cause not in AFTER_TAKING))
               for _, sent, taken, causes in accounts)  # fmt: skip
    found.append(
        Verdict(
            "packets unaccounted for",
            f"{lost} of {sum(row[1] for row in accounts)}",
            "0",
            _pass(lost == 0 and complete),
        )
    )
    return found


def _drift(name, told, seconds):
    start_s = WARM_UP_SHARE * seconds
    quarter_s = (seconds - start_s) / 4
    first, last = told.between(start_s, start_s + quarter_s), told.between(seconds - quarter_s, seconds)
    p99, drift, (low, high) = grown(first, last)
    cpu = [float(np.ptp(rows[:, 2]) / (len(rows) - 1)) for rows in (first, last)]
    found = f"{p99[0]:.1f} -> {p99[1]:.1f} ms: {drift:+.1%} ({low:+.1%} to {high:+.1%})"
    return [
        Verdict(f"p99 of answers, {name}", found, f"< {DRIFT_LIMIT:.0%}", _said(low, high, DRIFT_LIMIT)),
        Verdict(f"CPU per answer, {name}", f"{cpu[0]:.2f} -> {cpu[1]:.2f} ms: {cpu[1] / cpu[0] - 1:+.1%}", "", ""),
    ]  # fmt: skip


def _said(low, high, limit):
    return "PASS" if high < limit else "FAIL" if low > limit else "NOT SHOWN"


def _pass(holds):
    return "PASS" if holds else "FAIL"


def _constant(what, counts):
    return Verdict(
        what, ", ".join(str(count) for count in sorted(set(counts))), "one number", _pass(len(set(counts)) == 1)
    )


def shown(samples, accounts, judged):
    """The table of the end."""
    lines = ["", f"{'input':<10}{'sent':>9}{'delivered':>11}  lost"]
    for name, sent, taken, causes in accounts:
        delivered = taken - sum(causes[cause] for cause in AFTER_TAKING)
        lines.append(
            f"{name:<10}{sent:>9}{delivered:>11}  " + ", ".join(f"{n} {cause}" for cause, n in sorted(causes.items()))
        )
    loads = [one.load for one in samples]
    lines += ["", f"load {min(loads):.1f} to {max(loads):.1f}"]
    lines += [f"{one.said:<10}{one.what:<30}{one.limit:<12}{one.found}" for one in judged]
    lines.append("PASS" if all(one.holds for one in judged) else "FAIL")
    return "\n".join(lines)
