"""The last section of a report: how its figures were measured."""

import dataclasses

from bench.plan import matrix
from bench.report.protocol import section
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket")[:2]


def test_times_that_another_machine_measured_are_named():
    here = made(CASES[0])
    told = here.environment["hardware"]
    own = f"cpu ({told['processor']}, 2 threads)"
    here.set_time("teacher_pass_seconds", 3.0, own)
    assert "not shown" not in section([(CASES[0], here)])
    other = made(CASES[1])
    other.set_time("teacher_pass_seconds", 3.0, "NVIDIA X")
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


def _read_from(case, place):
    return case, made(case, protocol={"features": place} if place else {})


def test_where_features_lay_is_told_and_which_cases_differ():
    by_id = {case.id: case for case in matrix.cases(matrix.load(), "pocket")}
    beit, dino, clip = (
        by_id[f"{pair}-5ep"] for pair in ("shapes-beit-attention", "shapes-dino-cbam", "scenes-clip-cbam")
    )
    longer, on, streamed = by_id["shapes-beit-attention-10ep"], "on the device", "streamed from disk"
    same = section([_read_from(case, on) for case in (beit, dino, clip)])
    assert "\n* What a training step reads was on the device in all 3 cases. On a CPU" in same
    chosen = [(beit, streamed), (longer, streamed), (dino, on), (by_id["shapes-dino-cbam-10ep"], on), (clip, on)]
    several = section([_read_from(*one) for one in [*chosen, (by_id["scenes-clip-cbam-10ep"], None)]])
    assert (
        "was on the device in 3 of 6 cases and streamed from disk in 2 (beit on shapes: attention), not recorded in 1."
    ) in several
    most = section([_read_from(beit, streamed), _read_from(dino, streamed), _read_from(clip, on)])
    assert "was streamed from disk in 2 of 3 cases and on the device in 1 (clip on scenes: cbam)." in most
    assert "training step reads" not in section([_read_from(beit, None)])
