"""Which variant of a bundle runs on this machine, and why; and what runs it.

Native code is chosen and loaded only when the caller trusts the bundle with it; whether a format is native, the runner of that format says in
its entry. Plugins are discovered only when an entry has to be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from edgemm.bundle.files import Bundle
from edgemm.bundle.manifest import Variant
from edgemm.errors import BundleError, EdgeMMError, MissingDependencyError, UsageError
from edgemm.host.named import entries_of, resolve_entry
from edgemm.runners.onnxruntime import OnnxRuntimeRunner, check_provider
from edgemm.runners.providers import CPU, ON_GPU, ONNX_RUNTIME

if TYPE_CHECKING:
    from edgemm.host.entries import RunnerEntry
    from edgemm.host.interfaces import Runner, RunnerFit
    from edgemm.tensors import TensorSpec

REFERENCE = "cpu.onnxruntime.fp32"
# Formats that are native whatever any entry says, so that opening a bundle that has engines, and nobody's trust, discovers no plugin:
# that costs a quarter of a cold start. It can only refuse, never admit.
_KNOWN_NATIVE = {"engine"}


class Choice(NamedTuple):
    """A variant to try.

    Attributes:
        key: its target key.
        reason: why it is tried.
        last: what goes wrong with it is the end; before, the next choice is tried.
    """

    key: str
    reason: str
    last: bool = True


class _Found(NamedTuple):
    """An entry of a runner, and what imports the "module:attribute" strings in it."""

    entry: RunnerEntry
    load: Callable[[str], Any]


def choices(bundle: Bundle, wanted: str, provider: str = CPU) -> Iterator[Choice]:
    """What to try, in order: what was asked for; or, for `auto`, what fits this machine, then the CPU's reference.

    Who asks for a provider of ONNX Runtime other than the CPU's asks for ONNX: then it is the reference that `auto` takes.

    Raises:
        UnknownNameError: there is no such variant or provider.
        UsageError: it is native code, and the bundle is not trusted with that; or nothing for that provider.
        MissingDependencyError: the installed ONNX Runtime was built without that provider.
        BundleError: there is nothing for this CPU.
    """
    if provider != CPU:
        yield _by_provider(bundle, wanted, provider)
        return
    variants = bundle.manifest.variants
    if wanted != "auto":
        key = bundle.manifest.find_variant(wanted)
        if not bundle.trust.engines and is_native(variants[key]):
            raise UsageError(
                f"variant '{key}' holds {variants[key].backend} engines, which are native code that runs with your rights. "
                "If you trust where this bundle came from: --trust-engines (in Python trust=edgemm.Trust(engines=True)). "
                f"Otherwise run it on the CPU: --variant {REFERENCE}{_to_install(variants[key])}"
            )
        yield Choice(key, "asked for")
        return
    others = {key: variant for key, variant in variants.items() if variant.backend != ONNX_RUNTIME}
    allowed = {key: variant for key, variant in others.items() if bundle.trust.engines or not is_native(variant)}
    fits = {key: _fit(variant) for key, variant in allowed.items()}
    usable = sorted((key for key in fits if not fits[key].problem), key=lambda key: not fits[key].exact)  # stable
    for key in usable:
        version = "made by the version that is here" if fits[key].exact else "made by a version that may do"
        yield Choice(key, f"a {variants[key].backend} variant for this machine, {version}", last=False)
    why_not = [fit.problem for fit in fits.values() if fit.problem]
    if len(allowed) < len(others):
        why_not.append("its engines are not trusted (--trust-engines)")
        unknown = (v for key, v in others.items() if key not in allowed and not _endings(v) & _KNOWN_NATIVE)
        why_not += [missing.strip() for v in unknown if (missing := _to_install(v))]
    _check_reference(bundle)
    reasons = "".join(f"; {problem}" for problem in dict.fromkeys(why_not))
    yield Choice(REFERENCE, f"the FP32 reference, which every CPU runs{reasons}")


def _by_provider(bundle: Bundle, wanted: str, provider: str) -> Choice:
    """The ONNX that a provider runs: what was asked for, or the reference, but nothing that was quantized for CPUs on a GPU."""
    check_provider(provider)
    if wanted == "auto":
        _check_reference(bundle)
    key = REFERENCE if wanted == "auto" else bundle.manifest.find_variant(wanted)
    variant = bundle.manifest.variants[key]
    if variant.backend != ONNX_RUNTIME:
        raise UsageError(
            f"variant '{key}' holds {variant.backend} engines, and provider '{provider}' is one of ONNX Runtime, which does not run them: "
            "leave out the provider or the variant"
        )
    if provider in ON_GPU and "int8" in variant.precision:
        raise UsageError(
            f"variant '{key}' was quantized for CPUs: provider '{provider}' would hand its operators back to the CPU one by one. "
            f"Take --provider {CPU}, or --variant {REFERENCE}"
        )
    why = "asked for" if wanted != "auto" else "the FP32 reference"
    return Choice(key, f"{why}, run by ONNX Runtime's provider '{provider}', and what that cannot run by the CPU's")


def _check_reference(bundle: Bundle) -> None:
    variants = bundle.manifest.variants
    if REFERENCE not in variants:
        raise BundleError(f"{bundle.path}: has no '{REFERENCE}' variant; it has {', '.join(variants)}")


def why_not_here(bundle: Bundle, key: str) -> str:
    """Why this machine need not be able to run a variant of `bundle`; "" where it must, so that failing to load it is a fault.

    A runner that does not say whether a variant fits is taken to run it.
    """
    variant = bundle.manifest.variants[key]
    if variant.backend == ONNX_RUNTIME:
        return ""
    if not bundle.trust.engines and is_native(variant):
        return "its engines are not trusted (--trust-engines)"
    runners = [_runner_of(variant, ending) for ending in _endings(variant)]
    if all(runner is not None and not runner.entry.fit for runner in runners):
        return ""
    return _fit(variant).problem


def is_native(variant: Variant) -> bool:
    """Whether loading a variant runs code that came with it, as the entries of the runners of its files' formats say.

    A format that no installed runner declares counts as native: what is not known to be data is not taken for it.
    """
    if variant.backend == ONNX_RUNTIME:
        return False
    endings = _endings(variant)
    if endings & _KNOWN_NATIVE:
        return True
    runners = [_runner_of(variant, ending) for ending in endings]
    return any(runner is None or runner.entry.native for runner in runners)


def load_runners(
    bundle: Bundle, key: str, contents: Mapping[str, bytes], threads: int, provider: str = CPU
) -> dict[str, Runner]:
    """A runner for every graph of a variant, or none.

    Args:
        bundle: that it is of.
        key: the variant's target key.
        contents: graph -> its file.
        threads: of each graph's session on the CPU.
        provider: of ONNX Runtime, for what it runs.

    Raises:
        BundleError: a graph cannot be loaded, or is not the manifest's.
        MissingDependencyError: nothing here runs such files, or the provider does not start.
    """
    runners: dict[str, Runner] = {}
    try:
        for graph, content in contents.items():
            runners[graph] = _runner(bundle, bundle.manifest.variants[key], graph, content, threads, provider)
            _check_tensors(bundle, key, graph, runners[graph])
    except BaseException:
        for runner in runners.values():
            runner.close()
        raise
    return runners


def _runner(bundle: Bundle, variant: Variant, graph: str, content: bytes, threads: int, provider: str) -> Runner:
    if variant.backend == ONNX_RUNTIME:
        limit_s = bundle.trust.max_run_s
        return OnnxRuntimeRunner(content, graph, threads=threads, provider=provider, max_run_s=limit_s)
    found = _runner_of(variant, _ending(variant.files[graph]))
    if found is None:
        raise MissingDependencyError(_nothing_runs(variant))
    factory = found.load(found.entry.factory)
    options = {"graph": graph, "variant": variant, "record": bundle.manifest.graphs[graph]}
    try:
        runner: Runner = factory(content, options)
    except MissingDependencyError as error:
        raise MissingDependencyError(f"{error}\n  or run the bundle on the CPU: --variant {REFERENCE}") from error
    return runner


def _fit(variant: Variant) -> RunnerFit:
    """Whether all runners of a variant's files could run it here; those that do not say so are used only for what is asked for by name."""
    from edgemm.host.interfaces import RunnerFit

    fits: list[RunnerFit] = []
    for ending in sorted(_endings(variant)):
        found = _runner_of(variant, ending)
        if found is None:
            return RunnerFit(problem=_nothing_runs(variant))
        if not found.entry.fit:
            return RunnerFit(
                problem=f"runner '{found.entry.name}' does not say whether {variant.backend} fits this machine"
            )
        try:
            fits.append(found.load(found.entry.fit)(variant))
        except EdgeMMError as error:
            return RunnerFit(problem=str(error).splitlines()[0])
    problem = next((fit.problem for fit in fits if fit.problem), "")
    return RunnerFit(problem, exact=all(fit.exact for fit in fits))


