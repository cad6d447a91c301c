"""Runs TensorRT engines on an NVIDIA GPU: one code path for `tensorrt` 10.3 to 11.x and `tensorrt_rtx`.

opening.py       what this machine needs for an engine, checked before a byte of it is deserialised
runner.py        the Runner that a model calls: checked inputs, results of the caller's own, and bindings
binding.py       an engine bound to what a stream's node reads, run again and again
values.py        its outputs, which stay on the GPU until somebody looks
session.py       one loaded engine: its stream, all its memory, whose turn it is, and what is given back when
engine.py        the TensorRT side: runtime, engine, one execution context
device.py        the CUDA side: memory, streams, events, and whether the device is lost
kernel_cache.py  kernels that TensorRT-RTX compiled, kept for the next start
failures.py      what TensorRT and CUDA report, in words a user can act on
"""
