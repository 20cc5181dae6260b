"""Measures, one file per kind: accuracies, fidelity, size, FLOPs, time, memory, energy."""
