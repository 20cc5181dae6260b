"""Folders of classes: ``DIR/cat/1.jpg``, the label is the name of the folder at the top, as torchvision's ImageFolder has it."""

from collections.abc import Collection

from bench.kit.errors import UserError

ROOTS = 3  # files that an error names


def of_folders(names: Collection[str], where: str, labels: str | None) -> dict[str, str] | None:
    """The class of each image by its path below ``where``; None where the images have no labels.

    ``labels`` is what the matrix says of them: "folders", "none" or nothing. Raises :class:`UserError` where that leaves
    open what the folders mean.
    """
    loose = sorted(name for name in names if "/" not in name)
    tops = {name.partition("/")[0] for name in names if "/" in name}
    if labels == "none" or (labels is None and len(tops) < 2 and (loose or not tops)):
        return None
    if labels == "folders":
        if len(tops) < 2:
            raise UserError(
                f"{where}: 'labels: folders' needs the images of each class in a folder of their own, and there are "
                f"{len(tops)} folders with images"
            )
        return {name: name.partition("/")[0] for name in names if "/" in name}
    if len(tops) == 1:
        return None
    says = "say which with 'labels: folders' (their names are the classes) or 'labels: none' in the dataset's entry"
    if loose:
        shown = ", ".join(loose[:ROOTS]) + (", ..." if len(loose) > ROOTS else "")
        raise UserError(
            f"{where} has {len(loose)} images beside folders ({shown}) and images in {len(tops)} folders, which may be "
            f"classes or not: {says}"
        )
    # Each class may keep its images in one folder more, as Tiny ImageNet does.
    if all(name.count("/") > 1 for name in names) and any(_branches(top, names) for top in tops):
        raise UserError(
            f"{where} has images only in folders of its {len(tops)} folders, which may be classes or not: {says}"
        )
    return {name: name.partition("/")[0] for name in names}


def _branches(top: str, names: Collection[str]) -> bool:
    """Whether the images of a top folder lie in several folders of it."""
    return len({name.rpartition("/")[0] for name in names if name.startswith(f"{top}/")}) > 1