def _runner_of(variant: Variant, ending: str) -> _Found | None:
    """Who runs a variant's files of that ending: one answer for whether they need trust, whether they fit, and what loads them.

    The plugin that the variant names is asked alone; all of them where it names none, or that one is not what it was.
    """
    if variant.brought_by is not None:
        plugin = variant.brought_by
        with suppress(EdgeMMError):
            for entry in entries_of("runner", plugin, f"'.{ending}' files"):
                if ending in entry.formats:
                    return _Found(
                        entry, partial(resolve_entry, entry, plugin=plugin.plugin, distribution=plugin.distribution)
                    )
    from edgemm.host.entries import RunnerEntry
    from edgemm.host.plugin_host import default_host

    for registered in default_host().entries(RunnerEntry).values():
        if ending in registered.entry.formats:
            return _Found(registered.entry, partial(default_host().resolve, registered))
    return None


def _ending(path: str) -> str:
    return path.rpartition(".")[2]


def _endings(variant: Variant) -> set[str]:
    return {_ending(path) for path in variant.files.values()}


def _nothing_runs(variant: Variant) -> str:
    return (
        f"variant of {variant.device} holds {variant.backend} engines, and no installed plugin runs {_files(variant)}; "
        f"run the bundle on the CPU instead: --variant {REFERENCE}{_to_install(variant)}"
    )


