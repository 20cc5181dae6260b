"""A report copied to where it is committed: the new one takes the place of the older one as a whole."""

import shutil
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.kit.errors import UserError
from bench.kit.files import WriteError, unwritten
from bench.results import record

MARKDOWN, FORMS = "report.md", ("report.html", "report.csv", "report.tex")


def require_apart(folder: Path, target: Path) -> None:
    """Raise :class:`UserError` where a report in ``folder`` cannot be published as ``target``, which it would replace."""
    if target.name in ("runs", "baselines"):
        raise UserError(f"a report cannot be published as {target.name}: that folder has another use")
    source, place = folder.resolve(), target.resolve()
    if source.is_relative_to(place) or place.is_relative_to(source):
        raise UserError(
            f"the report in {folder} cannot be published as {target}, which is replaced as a whole: one is the other or "
            "lies in it; choose another folder with --results"
        )


def publish(folder: Path, target: Path, ids: Collection[str]) -> list[Path]:
    """Copy a report from ``folder`` to ``target``, of which nothing older is left; returns what was written.

    That is each form there is of it, its plots and pictures, and in one file the records of the cases called ``ids``. Raises
    :class:`UserError` where one folder lies in the other or no case has a record, ``FileNotFoundError`` where there is no
    report, and :class:`~bench.kit.files.WriteError` where it cannot be written: then ``target`` is as it was.
    """
    require_apart(folder, target)
    report = folder / MARKDOWN
    if not report.exists():
        raise FileNotFoundError(f"{report} does not exist; write it with: python -m bench report")
    text = report.read_text(encoding="utf-8")
    records = [entry for name, entry in record.read_all(folder)[0].items() if name in ids]
    if not records:
        raise UserError(
            f"nothing to publish: none of the chosen cases has a record in {folder}; choose those that ran, with the same "
            "--profile, --seeds and --controls"
        )
    drawn = [path for path in (folder / "explain").glob("*.png") if f"(explain/{path.name})" in text]
    forms = [folder / name for name in (MARKDOWN, *FORMS) if (folder / name).exists()]
    names = sorted(path.relative_to(folder) for path in (*forms, *folder.glob("*.svg"), *drawn))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as beside:
            new = Path(beside) / target.name
            for name in names:
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, new / name)
            record.publish(records, new)
            place = target.resolve()  # a link stays one
            shutil.rmtree(place, ignore_errors=True)
            new.rename(place)
    except OSError as error:
        raise WriteError(unwritten(target, error)) from error
    return [target / name for name in (*names, record.PUBLISHED)]
