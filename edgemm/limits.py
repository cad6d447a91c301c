"""What a bundle may ask of whoever opens it: one table, with the reasons. Numbers only.

What is larger is refused before it is read, unpacked or walked; the messages name the figure.
"""

from __future__ import annotations

MANIFEST_BYTES = 16 * 2**20  # one of 10,000 nodes has some 5 MiB
DIGEST_BYTES = 1024  # a hash and a name
SIGNATURES_BYTES = 4096  # some thirty
NUMBER_DIGITS = (
    20  # of a whole number in a manifest: every one of 64 bits; Python takes time that grows with their square
)
ZIP_DIRECTORY_BYTES = (
    4 * 2**20
)  # what lists the members: some 100 bytes each; the names of 200,000 take seconds and memory to read
ZIP_MEMBERS = 10_000  # a bundle has a few dozen
ZIP_RATIO = (
    200  # unpacked to packed, of one member: graphs have 1 to 3, manifests 20; DEFLATE makes up to 1000 of nothing
)
ZIP_RATIO_FROM_BYTES = 16 * 2**20  # below it a member takes a moment, whatever its ratio
ZIP_TOTAL_BYTES = 16 * 2**30  # of all members unpacked: more than the memory of the devices that bundles are for
GRAPH_FIELDS = (
    2_000_000  # of an ONNX file outside of its weights: a model of 10,000 nodes has some 300,000; a second of walking
)
TENSOR_BYTES = (
    2 * 2**30
)  # of one tensor at a graph's edge, for one row: what opening a stream allocates without having seen a value
VECTORS_BYTES = 2**30  # of all test vectors unpacked: a few rows of everything that a model computes
