"""Runs the cases of one target, in a process of its own that may hang, crash or be killed: whoever started it watches a ledger in shared memory.

    python tests/fuz/cases.py TARGET --ledger FILE --findings FOLDER --cases N --start N --seed N --corpus FOLDER [--plain]

Guided by coverage (atheris, which is libFuzzer for Python), or plain: every file of the corpus, then mutations of the sound ones by chance. Source:
https://github.com/google/atheris
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import os
import resource
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from random import Random
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
from mutations import LONGEST, Grammar, grammar_of, mutated
from targets import Reader, Target, targets_of

HANG_S = 2.0
ADDRESS_SPACE = (
    4 * 2**30
)  # beyond what the process has when it begins: what asks for more is refused it, and says so by a MemoryError
INSTRUMENTED = ["edgemm", "edgemm_plugins", "tomllib", "zipfile", "json", "numpy.lib.format", "numpy.lib._format_impl"]
_HEADER = struct.Struct("<QQQQddQQ")  # see Count
SIZE = _HEADER.size + LONGEST


class Count(NamedTuple):
    """What a ledger says.

    Attributes:
        started_ns: when the case that runs began, monotonic; 0 between cases.
        largest_bytes: memory that a case took.
        size: of the case that runs, in bytes; its content follows.
    """

    cases: int = 0
    accepted: int = 0
    refused: int = 0
    started_ns: int = 0
    slowest_s: float = 0.0
    spent_s: float = 0.0
    largest_bytes: int = 0
    size: int = 0


class Finding(NamedTuple):
    """What should not be.

    Attributes:
        kind: `hang`, `memory`, `crash`, or an error's class.
        place: what tells it from others of its kind.
        text: for people.
    """

    kind: str
    place: str
    text: str


class Ledger:
    """Counts and the case that runs, in a file that two processes map."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            file.truncate(SIZE)
            self._map = mmap.mmap(file.fileno(), SIZE)

    def read(self) -> Count:
        """What it says now."""
        return Count(*_HEADER.unpack_from(self._map))

    def write(self, count: Count) -> None:
        """Say it."""
        _HEADER.pack_into(self._map, 0, *count)

    def case(self) -> bytes:
        """The case that runs."""
        return self._map[_HEADER.size : _HEADER.size + self.read().size]

    def keep(self, content: bytes) -> None:
        """The case that is about to run."""
        self._map[_HEADER.size : _HEADER.size + len(content)] = content


class Cases:
    """Runs one case after the other and keeps what should not be."""

    def __init__(self, target: Target, reader: Reader, ledger: Ledger, findings: Path, wanted: int) -> None:
        from edgemm.errors import EdgeMMError

        self._target, self._reader, self._ledger = target, reader, ledger
        self._findings, self._wanted = findings, wanted
        self._refusal = EdgeMMError
        self._count, self._parent = Count(), os.getppid()

    def run(self, content: bytes) -> None:
        """Run one; ends the process after the last."""
        content, count = content[:LONGEST], self._count
        self._ledger.keep(content)
        before = _memory("VmRSS", reset=True)
        self._ledger.write(count._replace(started_ns=time.monotonic_ns(), size=len(content)))
        started = _clock_s()
        accepted, finding = self._outcome(content)
        seconds = _clock_s() - started
        taken = max(0, _memory("VmHWM") - before)
        if seconds > HANG_S:
            started = _clock_s()
            self.accepts(content)
            seconds = min(seconds, _clock_s() - started)  # what happens only once is no finding
        if seconds > HANG_S:
            finding = Finding("hang", "", f"took {seconds:.1f} s; at most {HANG_S} s")
        elif taken > self._target.ceiling_mib * 2**20:
            finding = Finding("memory", "", f"took {taken >> 20} MiB; at most {self._target.ceiling_mib} MiB")
        if finding:
            save(self._findings, finding, content)
        if os.getppid() != self._parent:  # nobody watches any more
            os._exit(1)
        self._count = Count(
            count.cases + 1, count.accepted + accepted, count.refused + (not accepted and not finding), 0,
            max(count.slowest_s, seconds), count.spent_s + seconds, max(count.largest_bytes, taken), 0,
        )  # fmt: skip
        self._ledger.write(self._count)
        if self._count.cases >= self._wanted:
            os._exit(0)

    def accepts(self, content: bytes) -> bool:
        """Whether it is read; not counted."""
        return self._outcome(content)[0]

    def _outcome(self, content: bytes) -> tuple[bool, Finding | None]:
        """Whether it was accepted; and what it was where it was neither accepted nor refused."""
        try:
            self._reader(content)
        except self._refusal:
            return False, None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
            ours = [place for place in places if "/edgemm" in place and "site-packages" not in place]
            return False, Finding(type(error).__name__, (ours or places)[-1], traceback.format_exc())
        return True, None


