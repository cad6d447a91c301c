"""Breaks the code one place at a time and runs the room's tests: what survives is a test that is missing.

    python tests/mutation/mutate.py [ROOM ...] [--file NAME ...] [--sample N] [--fresh] [--report] [--no-diffs]

Works on a copy in .mutants/, so that the checkout stays whole. Verdicts are kept per file in cosmic-ray's own databases: an
interrupted run goes on where it stopped, a file that changed starts over, and when only the tests changed, only survivors are tried
again. It knows nothing of what the rooms do; rooms.toml says what is broken and what must notice.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import get_ast_from_path
from cosmic_ray.commands.init import init
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator, operator_names
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult

sys.path.insert(0, str(Path(__file__).parent))
import forks
from operators import register
from places import skipped_because

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".mutants"
TREE = HOME / "tree"
PACKAGE_FOLDERS = ("", "plugins", "exporters", "devices", "plugins/digit_desk")


@dataclass(frozen=True)
class Room:
    """Files to break, and the tests that must notice.

    Attributes:
        files: relative to the repository.
        tests: files for pytest.
    """

    name: str
    files: tuple[Path, ...]
    tests: tuple[str, ...]


def main(words: Sequence[str] | None = None) -> int:
    """Try every mutant of the chosen rooms that has no verdict yet; 1 if a room's own tests fail."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    config = tomllib.loads((Path(__file__).parent / "rooms.toml").read_text(encoding="utf-8"))
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(config['room'])}; all if not given")
    parser.add_argument("--fresh", action="store_true", help="forget every verdict of these rooms")
    parser.add_argument(
        "--sample", type=int, metavar="N", help="of each file at most N mutants, by chance, always the same"
    )
    parser.add_argument("--file", action="append", metavar="NAME", help="only the rooms' files of this name")
    parser.add_argument("--report", action="store_true", help="only tell what is known")
    parser.add_argument("--no-diffs", action="store_true", help="list survivors without their diff")
    args = parser.parse_args(words)
    register()
    unknown = set(config["operators"]["use"]) - set(operator_names())
    if unknown:
        raise SystemExit(f"rooms.toml: cosmic-ray has no operators {', '.join(sorted(unknown))}")
    rooms = [_room(name, config["room"], args.file) for name in args.rooms or config["room"]]
    if not args.report:
        _copy_tree()
        for room in rooms:
            problem = _run_room(room, config, fresh=args.fresh, sample=args.sample)
            if problem:
                print(problem, file=sys.stderr)
                return 1
    for room in rooms:
        _report(room, config["skipped"], diffs=not args.no_diffs)
    return 0


def _room(name: str, known: dict[str, Any], only: Sequence[str] | None) -> Room:
    if name not in known:
        raise SystemExit(f"unknown room '{name}'; rooms.toml has {', '.join(known)}")
    paths, tests = _files(name, known[name]["paths"], "*.py"), _files(name, known[name]["tests"], "test_*.py")
    chosen = tuple(path for path in paths if only is None or path.name in only)
    if not chosen:
        raise SystemExit(f"room '{name}' has no file named so; it has {', '.join(path.name for path in paths)}")
    return Room(name, chosen, tuple(map(str, tests)))


def _files(room: str, written: list[str], pattern: str) -> list[Path]:
    """The files that rooms.toml means, relative to the repository."""
    files: list[Path] = []
    for one in written:
        path = ROOT / one
        if not path.exists():
            raise SystemExit(f"rooms.toml: room '{room}' names '{one}', which does not exist")
        files += [path] if path.is_file() else sorted(path.rglob(pattern))
    return [path.relative_to(ROOT) for path in dict.fromkeys(files)]  # the order is the one in which they are run


