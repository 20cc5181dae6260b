"""The plots of a report's folder, drawn again only where something has changed: drawing takes most of a report's time.

``plots.json`` beside them says of what they were drawn: the cases, their records, the code, and matplotlib; and has the
digests of the files, so that one that is missing or was altered is drawn anew. Needs no matplotlib where nothing changed.
"""

import hashlib
import json
from importlib import metadata
from pathlib import Path

from bench.kit.files import seal, unseal, write_text
from bench.kit.paths import ROOT
from bench.report import plots, themes
from bench.report.content import Report

FORMAT = 1
PLOTS = {
    "accuracy": plots.accuracy_against_size,
    "gains": plots.gains,
    "costs": plots.costs,
    "curves": plots.learning_curves,
    "in-batch": plots.in_batch,
}
LIST = "plots.json"
CODE = tuple(sorted(file for folder in (".", "kit", "report") for file in (ROOT / "bench" / folder).glob("*.py")))


def draw_all(report: Report, folder: Path) -> dict[str, list[str]]:
    """The files of each plot in ``folder``, one for each theme; none of a plot that has nothing to show."""
    source, path = _source(report), folder / LIST
    try:
        before = unseal(path.read_text(encoding="utf-8"), FORMAT)
        if before["source"] == source and before["digests"] == _digests(folder, before["files"]):
            return before["files"]
    except (OSError, ValueError, KeyError):  # none, or of another version: it is written below
        pass
    files = {
        name: [file for theme in themes.THEMES if draw(report, folder / (file := plots.file_name(name, theme)), theme)]
        for name, draw in PLOTS.items()
    }
    write_text(path, seal({"format": FORMAT, "source": source, "files": files, "digests": _digests(folder, files)}))
    return files


def _source(report: Report) -> str:
    """A digest of all that decides what the plots look like."""
    shown = [[repr(case), record and record.model_dump_json(warnings=False)] for case, record in report.cases]
    code = [hashlib.sha256(file.read_bytes()).hexdigest() for file in CODE]
    return hashlib.sha256(json.dumps([list(PLOTS), shown, code, metadata.version("matplotlib")]).encode()).hexdigest()


def _digests(folder: Path, files: dict[str, list[str]]) -> dict[str, str]:
    """The digest of each file. Raises ``OSError`` where one is missing."""
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for several in files.values() for name in several
    }
