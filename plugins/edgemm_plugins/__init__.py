"""First-party plugins; each folder registers itself through the `edgemm` entry-point group."""
