"""What of a profile does not fit together: losses and students, teachers and datasets, controls and weights."""

from bench import registry
from bench.controls import CONTROLS
from bench.plan.case import Case


def unfit(loss: str, student: str, kind: str) -> str | None:
    """Why a loss cannot train a student on data of this kind; None where it can."""
    needs = registry.constant("loss", loss, "NEEDS")
    if needs in ("classification", "captions") and kind != needs:
        what = "captions" if needs == "captions" else "labels"
        return f"loss '{loss}' needs {what}, expected a loss for {kind}"
    if needs == "map" and student not in (having := _stating("MAP")):
        return f"loss '{loss}' needs a student with a map of its own, which '{student}' does not have; expected {' or '.join(having)}"
    if needs in ("images", "map") and kind == "captions":
        return f"loss '{loss}' is of images alone, expected a loss for captions"
    if needs == "attention" and student not in _stating("ATTENTION"):
        return f"loss '{loss}' needs a student with an attention map, which '{student}' does not have"
    return None


def _stating(variable: str) -> list[str]:
    """The students whose files say that they have something."""
    return [name for name in registry.names("student") if registry.constant("student", name, variable, False)]


def unfit_to_mix(case: Case) -> str | None:
    """Why a case cannot train on mixed images; None where it can, or mixes none."""
    if case.mixup is None:
        return None
    if case.views != "live":
        return f"mixup mixes what the teacher is asked of, and stored views are not mixed: expected views: live, not {case.views}"
    if case.kind == "captions":
        return "mixup mixes images, and not their captions: leave it out"
    if registry.constant("loss", case.loss, "ONE_CLASS", False):
        return f"loss '{case.loss}' needs one class an image, and mixup gives two: leave one of them out"
    return None


def unfit_for_several(teachers: list[str], students: tuple[str, ...]) -> str | None:
    """Why not all of these students can have several teachers; None where they can, or there is one teacher."""
    own = [name for name in students if name in registry.names("student")]
    readers = [name for name in own if registry.constant("student", name, "READS") == "tokens"]
    if len(teachers) == 1 or not readers:
        return None
    return f"student '{readers[0]}' reads patches, whose grids differ between teachers: leave it out, or give it one teacher"


def unfit_controls(weights: str, controls: tuple[str, ...]) -> str | None:
    """Why these controls make no sense for teachers with these weights; None where they do."""
    random = [name for name in controls if CONTROLS[name].random_teacher]
    if weights == "random" and random:
        return f"the teachers are random already: leave out the control '{random[0]}'"
    return None


def lacks_pocket_weights(dataset: str, teacher: str) -> str | None:
    """Why a teacher cannot be a pocket one for a dataset; None where it can."""
    own = next(
        (name for kind, name in (("dataset", dataset), ("teacher", teacher)) if name not in registry.names(kind)), None
    )
    if own:
        return f"pocket weights are for what ships with the suite, and '{own}' does not: expected weights: pretrained, or random"
    if not registry.has_pocket_weights(teacher, dataset):
        others = ", ".join(registry.teachers_for(dataset, "pocket")) or "none"
        return (
            f"teacher '{teacher}' has no pocket weights for '{dataset}': expected one that has ({others}), or another profile's "
            "weights: pretrained, or random"
        )
    return None
