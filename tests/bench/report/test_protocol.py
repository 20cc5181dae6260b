"""The last section of a report: how its figures were measured."""

import dataclasses

from bench import matrix
from bench.report.protocol import section
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket")[:2]


def test_times_that_another_machine_measured_are_named():
    here = made(CASES[0])
    told = here.environment["hardware"]
    own = f"cpu ({told['processor']}, 2 threads)"
    here.protocol["timed_on"] = {"epoch_seconds": own, "teacher_pass_seconds": own}
    assert "not shown" not in section([(CASES[0], here)])
    other = dataclasses.replace(here, protocol={"timed_on": {"epoch_seconds": own, "teacher_pass_seconds": "NVIDIA X"}})
    text = section([(CASES[0], here), (CASES[1], other)])
    assert text.endswith(
        " In 1 of 2 cases teacher_pass_seconds was measured on NVIDIA X before another machine continued the work; it is not shown."
    )


def test_each_datasets_reduction_is_told():
    """Two sets of captions for one teacher, of whose features a PCA kept different shares."""
    scenes = next(case for case in matrix.cases(matrix.load(), "pocket") if case.teacher == "blip")
    kept = {"scenes": (0.5, 0.25), "coco": (0.75, 0.875)}
    chosen = [
        (
            dataclasses.replace(scenes, dataset=dataset),
            made(scenes, metrics={"explained_variance_image": image, "explained_variance_text": text}),
        )
        for dataset, (image, text) in kept.items()
    ]
    told = section(chosen)
    assert (
        "* blip's features on scenes were reduced by a PCA that keeps 50.0 % of the image and 25.0 % of the text"
        in told
    )
    assert (
        "* blip's features on coco were reduced by a PCA that keeps 75.0 % of the image and 87.5 % of the text" in told
    )


def _run_in(case, teacher, training):
    found = made(case)
    found.environment["hardware"]["precision"] = {"teacher": teacher, "training": training}
    return case, found


def test_results_of_several_precisions_are_told():
    one, other = CASES
    same = section([_run_in(one, "bf16", "tf32"), _run_in(other, "bf16", "tf32")])
    assert "students trained in tf32.\n" in same and "mix precisions" not in same
    mixed = section([_run_in(one, "bf16", "tf32"), _run_in(other, "fp32", "fp32")])
    assert (
        "students trained in fp32 and tf32. **These results mix precisions** (teacher in bf16 and training in tf32: 1 of 2 "
        "cases; teacher in fp32 and training in fp32: 1 of 2 cases): a mean over seeds, or a gain over a control, may be of "
        "records that ran in different ones.\n"
    ) in mixed
    assert "mix precisions" in section([_run_in(one, "bf16", "bf16"), _run_in(other, "fp32", "bf16")])


def test_only_finished_records_count_as_a_mixture_of_precisions():
    chosen = [_run_in(CASES[0], "fp32", "fp32"), _run_in(CASES[1], "bf16", "bf16")]
    chosen[1][1].status = "failed"
    assert "students trained in fp32.\n" in section(chosen)