def save(folder: Path, finding: Finding, content: bytes) -> None:
    """Keep the file, and what it did; one of each kind and place."""
    key = hashlib.sha256(f"{finding.kind} {finding.place}".encode()).hexdigest()[:8]
    path = folder / f"{finding.kind}-{key}"
    if not path.exists():
        path.write_bytes(content)
        path.with_name(f"{path.name}.txt").write_text(finding.text, encoding="utf-8", errors="replace")


def _clock_s() -> float:
    """Time, without that in which this thread could have run and others had the CPU: a busy machine is no finding."""
    with open("/proc/thread-self/schedstat") as file:
        return time.monotonic() - int(file.read().split()[1]) / 1e9


def _memory(field: str, *, reset: bool = False) -> int:
    """Bytes that this process has (VmRSS) or had at most since the last reset (VmHWM)."""
    if reset:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    with open("/proc/self/status") as file:
        found = next(line for line in file if line.startswith(field))
    return int(found.split()[1]) * 1024


def main(words: Sequence[str] | None = None) -> None:
    """Run the cases that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--targets", default="", help="another file with a table of targets")
    for name in ("--ledger", "--findings", "--corpus"):
        parser.add_argument(name, type=Path, required=True)
    for name in ("--cases", "--seed", "--start"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--plain", action="store_true", help="not guided by coverage")
    args = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="edgemm-fuzz-", dir=_in_memory()) as scratch:
        (_plain if args.plain else _guided)(args, Path(scratch))


def _in_memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _prepared(args: argparse.Namespace, scratch: Path) -> tuple[Target, Cases]:
    target = targets_of(args.targets)[args.target]
    cases = Cases(target, target.prepare(scratch), Ledger(args.ledger), args.findings, args.cases)
    for seed in target.seeds:  # imports and caches are not what a case takes
        if not cases.accepts(seed.read_bytes()):
            raise SystemExit(f"'{seed}' is not accepted any more: run tests/fuzz/seeds.py")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ADDRESS_SPACE,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return target, cases


def _plain(args: argparse.Namespace, scratch: Path) -> None:
    target, cases = _prepared(args, scratch)
    seeds = [seed.read_bytes() for seed in target.seeds]
    known = [*seeds, *(path.read_bytes() for path in target.found)]
    grammar: Grammar = grammar_of(f".{target.suffix}")
    for number in count(args.start):
        random = Random(f"{args.seed} {number}")
        cases.run(known[number] if number < len(known) else mutated(random.choice(seeds), grammar, random))


def _guided(args: argparse.Namespace, scratch: Path) -> None:
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        target, cases = _prepared(args, scratch)
        grammar = grammar_of(f".{target.suffix}")

        def mutator(content: bytes, longest: int, seed: int) -> bytes:
            random = Random(seed)
            if random.random() < 0.2:
                return bytes(atheris.Mutate(content, longest))
            if random.random() < 0.5:  # what was bred is mostly refused early
                content = random.choice(seeds)
            return mutated(content, grammar, random)[:longest]

        seeds = [path.read_bytes() for path in target.seeds]
        options = [
            f"-seed={(args.seed + args.start) % 2**32 or 1}",
            f"-max_len={LONGEST}",
            "-runs=-1",
            "-timeout=100000",
            f"-artifact_prefix={args.corpus}/",
            "-rss_limit_mb=0",
            "-verbosity=0",
            "-detect_leaks=0",
            "-len_control=0",
            "-mutate_depth=1",
        ]
        atheris.Setup(
            [sys.argv[0], *options, str(args.corpus), str(target.seeds[0].parent)], cases.run, custom_mutator=mutator
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
