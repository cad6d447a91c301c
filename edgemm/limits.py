"""What a file may ask of whoever opens it: one table, with the reasons. Numbers only.

What is larger is refused before it is read, unpacked or walked; the messages name the figure.
"""

from __future__ import annotations

# ---- a bundle's own files
BUNDLE_BYTES = 16 * 2**30  # of all of them, unpacked: more than the memory of the devices that bundles are for
MANIFEST_BYTES = 16 * 2**20  # a model of 1,000 nodes has some 0.5 MiB; labels and reports take the rest
DIGEST_BYTES = 1024  # a hash and a name
SIGNATURES_BYTES = 4096  # some thirty
NUMBER_DIGITS = 20  # of a whole number: all of 64 bits; parsing takes time that grows with their square

# ---- TOML: a model.toml, in a checkpoint too, and a device profile
TOML_BYTES = 2**18  # a thousand labels have 20 KiB; 100,000 keys of one table take seconds
TOML_DOTS = 200  # of one key; Python's parser takes time that grows with their square

# ---- a bundle in a zip
ZIP_DIRECTORY_BYTES = 4 * 2**20  # some 100 bytes a member; 200,000 names take seconds and memory
ZIP_MEMBERS = 10_000  # a bundle has a few dozen
ZIP_RATIO = 200  # unpacked to packed, of one member: graphs have 1 to 3, manifests 20; DEFLATE makes 1000 of nothing
ZIP_RATIO_FROM_BYTES = 16 * 2**20  # below it a member takes a moment, whatever its ratio

# ---- declarations
LONGEST_MS = 10.0**12  # of any time: 31 years, which 64 bits hold in ns
MODEL_PARTS = 1000  # inputs, nodes, outputs: models have dozens; a start takes time that grows with their square
LARGEST_COUNT = 2**31 - 1  # of pixels in a row, samples, Hz: what libraries take for a size

# ---- checkpoints
SPARE_PARAMETERS = 2**24  # so many more than it holds are made, so that what does not fit is named

# ---- sound
# of a file: recorders have 4,000 to 768,000; a resampler's filter grows with the ratio, to gigabytes
LOWEST_HZ, HIGHEST_HZ = 100, 768_000

# ---- texts that become tokens
TEXT_CHARACTERS = 2**15  # some 10 pages; the slowest vocabularies take seconds for so many
TOKENIZED_BYTES = 2**22  # of a text after a tokenizer's steps: 1.5 GB and four seconds where each byte becomes a token
# what its steps may make of a byte: an upper bound, which is 2,200 for ALBERT's (so 1.9 kB of text), 132 for XLM-R's, 12 for Llama's
TOKENIZER_GROWTH = 10_000
TOKENIZER_STEPS = 100  # with each text: tokenizers have up to ten
TOKENIZER_REPEATS = 256  # characters of a string that is repeated for each token: `[UNK]`, `##`, `</w>`
TOKENIZER_WORD = 1000  # characters of a word that WordPiece looks up, in more time than their square; BERT's are 100

# ---- pictures
PICTURE_PIXELS = 64 * 2**20  # twice those of 8K; a decoder holds several, and resizing takes 12 bytes for each

# ---- graphs and arrays
RUN_S = 60.0  # of one run of a graph, for each row: a large model on a small CPU has some 10 s; `Trust(max_run_s=…)` allows more
MEMORY_SHARE = 0.5  # of the machine's memory, for what all graphs compute on its CPU: the rest is for their weights and everybody else
GRAPH_NODES = 100_000  # ONNX Runtime takes 4 s to load so many, and more than twice that for twice as many; language models have 30,000
GRAPH_FIELDS = 2_000_000  # of an ONNX file beside its weights, a second of walking; 10,000 nodes have some 300,000
TENSOR_BYTES = 2 * 2**30  # at a graph's edge, for one row: it is allocated before a value has been seen
VECTORS_BYTES = 2**30  # of all test vectors unpacked: a few rows of everything that a model computes
EMPTY_ROWS = 4096  # of an array whose rows have no bytes: saying so costs nothing, walking them does
CALIBRATION_BYTES = 4 * 2**30  # of a calibration file's arrays, held all at once: a thousand frames of 1280 x 1024
