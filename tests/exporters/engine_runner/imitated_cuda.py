"""An imitated GPU and its `cuda.bindings.runtime`, which break the test when they are used wrongly.

Device addresses are no memory of this process; what the host reads too early is 0xCD; work happens when somebody waits for it. Work of two streams
that touches the same memory must be ordered by an event or by the host, and memory must not be freed while pending work uses it.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
import weakref
from types import ModuleType, SimpleNamespace

import numpy as np

UNWRITTEN = 0xCD
DEVICE_BASE = 1 << 52  # not an address that a process can have: touching it ends the test run
STICKY = {700, 710, 716, 719}


class Handle:
    """A stream or an event: an object that `int()` takes."""

    def __init__(self, number):
        self.number = number

    def __int__(self):
        return self.number


class Code(int):
    """An error code, as the enums of cuda-bindings."""


class Gpu:
    """What is true of the imitated GPU, and what was done wrong with it."""

    def __init__(self):
        self.violations = []
        self.lock = threading.RLock()  # the driver may be called by several threads
        self.device = {}  # address -> bytes on the device
        self.pinned = {}  # address -> (ctypes memory, view)
        self.graveyard = []  # freed host memory is kept, so that a late read is wrong, and a late write seen, but neither crashes
        self.streams = {}  # number -> queue of work
        self.events = {}  # number -> (stream, how much of its work, what that work comes after)
        self.after = {}  # stream -> {stream: how much of its work comes before what is enqueued next}
        self.uses = {}  # address -> pending work that uses it: (stream, its place there, whether it writes)
        self.copied = {"up": 0, "down": 0}  # bytes between host and device
        self.done = {}  # stream -> how much of its work was executed
        self.numbers = itertools.count(1)
        self.addresses = itertools.count(DEVICE_BASE, 1 << 24)
        self.allocations = 0
        self.live = {"context": 0, "config": 0, "kernels": 0, "engine": 0, "runtime": 0}
        self.contexts = weakref.WeakSet()
        self.threads = {}  # thread -> its GPU
        self.dead = 0  # the sticky error that it had
        self.told = False  # whether anybody was told of it
        self.calls = []
        self.fail = {}  # function -> code or answer, once
        self.skip = {}  # function -> calls that succeed before
        self.until_failure = None  # calls of any function that succeed before one fails
        self.shape_calls = self.address_calls = 0
        self.capabilities = (75, 89)  # of this process's GPUs, as CUDA numbers them

    def wrong(self, what):
        self.violations.append(what)
        raise AssertionError(what)

    def injected(self, name):
        """What a call answers instead of doing its work; None when it works."""
        if self.until_failure is not None:
            self.until_failure -= 1
            if self.until_failure < 0:
                self.until_failure = None
                return 999 if name.startswith("cuda") else "a reason of its own"
        if name in self.fail:
            if self.skip.get(name, 0) > 0:
                self.skip[name] -= 1
                return None
            return self.fail.pop(name)
        return None

    def leaks(self):
        kept = {
            "device": len(self.device),
            "pinned": len(self.pinned),
            "streams": len(self.streams),
            "events": len(self.events),
        }
        return {name: count for name, count in {**kept, **self.live}.items() if count}

    def check_thread(self, what):
        if threading.get_ident() not in self.threads:
            self.wrong(f"{what} in a thread without cudaSetDevice")

    def block(self, address, size, what):
        """The device memory at an address."""
        if address not in self.device:
            self.wrong(f"{what}: {address:#x} is no device memory, or was freed")
        if address % 256:
            self.wrong(f"{what}: {address:#x} is not aligned")
        if size > len(self.device[address]):
            self.wrong(f"{what}: {size} bytes in {len(self.device[address])}")
        return self.device[address]

    def host_block(self, address, size, what):
        if address not in self.pinned:
            self.wrong(f"{what}: {address:#x} is no pinned memory, or was freed")
        if size > len(self.pinned[address][1]):
            self.wrong(f"{what}: {size} bytes in {len(self.pinned[address][1])}")
        return self.pinned[address][1]

    def enqueue(self, stream, work, reads=(), writes=()):
        """Put work into a stream; `reads` and `writes` are the addresses of the blocks that it uses."""
        stream = int(stream)
        if stream not in self.streams:
            self.wrong(f"stream {stream} does not exist")
        place = len(self.streams[stream])
        for address, writing in [*((a, False) for a in reads), *((a, True) for a in writes)]:
            pending = self.pending(address)
            for other, at, wrote in pending:
                if other != stream and (writing or wrote) and self.after[stream].get(other, 0) <= at:
                    self.wrong(f"a race for {address:#x}: two streams use it, and nothing orders them")
            self.uses[address] = [*pending, (stream, place, writing)]
        self.streams[stream].append(work)

    def pending(self, address):
        """The work that uses a block and may not be done."""
        uses = self.uses.get(address, ())
        return [use for use in uses if use[0] in self.streams and use[1] >= self.done[use[0]]]

    def wait_in(self, stream, event):
        """Let what is enqueued from now on come after what an event stands for."""
        if self.events[event] is None:
            return
        other, count, after = self.events[event]
        own = self.after[stream]
        for before, much in {**after, other: max(count, after.get(other, 0))}.items():
            own[before] = max(own.get(before, 0), much)
        self.enqueue(stream, lambda: self.execute(other, count) if other in self.streams else None)

    def execute(self, stream, count):
        """Do a stream's work up to a point."""
        queue = self.streams[stream]
        while self.done[stream] < count:
            queue[self.done[stream]]()
            queue[self.done[stream]] = None
            self.done[stream] += 1


