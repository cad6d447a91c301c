"""The torch side of fitting and judging a model; modeling makes one."""
