"""Measures, one file per kind: accuracy, size, flops, timing."""
