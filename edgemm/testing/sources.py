"""The contract of sources: packets in order of capture, an end when it is asked for, and values that inputs take."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from edgemm.errors import InputError
from edgemm.host.interfaces import Packet, Source
from edgemm.inputs.kind import InputKind
from edgemm.testing.contract import ContractError, expect


def check_source(
    source: Source, inputs: Mapping[str, InputKind] | None = None, *, count: int = 20, timeout_s: float = 30.0
) -> list[Packet]:
    """Read up to `count` packets, stop the source, close it twice, and check everything on the way.

    Args:
        source: fresh, not read yet; it is closed afterwards.
        inputs: what the model's inputs are; given, every value must be one that the input's feed takes.
        count: packets to read; a source may end earlier.
        timeout_s: limit for all of it.

    Returns:
        The packets, for tests of what is in them.

    Raises:
        ContractError: for the first thing that does not hold.
    """
    _check_attributes(source, inputs)
    packets: list[Packet] = []
    errors: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        try:
            for packet in source.packets(stop.is_set):
                if stop.is_set():
                    break
                packets.append(packet)
                if len(packets) >= count:
                    stop.set()
        except BaseException as error:
            errors.append(error)

    started_ns = time.monotonic_ns()
    reader = threading.Thread(target=read, name="check_source", daemon=True)
    reader.start()
    reader.join(timeout_s)
    stuck = reader.is_alive()
    stop.set()
    source.close()
    source.close()
    reader.join(timeout_s)
    expect(not reader.is_alive(), "close() does not unblock packets()")
    if errors:
        raise ContractError(f"packets() raised {type(errors[0]).__name__}: {errors[0]}") from errors[0]
    expect(not stuck or bool(packets), f"no packet came within {timeout_s:g} s")
    _check_packets(source, packets, started_ns)
    if inputs is not None:
        _check_values(packets, inputs)
    return packets


def _check_attributes(source: Source, inputs: Mapping[str, InputKind] | None) -> None:
    expect(isinstance(source, Source), f"{type(source).__name__} lacks part of edgemm.host.interfaces.Source")
    names = source.inputs
    named = isinstance(names, tuple) and bool(names) and all(isinstance(name, str) for name in names)
    expect(named, f"inputs: expected a tuple of names, got {names!r}")
    expect(isinstance(source.live, bool), f"live: expected a bool, got {source.live!r}")
    for name in names:
        expect(inputs is None or name in inputs, f"it delivers input '{name}', which was not asked for")


def _check_packets(source: Source, packets: list[Packet], started_ns: int) -> None:
    newest: dict[str, Packet] = {}
    order = -1
    for packet in packets:
        expect(isinstance(packet, Packet), f"packets() yielded {type(packet).__name__}, not an edgemm.Packet")
        expect(packet.input in source.inputs, f"a packet of '{packet.input}', which is not among {source.inputs}")
        expect(type(packet.captured_ns) is int and packet.captured_ns >= 0, f"captured_ns is {packet.captured_ns!r}")
        earlier = newest.get(packet.input)
        if earlier is not None:
            later = packet.captured_ns >= earlier.captured_ns and packet.sequence > earlier.sequence
            expect(later, f"'{packet.input}': {_stamp(packet)} comes after {_stamp(earlier)}")
        if not source.live:
            expect(
                packet.captured_ns >= order,
                f"{_stamp(packet)} of '{packet.input}' is earlier than the packet before it",
            )
            order = packet.captured_ns
        else:
            recent = started_ns - 60 * 10**9 <= packet.captured_ns <= time.monotonic_ns()
            expect(recent, f"a live source stamps with time.monotonic_ns(); it said {packet.captured_ns}")
        newest[packet.input] = packet


def _check_values(packets: list[Packet], inputs: Mapping[str, InputKind]) -> None:
    feeds = {name: kind.open_feed() for name, kind in inputs.items()}
    for packet in packets:
        specs = inputs[packet.input].tensors
        try:
            for tensors, _ in feeds[packet.input].push(packet.value, packet.captured_ns):
                for spec, tensor in zip(specs, tensors, strict=True):
                    spec.check(tensor)
        except InputError as error:
            raise ContractError(f"packet {packet.sequence}: {error}") from error


def _stamp(packet: Packet) -> str:
    return f"packet {packet.sequence} at {packet.captured_ns / 1e9:.6f} s"
