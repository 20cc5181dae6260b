"""A report copied to where it is committed: the new one stands beside the old one before it takes its place."""

import shutil
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.kit.errors import UserError
from bench.kit.files import WriteError, unwritten

MARKDOWN, FORMS = "report.md", ("report.html", "report.csv", "report.tex")


def require_apart(folder: Path, target: Path) -> None:
    """Raise :class:`UserError` where a report in ``folder`` cannot be published as ``target``, which it would replace."""
    if target.name in ("runs", "baselines"):
        raise UserError(f"a report cannot be published as {target.name}: that folder has another use")
    if _lies_in(folder, target) or _lies_in(target, folder):
        raise UserError(
            f"the report in {folder} cannot be published as {target}, which is replaced as a whole: one is the other or "
            "lies in it; choose another folder with --results"
        )


def _lies_in(inner: Path, outer: Path) -> bool:
    """Whether a folder is another one or lies below it, however they are spelt."""
    place = inner.resolve()
    if place.is_relative_to(outer.resolve()):  # also where neither is there yet
        return True
    return outer.exists() and any(one.exists() and one.samefile(outer) for one in (place, *place.parents))


def publish(folder: Path, target: Path, ids: Collection[str]) -> list[Path]:
    """Copy a report from ``folder`` to ``target``, of which nothing older is left; returns what was written.

    That is each form there is of it, its plots and pictures, and the records of the cases called ``ids``. Raises
    :class:`UserError` where one folder lies in the other or no case has a record, ``FileNotFoundError`` where there is no
    report, and :class:`~bench.kit.files.WriteError` where it cannot be written: then ``target`` is as it was. A process that is
    killed between the two renames at the end leaves no ``target``: the older report is then in ``.PROFILE.*/old`` beside it.
    """
    require_apart(folder, target)
    report = folder / MARKDOWN
    if not report.exists():
        raise FileNotFoundError(f"{report} does not exist; write it with: python -m bench report")
    text = report.read_text(encoding="utf-8")
    drawn = [path for path in (folder / "explain").glob("*.png") if f"(explain/{path.name})" in text]
    forms = [folder / name for name in (MARKDOWN, *FORMS) if (folder / name).exists()]
    records = [path for path in (folder / "records").glob("*.json") if path.stem in ids]
    if not records:
        raise UserError(
            f"nothing to publish: none of the chosen cases has a record in {folder}; choose those that ran, with the same "
            "--profile, --seeds and --controls"
        )
    sources = sorted([*forms, *folder.glob("*.svg"), *drawn, *records])
    names = [source.relative_to(folder) for source in sources]
    place = target.resolve()  # a link stays one
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent, ignore_cleanup_errors=True) as beside:
            new = Path(beside) / "new"
            for name in names:
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, new / name)
            _swap(new, place, Path(beside) / "old")
    except OSError as error:
        raise WriteError(unwritten(target, error)) from error
    return [target / name for name in names]


def _swap(new: Path, place: Path, old: Path) -> None:
    """Put ``new`` in its place; what was there becomes ``old``, or stays where that fails."""
    try:
        if place.exists():
            place.rename(old)
        new.rename(place)
    finally:
        if old.exists() and not place.exists():
            old.rename(place)
