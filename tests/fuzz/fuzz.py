"""Gives EdgeMM's readers files that somebody has changed: each must be read or refused, and nothing else may happen.

    make fuzz                                       every format, 100,000 cases each
    make fuzz ARGS="manifest uri --cases 2000"      two formats, 2,000 cases each
    make fuzz ARGS="mp4 --seconds 60"               a minute of one
    make fuzz ARGS="mp4 --seed 7"                   other cases; with --plain, one seed always gives the same
    make fuzz ARGS="--again .fuzz/mp4/hang-1b2c"    one file, its format told by its folder

A case that ends in anything but an error of `edgemm.errors`, takes more than 2 s, kills the process or takes more memory than its format's ceiling is a
finding: .fuzz/FORMAT/ has the file, and beside it, in a .txt, what it did. What was mended goes into tests/fuzz/corpus/FORMAT/, which `make test` replays.
New cases are bred from those that reached code that none had reached before (atheris); --plain does without, as `make test` does.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from cases import HANG_S, Count, Finding, Ledger, save
from targets import Target, targets_of

HOME = Path(__file__).parents[2] / ".fuzz"
STUCK_S = 5 * HANG_S  # after which a process is killed; what only took long says so itself
STARTING_S = 120.0  # the same between two cases, where it imports and instruments
RESTARTS = 50  # of a process that died or hung: more of the same tell nothing new
POLL_S = 0.05
NOTHING = Count()
LIBRARIES = ("onnxruntime", "onnx", "numpy", "av", "safetensors", "torch", "pydantic", "cryptography", "atheris")


@dataclass
class Report:
    """What came of one format."""

    target: Target
    count: Count = NOTHING
    seconds: float = 0.0
    findings: list[Path] = field(default_factory=list)

    def row(self) -> str:
        """A line of the table."""
        count = self.count
        return (
            f"| {self.target.name:<11} | {count.cases:>7,} | {count.cases / max(self.seconds, 1e-9):>7,.0f} | {count.refused:>8,} | {count.accepted:>8,} "
            f"| {len(self.findings):>8} | {count.slowest_s:>9.2f} | {count.largest_bytes / 2**20:>9.1f} | {self.target.ceiling_mib:>7} |"
        )


HEAD = (
    "| format      |   cases | cases/s |  refused | accepted | findings | slowest s | most MiB  | ceiling |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def fuzz(
    target: Target,
    *,
    cases: int,
    seed: int,
    findings: Path,
    seconds: float = float("inf"),
    plain: bool = False,
    targets: str = "",
    tell: bool = False,
) -> Report:
    """Run one format's cases, in one process after another when they die.

    Args:
        cases, seconds: when to stop, whichever comes first.
        findings: an empty folder.
        plain: not guided by coverage.
        targets: the file that the target is from, if not ours.
        tell: show how far it is.
    """
    report, began = Report(target), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgemm-fuzz-") as folder:
        bred = Path(folder, "bred")
        bred.mkdir()
        for _ in range(RESTARTS):
            done = report.count.cases
            options = {"ledger": f"{folder}/ledger", "findings": findings, "corpus": bred, "targets": targets}
            options |= {"cases": cases - done, "start": done, "seed": seed}
            words = [f"--{name}={value}" for name, value in options.items()] + ["--plain"] * plain
            Path(folder, "ledger").write_bytes(b"")
            died = _watched([target.name, *words], Path(folder), report, findings, began + seconds, tell)
            if not died or report.count.cases >= cases:
                break
    report.seconds = time.monotonic() - began
    report.findings = sorted(path for path in findings.iterdir() if path.suffix != ".txt")
    return report


def _watched(words: list[str], folder: Path, report: Report, findings: Path, until: float, tell: bool) -> bool:
    """Run one process and add to the report what it did; whether it ended before its time."""
    before, ledger, shown = report.count, Ledger(folder / "ledger"), 0.0
    seen, since = ledger.read(), time.monotonic()
    with (folder / "output").open("wb") as output:
        program = str(Path(__file__).parent / "cases.py")
        process = subprocess.Popen([sys.executable, program, *words], stdout=output, stderr=subprocess.STDOUT)
        try:
            kind = ""
            while process.poll() is None and not kind:
                time.sleep(POLL_S)
                count = ledger.read()
                if count != seen:
                    seen, since = count, time.monotonic()
                waited_s = time.monotonic() - since
                if waited_s > (STUCK_S if count.started_ns else STARTING_S):
                    kind = "hang"
                elif time.monotonic() > until:
                    kind = "over"
                if tell and time.monotonic() - shown > 1:
                    shown = time.monotonic()
                    _show(report.target.name, _sum(before, count))
        finally:
            process.kill()
            code = process.wait()
    count = ledger.read()
    report.count = _sum(before, count)
    if kind == "over" or (not kind and code == 0):
        return False
    said = (folder / "output").read_text(errors="replace")[-4000:]
    if not count.started_ns:
        raise SystemExit(f"{report.target.name}: its process {kind or 'ended'}, {code}, between two cases:\n{said}")
    report.count = report.count._replace(cases=report.count.cases + 1)
    finding = (
        Finding("hang", "", f"it hung\n{said}")
        if kind
        else Finding("crash", f"{code} {said[-300:]}", f"it ended with {code}\n{said}")
    )
    save(findings, finding, ledger.case())
    return True


def _show(name: str, count: Count) -> None:
    print(f"\r{name}: {count.cases:,} cases, {count.refused:,} refused ", end="", file=sys.stderr, flush=True)


def _sum(before: Count, count: Count) -> Count:
    return Count(
        before.cases + count.cases, before.accepted + count.accepted, before.refused + count.refused, count.started_ns,
        max(before.slowest_s, count.slowest_s), before.spent_s + count.spent_s, max(before.largest_bytes, count.largest_bytes),
    )  # fmt: skip


def versions() -> str:
    """Of Python and of what reads files for us."""
    found = {name: metadata.version(name) for name in LIBRARIES if _installed(name)}
    return ", ".join([f"Python {sys.version.split()[0]}", *(f"{name} {version}" for name, version in found.items())])


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _folder(name: str) -> Path:
    """Where findings of a format go; older ones are replaced."""
    folder = HOME / name
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    return folder


def _again(paths: Iterable[Path]) -> int:
    """Run single files, in this process, with whatever they raise."""
    for path in paths:
        target = targets_of("").get(path.parent.name)
        if target is None:
            raise SystemExit(f"'{path}' lies in no format's folder; formats: {', '.join(targets_of(''))}")
        with tempfile.TemporaryDirectory() as folder:
            from edgemm.errors import EdgeMMError

            reader, began = target.prepare(Path(folder)), time.monotonic()
            try:
                reader(path.read_bytes())
                print(f"{path}: accepted", end="")
            except EdgeMMError as error:
                print(f"{path}: refused: {error}", end="")
            print(f", {time.monotonic() - began:.2f} s")
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Fuzz the chosen formats; 1 if something was found."""
    known = targets_of("")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=f"of {', '.join(known)}; all if not given")
    parser.add_argument("--cases", type=int, default=100_000, metavar="N", help="of each format (100,000)")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), metavar="S", help="of each format at most; no limit if not given"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of chance (0)")
    parser.add_argument("--plain", action="store_true", help="not guided by coverage")
    parser.add_argument("--again", type=Path, nargs="+", metavar="FILE", help="only run these files")
    args = parser.parse_args(words)
    if args.again:
        return _again(args.again)
    unknown = [name for name in args.formats if name not in known]
    if unknown:
        parser.error(f"there is no format '{unknown[0]}'; there are {', '.join(known)}")
    plain = args.plain or not _installed("atheris")
    if plain:
        print("not guided by coverage" + ("" if args.plain else ": atheris is not installed, or not to be had here"))
    reports = []
    for name in args.formats or known:
        reports.append(
            fuzz(
                known[name],
                cases=args.cases,
                seconds=args.seconds,
                seed=args.seed,
                findings=_folder(name),
                plain=plain,
                tell=sys.stderr.isatty(),
            )
        )
        print(f"\r{reports[-1].row()}", file=sys.stderr, flush=True)
    print(f"{versions()}; seed {args.seed}\n\n{HEAD}", *(report.row() for report in reports), sep="\n")
    found = [path for report in reports for path in report.findings]
    for path in found:
        print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
