"""Runs TensorRT engines on an NVIDIA GPU: one code path for `tensorrt` 10.3 to 11.x and `tensorrt_rtx`.

opening.py       what this machine needs for an engine, checked before a byte of it is deserialised
runner.py        buffers, stream and lock: the Runner that a model calls
engine.py        the TensorRT side: runtime, engine, one execution context
device.py        the CUDA side: memory, stream, event, and whether the device is lost
kernel_cache.py  kernels that TensorRT-RTX compiled, kept for the next start
failures.py      what TensorRT and CUDA report, in words a user can act on
"""
