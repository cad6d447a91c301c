"""Which variant of a bundle runs on this machine, and why; and what runs it.

Engines are native code, so they are chosen and loaded only when the caller trusts the bundle. Imports no plugin unless an engine is to run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgemm.bundle.files import Bundle
from edgemm.bundle.manifest import Variant
from edgemm.errors import BundleError, EdgeMMError, MissingDependencyError, UsageError
from edgemm.host.entries import RunnerEntry
from edgemm.host.interfaces import Runner, RunnerFit
from edgemm.runners.onnxruntime import OnnxRuntimeRunner

REFERENCE = "cpu.onnxruntime.fp32"
_ON_CPU = "onnxruntime"


@dataclass(frozen=True)
class Choice:
    """A variant to try.

    Attributes:
        key: its target key.
        reason: why it is tried.
        last: what goes wrong with it is the end; before, the next choice is tried.
    """

    key: str
    reason: str
    last: bool = True


def choices(bundle: Bundle, wanted: str, trust_engines: bool) -> Iterator[Choice]:
    """What to try, in order: what was asked for; or, for `auto`, engines that fit this machine, then the CPU's reference.

    Raises:
        UnknownNameError: there is no such variant.
        UsageError: it holds engines, and nobody said that they are trusted.
        BundleError: there is nothing for this CPU.
    """
    variants = bundle.manifest.variants
    if wanted != "auto":
        key = bundle.manifest.find_variant(wanted)
        if variants[key].backend != _ON_CPU and not trust_engines:
            raise UsageError(
                f"variant '{key}' holds {variants[key].backend} engines, which are native code that runs with your rights. "
                "If you trust where this bundle came from: --trust-engines (in Python trust_engines=True). "
                f"Otherwise run it on the CPU: --variant {REFERENCE}"
            )
        yield Choice(key, "asked for")
        return
    engines = {key: variant for key, variant in variants.items() if variant.backend != _ON_CPU}
    why_not = ""
    if engines and not trust_engines:
        why_not = "; its engines are not trusted (--trust-engines)"
    elif engines:
        fits = {key: _fit(variant) for key, variant in engines.items()}
        usable = sorted((key for key in fits if not fits[key].problem), key=lambda key: not fits[key].exact)  # stable
        for key in usable:
            version = "built by the version that is here" if fits[key].exact else "built by a version that may do"
            yield Choice(key, f"an engine for this GPU, {version}", last=False)
        problems = dict.fromkeys(fit.problem for fit in fits.values() if fit.problem)
        why_not = "".join(f"; {problem}" for problem in problems)
    if REFERENCE not in variants:
        raise BundleError(f"{bundle.path}: has no '{REFERENCE}' variant; it has {', '.join(variants)}")
    yield Choice(REFERENCE, f"the FP32 reference, which every CPU runs{why_not}")


def load_runners(bundle: Bundle, key: str, contents: Mapping[str, bytes], threads: int) -> dict[str, Runner]:
    """A runner for every graph of a variant, or none.

    Args:
        bundle: that it is of.
        key: the variant's target key.
        contents: graph -> its file.
        threads: of each graph's session on the CPU.

    Raises:
        BundleError: a graph cannot be loaded, or is not the manifest's.
        MissingDependencyError: nothing here runs such files.
    """
    runners: dict[str, Runner] = {}
    try:
        for graph, content in contents.items():
            runners[graph] = _runner(bundle, bundle.manifest.variants[key], graph, content, threads)
            _check_inputs(bundle, key, graph, runners[graph])
    except BaseException:
        for runner in runners.values():
            runner.close()
        raise
    return runners


def _runner(bundle: Bundle, variant: Variant, graph: str, content: bytes, threads: int) -> Runner:
    if variant.backend == _ON_CPU:
        return OnnxRuntimeRunner(content, graph, threads=threads)
    from edgemm.host.plugin_host import default_host

    host = default_host()
    suffix = variant.files[graph].rpartition(".")[2]
    for registered in host.entries(RunnerEntry).values():
        if suffix in registered.entry.formats:
            factory = host.resolve(registered, registered.entry.factory)
            options = {"graph": graph, "variant": variant, "record": bundle.manifest.graphs[graph]}
            try:
                runner: Runner = factory(content, options)
            except MissingDependencyError as error:
                raise MissingDependencyError(
                    f"{error}\n  or run the bundle on the CPU: --variant {REFERENCE}"
                ) from error
            return runner
    raise MissingDependencyError(_nothing_runs(variant))


def _fit(variant: Variant) -> RunnerFit:
    """Whether a registered runner could run it here; runners that do not say so are used only for what is asked for by name."""
    from edgemm.host.plugin_host import default_host

    host = default_host()
    suffixes = {path.rpartition(".")[2] for path in variant.files.values()}
    for registered in host.entries(RunnerEntry).values():
        if registered.entry.fit and suffixes <= set(registered.entry.formats):
            try:
                found: RunnerFit = host.resolve(registered, registered.entry.fit)(variant)
            except EdgeMMError as error:
                found = RunnerFit(problem=str(error).splitlines()[0])
            return found
    return RunnerFit(problem=_nothing_runs(variant))


def _nothing_runs(variant: Variant) -> str:
    suffixes = sorted({path.rpartition(".")[2] for path in variant.files.values()})
    return (
        f"variant of {variant.device} holds {variant.backend} engines, and no installed plugin runs '.{', .'.join(suffixes)}' files; "
        f"run the bundle on the CPU instead: --variant {REFERENCE}"
    )


def _check_inputs(bundle: Bundle, key: str, graph: str, runner: Runner) -> None:
    expected = bundle.manifest.graphs[graph].inputs
    if tuple(runner.inputs) != expected:
        raise BundleError(
            f"{bundle.path}: graph '{graph}' of variant '{key}' takes {_listed(runner.inputs)}, the manifest says {_listed(expected)}"
        )


def _listed(specs: object) -> str:
    return "; ".join(f"{spec.name} {spec}" for spec in specs)  # type: ignore[attr-defined]
