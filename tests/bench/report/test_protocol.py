"""The last section of a report: how its figures were measured."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from bench.kit.environment import machine
from bench.plan import matrix
from bench.report import chosen_by, protocol
from bench.report.content import Report
from tests.bench.made import made

BY_ID = {case.id: case for case in matrix.cases(matrix.load(), "pocket")}
CASES = [*BY_ID.values()][:2]


def section(cases):
    return protocol.section(Report("pocket", cases)).removesuffix("\n\n</details>")


def test_times_that_another_machine_measured_are_named():
    records = [made(case) for case in CASES]
    records[0].set_time("teacher_pass_seconds", 3.0, machine(records[0].environment["hardware"]))
    assert "not shown" not in section([(CASES[0], records[0])])
    records[1].set_time("teacher_pass_seconds", 3.0, "NVIDIA X")
    assert section(list(zip(CASES, records, strict=True))).endswith(
        " In 1 of 2 cases teacher_pass_seconds was measured on NVIDIA X before another machine continued the work; it is not shown."
    )


def test_what_teachers_see_of_a_picture_is_named_and_whose_choice_it_was():
    dino, beit = (next(case for case in BY_ID.values() if case.teacher == name) for name in ("dino", "beit"))
    squashed = replace(beit, geometry="squash")
    whole, cut = ({"size": 224, "short_side": side, "interpolation": "bicubic"} for side in (None, 248))
    seen = [(dino, cut), (squashed, whole)]
    text = section([(case, made(case, protocol={"preprocessing": one})) for case, one in seen])
    assert (
        "* Of a picture teachers see: beit on shapes all of it, squashed to 224 px, bicubic (squash); dino on shapes the short "
        "side resized to 248 px and the middle 224 px cut out, bicubic (published). *published* is"
    ) in text
    assert "* beit's patch tokens have no final norm" in text
    assert "norm" not in section([(dino, made(dino))])


def test_every_report_with_blip_says_that_its_figures_are_without_the_matching_head():
    blip, clip = (next(case for case in BY_ID.values() if case.teacher == name) for name in ("blip", "clip"))
    texts = [section([(case, made(case))]) for case in (blip, clip)]
    assert [
        "contrastive embeddings (ITC) alone, without the re-ranking by its matching head (ITM)" in text
        for text in texts
    ] == [True, False]


def test_each_datasets_reduction_is_named():
    """Two sets of captions for one teacher, of whose features a PCA kept different shares."""
    scenes = next(case for case in BY_ID.values() if case.teacher == "blip")
    cases = [
        (
            replace(scenes, dataset=name),
            made(scenes, metrics={f"explained_variance_{side}": share for side, share in kept}),
        )
        for name, kept in (("scenes", (("image", 0.5), ("text", 0.25))), ("coco", (("image", 0.75), ("text", 0.875))))
    ]
    text = section(cases)
    for name, image, caption in (("scenes", "50.0", "25.0"), ("coco", "75.0", "87.5")):
        kept = f"keeps {image} % of the image and {caption} % of the text"
        assert f"* blip's features on {name} were reduced by a PCA that {kept}" in text


@pytest.mark.parametrize(
    ("precisions", "expected"),
    [
        ([("bf16", "tf32"), ("bf16", "tf32")], "students trained in tf32.\n"),
        (
            [("bf16", "tf32"), ("fp32", "fp32")],
            "students trained in fp32 and tf32. **These results mix precisions** (teacher in bf16 and training in tf32: 1 of 2 "
            "cases; teacher in fp32 and training in fp32: 1 of 2 cases): a mean over seeds, or a gain over a control, may be "
            "of records that ran in different ones.\n",
        ),
        ([("bf16", "bf16"), ("fp32", "bf16")], "students trained in bf16. **These results mix precisions** ("),
        ([("fp32", "fp32"), None], "students trained in fp32.\n"),  # only finished records count
    ],
)
def test_a_mixture_of_precisions_is_named(precisions, expected):
    cases = [(case, made(case)) for case in CASES]
    for (_, record), precision in zip(cases, precisions, strict=True):
        record.status = "done" if precision else "failed"
        teacher, training = precision or ("bf16", "bf16")
        record.environment["hardware"]["precision"] = {"teacher": teacher, "training": training}
    assert expected in section(cases)


ON, STREAMED = "on the device", "streamed from disk"
BEIT, DINO, CLIP = "shapes-beit-attention", "shapes-dino-cbam", "scenes-clip-cbam"


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (
            {f"{BEIT}-5ep": ON, f"{DINO}-5ep": ON, f"{CLIP}-5ep": ON},
            "\n* What a training step reads was on the device in all 3 cases. On a CPU",
        ),
        (
            {f"{BEIT}-5ep": STREAMED, f"{BEIT}-10ep": STREAMED, f"{DINO}-5ep": ON, f"{DINO}-10ep": ON, f"{CLIP}-5ep": ON},
            "was on the device in 3 of 5 cases and streamed from disk in 2 (beit on shapes: attention).",
        ),
        (
            {f"{BEIT}-5ep": STREAMED, f"{DINO}-5ep": STREAMED, f"{CLIP}-5ep": ON},
            "was streamed from disk in 2 of 3 cases and on the device in 1 (clip on scenes: cbam).",
        ),
    ],
)  # fmt: skip
def test_where_features_lay_is_named_and_which_cases_differ(places, expected):
    cases = [(BY_ID[name], made(BY_ID[name], protocol={"features": place})) for name, place in places.items()]
    assert expected in section(cases)


def test_what_no_record_says_has_no_sentence():
    text = section([(CASES[0], None)])
    assert all(words not in text for words in ("training step reads", "converged", "Of a picture"))
    assert "through the text tower.\n" in text and "through the text tower.\n" in section([(CASES[0], made(CASES[0]))])


def test_chance_of_zero_shot_follows_from_the_number_of_concepts():
    case = replace(BY_ID[f"{CLIP}-5ep"], dataset="coco")
    facts = {"zero_shot_images": 612, "zero_shot_classes": 80}
    expected = "coco: 612 evaluation images, 80 concepts (top-1 chance 1.25 %)."
    assert expected in section([(case, made(case, protocol=facts))])


@pytest.mark.parametrize(("words", "precision", "command"), [
    ({}, "auto", "--profile pocket`."),
    ({"seeds": "0,1,2", "controls": "all"}, "auto", "--profile pocket --seeds 0,1,2 --controls all`."),
    ({"seeds": "0,1"}, "bf16", "--profile pocket --seeds 0,1 --precision bf16`."),
])  # fmt: skip
def test_the_command_that_made_it_is_named(words, precision, command):
    option = Namespace(**{"matrix": matrix.DEFAULT, "seeds": None, "controls": None} | words)
    case = replace(CASES[0], precision=precision)
    options = chosen_by(option)
    text = protocol.section(Report("pocket", [(case, made(case))], options=options))
    assert f" s of work in all. Made by `uv run pytest bench {command}" in text
    option.matrix = Path("mine.yaml")
    assert chosen_by(option) is None and "Made by" not in section([(case, made(case))])
