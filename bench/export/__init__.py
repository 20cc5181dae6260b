"""A trained student taken out of the suite: ``python -m bench export`` writes it, ``from bench.export import load`` loads it."""

from bench.export.loaded import Exported, load
from bench.export.written import export, named

__all__ = ["Exported", "export", "load", "named"]