class CudaRuntime(ModuleType):
    """`cuda.bindings.runtime`."""

    cudaHostAllocDefault, cudaStreamNonBlocking, cudaEventDisableTiming = 0, 1, 2
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaDeviceAttr = SimpleNamespace(cudaDevAttrComputeCapabilityMajor=75, cudaDevAttrComputeCapabilityMinor=76)
    without_context = ("cudaSetDevice", "cudaGetDeviceCount", "cudaDeviceGetAttribute")

    def __init__(self, gpu):
        super().__init__("cuda.bindings.runtime")
        self.gpu = gpu

    def _call(self, name, *arguments):
        with self.gpu.lock:
            return self._call_alone(name, *arguments)

    def _call_alone(self, name, *arguments):
        gpu = self.gpu
        gpu.calls.append(name)
        if gpu.dead and gpu.told:
            gpu.wrong(f"{name} after sticky error {gpu.dead}")
        code = gpu.dead or gpu.injected(name)
        if code:
            if code in STICKY:
                gpu.dead, gpu.told = code, True
            return (Code(code), None)
        if name not in self.without_context:
            gpu.check_thread(name)
        answer = getattr(self, f"_{name}")(*arguments)
        return (Code(0),) if answer is None else (Code(0), answer)

    def __getattr__(self, name):
        if name.startswith("cuda") and hasattr(type(self), f"_{name}"):
            return lambda *arguments: self._call(name, *arguments)
        raise AttributeError(name)

    def cudaGetErrorString(self, code):
        return (Code(0), b"error number %d" % int(code))

    def cudaMemGetInfo(self):
        return (Code(0), 3 << 20, 8 << 20)

    def _cudaGetDeviceCount(self):
        return len(self.gpu.capabilities)

    def _cudaDeviceGetAttribute(self, attribute, index):
        return divmod(self.gpu.capabilities[index], 10)[attribute - 75]

    def _cudaSetDevice(self, index):
        self.gpu.threads[threading.get_ident()] = index

    def _cudaMalloc(self, size):
        self.gpu.allocations += 1
        address = next(self.gpu.addresses)
        self.gpu.device[address] = np.full(size, UNWRITTEN, np.uint8)
        return address

    def _cudaHostAlloc(self, size, flags):
        self.gpu.allocations += 1
        memory = (ctypes.c_ubyte * (size + 256))()
        address = -(-ctypes.addressof(memory) // 256) * 256
        start = address - ctypes.addressof(memory)
        view = np.frombuffer(memory, np.uint8)[start : start + size]
        view.fill(UNWRITTEN)
        self.gpu.pinned[address] = (memory, view)
        return address

    def _cudaFree(self, address):
        if address == 0:
            return
        if self.gpu.pending(address):
            self.gpu.wrong("device memory freed while pending work uses it")
        if self.gpu.device.pop(address, None) is None:
            self.gpu.wrong(f"cudaFree of {address:#x}")

    def _cudaFreeHost(self, address):
        if address not in self.gpu.pinned:
            self.gpu.wrong(f"cudaFreeHost of {address:#x}")
        if self.gpu.pending(address):
            self.gpu.wrong("pinned memory freed while pending work uses it")
        memory, view = self.gpu.pinned.pop(address)
        view.fill(UNWRITTEN)
        self.gpu.graveyard.append((memory, view))

    def _cudaStreamCreateWithFlags(self, flags):
        if flags != self.cudaStreamNonBlocking:
            self.gpu.wrong("a stream that waits for the default stream")
        self.gpu.allocations += 1
        number = next(self.gpu.numbers)
        self.gpu.streams[number], self.gpu.done[number], self.gpu.after[number] = [], 0, {}
        return Handle(number)

    def _cudaStreamDestroy(self, stream):
        if any(int(stream) in context.streams for context in self.gpu.contexts):
            self.gpu.wrong("stream destroyed before the context that uses it")
        queue = self.gpu.streams.pop(int(stream))
        if self.gpu.done[int(stream)] < len(queue):
            self.gpu.wrong("stream destroyed with work in it")

    def _cudaStreamSynchronize(self, stream):
        self.gpu.execute(int(stream), len(self.gpu.streams[int(stream)]))

    def _cudaStreamWaitEvent(self, stream, event, flags):
        if flags != 0:
            self.gpu.wrong(f"cudaStreamWaitEvent with flags {flags}")
        self.gpu.wait_in(int(stream), int(event))

    def _cudaDeviceSynchronize(self):
        for stream, queue in self.gpu.streams.items():
            self.gpu.execute(stream, len(queue))

    def _cudaEventCreateWithFlags(self, flags):
        if flags != self.cudaEventDisableTiming:
            self.gpu.wrong("an event that takes the time")
        self.gpu.allocations += 1
        number = next(self.gpu.numbers)
        self.gpu.events[number] = None
        return Handle(number)

    def _cudaEventDestroy(self, event):
        del self.gpu.events[int(event)]

    def _cudaEventRecord(self, event, stream):
        number = int(stream)
        self.gpu.events[int(event)] = (number, len(self.gpu.streams[number]), dict(self.gpu.after[number]))

    def _cudaEventSynchronize(self, event):
        if self.gpu.events[int(event)] is not None:  # CUDA, too, returns at once from an event that was never recorded
            self.gpu.execute(*self.gpu.events[int(event)][:2])

    def _cudaMemsetAsync(self, target, value, size, stream):
        block = self.gpu.block(target, size, "memset")
        self.gpu.enqueue(stream, lambda: block[:size].fill(value), writes=[target])

    def _cudaMemcpyAsync(self, target, source, size, kind, stream):
        gpu = self.gpu
        if kind == 1:
            into, out = gpu.block(target, size, "upload"), gpu.host_block(source, size, "upload")
            meant = out[:size].copy()

            def work():
                if not np.array_equal(meant, out[:size]):
                    gpu.wrong("an input was overwritten before it was copied")
                into[:size] = out[:size]

            gpu.copied["up"] += size
        else:
            into, out = gpu.host_block(target, size, "download"), gpu.block(source, size, "download")
            into[:] = UNWRITTEN

            def work():
                into[:size] = out[:size]

            gpu.copied["down"] += size
        gpu.enqueue(stream, work, reads=[source], writes=[target])
