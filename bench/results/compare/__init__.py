"""Records against a baseline: per metric a direction and a tolerance, per case a verdict. It decides the exit code.

pytest bench --profile ci --save-baseline FILE
pytest bench --profile ci --baseline FILE
python -m bench compare A B               the same between any two results folders or baselines

A gate must not pass because it compared nothing, or because a case vanished, failed or changed its meaning; each
of these is a failure with a message of its own. New cases and improvements are listed, not failed.
"""

from bench.results.compare.baseline import Baseline, BaselineError, read, save
from bench.results.compare.hold import against, against_file
from bench.results.compare.paths import compare_paths
from bench.results.compare.shown import append_to_step_summary, markdown, text
from bench.results.compare.verdict import Finding, Verdict

__all__ = [
    "Baseline",
    "BaselineError",
    "Finding",
    "Verdict",
    "against",
    "against_file",
    "append_to_step_summary",
    "compare_paths",
    "markdown",
    "read",
    "save",
    "text",
]