def _copy_tree() -> None:
    """What git would commit, as it is now, so that neither the checkout nor its caches are touched."""
    shutil.rmtree(TREE, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            target = TREE / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    os.chdir(TREE)
    os.environ["EDGEMM_PATIENCE_S"] = "2"  # of tests that wait for what a mutant never does
    os.environ.setdefault("EDGEMM_SCRIPTS", "mutants")  # a few random scripts each; a survivor is worth a thorough look
    os.environ["PYTHONPATH"] = os.pathsep.join(str(TREE / folder) for folder in PACKAGE_FOLDERS)


def _run_room(room: Room, config: dict[str, Any], *, fresh: bool, sample: int | None) -> str:
    """Try what has no verdict; why it cannot be tried, or ""."""
    started = time.monotonic()
    status, output = forks.warm(_arguments(room, config), config["timeout_s"])
    if status:
        return f"{output}\nroom '{room.name}': its tests fail, or take too long, on unbroken code"
    print(f"room {room.name}: its tests pass on unbroken code in {time.monotonic() - started:.1f} s", flush=True)
    folders = {(ROOT / test).parent for test in room.tests}
    tests = _digest(path for folder in folders for path in folder.glob("*.py"))
    for path in room.files:
        with _session(room, path, fresh=fresh) as database:
            _prepare(database, path, config, tests)
            _try_all(database, path, _arguments(room, config, path.stem), config["timeout_s"], sample)
    return ""


def _arguments(room: Room, config: dict[str, Any], stem: str = "") -> list[str]:
    """For pytest: the room's tests until one fails; first those that are named after the file that is broken."""
    ordered = sorted(room.tests, key=lambda test: not Path(test).name.startswith(f"test_{stem}") if stem else 0)
    return ["-qx", "-p", "no:cacheprovider", f"--timeout={config['test_timeout_s']}", *ordered]


def _session(room: Room, path: Path, *, fresh: bool) -> Any:
    file = HOME / room.name / f"{str(path).replace('/', '.')}.sqlite"
    file.parent.mkdir(parents=True, exist_ok=True)
    if fresh:
        file.unlink(missing_ok=True)
    return use_db(file)


def _prepare(database: WorkDB, path: Path, config: dict[str, Any], tests: str) -> None:
    """Make the mutants of a file that is new or changed; forget survivors when the tests changed."""
    note = Path(database.name()).with_suffix(".digests")
    known = note.read_text().split() if note.exists() else ["", ""]
    here = Path(__file__).parent
    source = _digest([ROOT / path, here / "operators.py", here / "places.py"], ",".join(config["operators"]["use"]))
    if known[0] != source or not database.num_work_items:
        init([path], database, {})
        tree = get_ast_from_path(path)
        for item in database.work_items:
            reason = _skip(item.mutations[0], tree, config["operators"]["use"])
            if reason:
                database.set_result(item.job_id, WorkResult(WorkerOutcome.SKIPPED, reason))
    elif known[1] != tests:
        survivors = [job for job, result in database.results if result.test_outcome is TestOutcome.SURVIVED]
        for job in survivors:
            database.set_result(job, WorkResult(WorkerOutcome.NO_TEST))
    note.write_text(f"{source} {tests}")


def _skip(mutation: MutationSpec, tree: Any, operators: list[str]) -> str:
    return skipped_because(tree, mutation) if mutation.operator_name in operators else "operator"


def _try_all(database: WorkDB, path: Path, arguments: Sequence[str], timeout_s: float, sample: int | None) -> None:
    results = dict(database.results)
    skipped = {job for job, result in results.items() if result.worker_outcome is WorkerOutcome.SKIPPED}
    items = sorted((item for item in database.work_items if item.job_id not in skipped), key=_place)
    if sample is not None and sample < len(items):
        items = random.Random(0).sample(items, sample)
    waiting = [
        item
        for item in items
        if item.job_id not in results or results[item.job_id].worker_outcome is WorkerOutcome.NO_TEST
    ]
    for count, item in enumerate(waiting, 1):
        mutation = item.mutations[0]
        result = _try(mutation, arguments, timeout_s)
        if not _is_conclusive(result):
            result = _try(mutation, arguments, timeout_s)
        database.set_result(item.job_id, result)
        verdict = "SURVIVED" if result.test_outcome is TestOutcome.SURVIVED else "killed"
        print(f"{path}:{mutation.start_pos[0]} {count}/{len(waiting)} {verdict} {mutation.operator_name}", flush=True)


def _place(item: WorkItem) -> tuple[Any, ...]:
    mutation = item.mutations[0]
    return mutation.start_pos, mutation.operator_name, mutation.occurrence


def _try(mutation: MutationSpec, arguments: Sequence[str], timeout_s: float) -> WorkResult:
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    with use_mutation(Path(mutation.module_path), operator, mutation.occurrence) as (before, after):
        if after is None:
            return WorkResult(WorkerOutcome.NO_TEST)
        status, output = forks.run(arguments, timeout_s)
    diff = "\n".join(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm=""))
    return WorkResult(WorkerOutcome.NORMAL, output, TestOutcome.KILLED if status else TestOutcome.SURVIVED, diff)


