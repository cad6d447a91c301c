"""The command line: one small file per command, each a thin face on a Python function of the same name."""