def _to_install(variant: Variant) -> str:
    """What is missing to run a variant, where it names the plugin that does; "" where nothing is."""
    if variant.brought_by is not None:
        try:
            entries_of("runner", variant.brought_by, _files(variant))
        except EdgeMMError as error:
            return f"\n  {str(error).splitlines()[0]}"
    return ""


def _files(variant: Variant) -> str:
    return f"'.{', .'.join(sorted(_endings(variant)))}' files"


def _check_tensors(bundle: Bundle, key: str, graph: str, runner: Runner) -> None:
    """What was loaded is what the manifest says of it; of an output's size, as far as a quantized graph or an engine still knows it."""
    declared = bundle.manifest.graphs[graph]
    if tuple(runner.inputs) != declared.inputs:
        raise BundleError(
            f"{bundle.path}: graph '{graph}' of variant '{key}' takes {_listed(runner.inputs)}, the manifest says {_listed(declared.inputs)}"
        )
    if len(runner.outputs) != len(declared.outputs) or not all(map(_is_declared, runner.outputs, declared.outputs)):
        raise BundleError(
            f"{bundle.path}: graph '{graph}' of variant '{key}' gives {_listed(runner.outputs)}, the manifest says {_listed(declared.outputs)}"
        )


def _is_declared(found: TensorSpec, declared: TensorSpec) -> bool:
    return (found.name, found.dtype, len(found.shape)) == (declared.name, declared.dtype, len(declared.shape)) and all(
        size == expected for size, expected in zip(found.shape, declared.shape, strict=True) if isinstance(size, int)
    )


def _listed(specs: object) -> str:
    return "; ".join(f"{spec.name} {spec}" for spec in specs)  # type: ignore[attr-defined]