def _is_conclusive(result: WorkResult) -> bool:
    """Whether it was the tests that said so: a run that somebody ended from outside says nothing."""
    if result.test_outcome is TestOutcome.SURVIVED or result.output in (forks.TIMEOUT, "", None):
        return True
    return re.search(r"^(FAILED|ERROR) |\b(failed|errors?)\b.* in [0-9.]+s", result.output, re.MULTILINE) is not None


def _digest(paths: Iterable[Path], more: str = "") -> str:
    sha = hashlib.sha256(more.encode())
    for path in sorted(paths):
        sha.update(path.read_bytes())
    return sha.hexdigest()


def _report(room: Room, reasons: dict[str, str], *, diffs: bool) -> None:
    print(
        f"\nroom {room.name}\n{'file':44} {'mutants':>7} {'killed':>7} {'survived':>8} {'untried':>7}  killed of tried"
    )
    total: Counter[str] = Counter()
    survivors: list[tuple[Path, MutationSpec, str]] = []
    skipped: Counter[str] = Counter()
    clock = 0
    for path in room.files:
        counts: Counter[str] = Counter()
        with _session(room, path, fresh=False) as database:
            for item, result in database.completed_work_items:
                mutation = item.mutations[0]
                if result.worker_outcome is WorkerOutcome.SKIPPED:
                    skipped[str(result.output)] += 1
                    continue
                survived = result.test_outcome is TestOutcome.SURVIVED
                counts["untried" if result.test_outcome is None else "survived" if survived else "killed"] += 1
                clock += result.output == forks.TIMEOUT
                if survived:
                    survivors.append((path, mutation, result.diff or ""))
            counts["untried"] += len(database.pending_work_items)
        total += counts
        if counts.total():
            print(_row(str(path), counts))
    print(_row("all", total))
    print(f"killed because the tests took too long: {clock}")
    for name, reason in reasons.items():
        if skipped[name]:
            print(f"not broken: {skipped[name]} × {reason}")
    for path, mutation, diff in sorted(survivors, key=lambda s: (str(s[0]), s[1].start_pos)):
        print(f"\nsurvived: {path}:{mutation.start_pos[0]} in {mutation.definition_name} ({mutation.operator_name})")
        if diffs:
            changed = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("---", "+++")]
            print("\n".join(f"    {line}" for line in changed))


def _row(name: str, counts: Counter[str]) -> str:
    tried = counts["killed"] + counts["survived"]
    share = f"{counts['killed'] / tried:.1%}" if tried else "-"
    columns = f"{tried + counts['untried']:7} {counts['killed']:7} {counts['survived']:8} {counts['untried']:7}"
    return f"{name:44} {columns}  {share:>6}"


if __name__ == "__main__":
    sys.exit(main())
