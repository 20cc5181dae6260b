"""Several teachers of one student: planned, run to a record, and made of the stores that each teacher has alone."""

from dataclasses import replace

import pytest
import torch

import teachers
from bench import data
from bench.export import export, graph
from bench.export import load as load_exported
from bench.features.device import Device
from bench.kit import paths
from bench.kit.errors import LocatedError, UserError
from bench.kit.progress import Progress
from bench.measure.classification import knn
from bench.measure.cost import teacher_cost
from bench.report import pages
from bench.report.content import Report
from bench.results.contributed import line_of
from bench.run.case import needs_of, on_data, splits_of
from bench.run.estimate import trials
from tests.bench.plan.matrices import load, planned
from tests.bench.run.test_kinds import run
from tests.forking import LITTLE

BOTH = "dino+beit"
LIST = "pairs: {shapes: [dino], scenes: [blip]}"


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    """Cases and records: a head of one teacher, and of two with each control."""
    folder, before = tmp_path_factory.mktemp("several"), paths.data_folder()
    paths.use(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in LITTLE:
            patch.setattr(f"{module}.{name}", value)
        one = run(folder, {"shapes": ["dino"]}, profile={"controls": ["teacher"]})
        yield one | run(folder, {"shapes": [["dino", "beit"]]})
    paths.use(before)


@pytest.fixture(scope="module")
def by_id(entries):
    return {case.id: entry for case, entry in entries.items()}


def test_ids_name_all_teachers_and_controls_are_trained_as_of_one(by_id):
    controls = (f"shapes-{BOTH}-projection-1ep{control}" for control in ("", "-no-distillation", "-random-teacher"))
    assert set(by_id) == {"shapes-dino-projection-1ep", *controls}
    assert all(entry.status == "done" for entry in by_id.values())
    own, random = (by_id[f"shapes-{BOTH}-projection-1ep{control}"] for control in ("", "-random-teacher"))
    assert own.controls.keys() == {"untrained", "raw-pixels", "shuffled"}
    assert own.teacher["knn_top1"] > random.teacher["knn_top1"]
    assert "random" in random.protocol["teacher"]["source"]


def test_each_teacher_is_asked_once_whether_alone_or_beside_another(by_id):
    stores = [path.parent.name.rpartition("-")[0] for path in paths.data_folder().glob("features/*/complete")]
    assert sorted(stores) == ["shapes-beit", "shapes-beit", "shapes-dino", "shapes-dino"]  # with the random ones
    alone, both = (by_id[f"shapes-{name}-projection-1ep"] for name in ("dino", BOTH))
    assert both.protocol["feature_store"].split("+")[0] == alone.protocol["feature_store"]
    assert both.metrics["teacher_pass_seconds"] > alone.metrics["teacher_pass_seconds"]


def test_a_head_needs_all_its_teachers_to_run(by_id):
    one, both = (by_id[f"shapes-{name}-projection-1ep"] for name in ("dino", BOTH))
    assert both.metrics["deployed_mb"] == pytest.approx(2 * one.metrics["deployed_mb"], rel=0.05)
    assert both.metrics["deployed_macs"] > both.teacher["macs"] > 2 * one.teacher["macs"]


def test_the_report_says_what_they_are_and_what_they_were_shown(entries):
    text = pages.page(Report("p", list(entries.items())))
    assert (
        "dino+beit: features of several teachers side by side" in text
        and "beit on shapes the short side resized to 32 px" in text
    )


def test_a_student_that_reads_pixels_is_exported_and_its_card_names_all_its_teachers(tmp_path, monkeypatch):
    """As it is loaded it has the accuracy of the record."""
    for module, name, value in LITTLE:
        monkeypatch.setattr(f"{module}.{name}", value)
    [(case, entry)] = run(
        tmp_path, {"shapes": [["dino", "beit"]]}, profile={"students": ["resnet"], "controls": []}
    ).items()
    monkeypatch.setattr(graph, "NEEDED", ("no_such_package",))  # a graph has tests of its own
    export(case, tmp_path, tmp_path / "student")
    model = load_exported(tmp_path / "student")
    assert model.config.teacher.name == BOTH and model.config.dims.features == 192
    assert model.config.teacher.sha256 == entry.protocol["teacher_weights_sha256"]
    assert f"distilled from the teacher *{BOTH}*" in (tmp_path / "student" / "README.md").read_text()
    train, test = splits_of(case)
    classified = knn(model.image(train.pixels), train.labels, model.image(test.pixels), test.labels)
    assert classified.top1 == entry.metrics["knn_top1"]


def test_what_takes_one_teacher_refuses_several_by_name(entries, tmp_path):
    case, entry = next((case, entry) for case, entry in entries.items() if case.several)
    with pytest.raises(UserError, match="it has several teachers"):
        line_of(entry)
    with pytest.raises(UserError, match=f"{case.student}-1ep reads the features of several teachers"):
        export(case, tmp_path, tmp_path / "to")
    assert not case.has_picture and next(iter(entries)).has_picture


def test_time_and_disk_are_estimated_of_each_teacher_once(entries):
    """Pooled, joint and attention of 72 images in half precision; a store that one teacher has counts once."""
    one, both = (next(case for case in entries if case.teacher == name and not case.control) for name in ("dino", BOTH))
    alone, together, all_of_them = (trials(cases, lambda *_: None) for cases in ([one], [both], [one, both]))
    assert together.seconds[both.id] > 0 and all_of_them.seconds.keys() == {one.id, both.id}
    assert alone.stored < together.stored == all_of_them.stored


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("[[dino, beet]]", "unknown teacher 'beet', did you mean 'beit'"),
        ("[[dino]]", "expected the names of two teachers or more"),
        ("[[dino, dino]]", "'dino' is listed twice"),
        ("[[dino, beit]]", "student 'cbam' reads patches, whose grids differ between teachers"),
        ("[[dino, efficientnet]]", "teacher 'efficientnet' has no pocket weights for 'shapes'"),
    ],
)
def test_what_makes_no_sense_is_refused_at_planning_with_its_place(tmp_path, pair, message):
    with pytest.raises(LocatedError, match=rf"matrix.yaml:\d+:\d+: .*{message}"):
        load(tmp_path, LIST, f"pairs: {{shapes: {pair}, scenes: [blip]}}")


def test_a_run_depends_on_every_teacher_and_on_their_order_but_not_where_it_asks_none(tmp_path):
    pairs = {"shapes": ["dino", ["dino", "beit"], ["beit", "dino"]]}
    cases = planned(tmp_path, pairs, students=["resnet"], controls=["no-distillation"])
    distilled, alone = ([one for one in cases if bool(one.control) == chosen] for chosen in (False, True))
    assert len({case.run_fingerprint for case in distilled}) == len(distilled) == 3
    assert {case.run for case in alone} == {"shapes-resnet-no-distillation"}
    assert len({case.run_fingerprint for case in alone}) == 1
    assert {file.name for file in distilled[1].files()} == {
        "dino.py",
        "beit.py",
        "resnet.py",
        "shapes.py",
        "logit_matching.py",
    }
    assert replace(distilled[0], several=()).resolved() == distilled[0].resolved()


def test_beside_captions_they_see_the_images_alone(tmp_path):
    [case] = planned(tmp_path, {"scenes": [["clip", "blip"]]})
    assert case.kind == "images" and {one.kind for one in case.alone} == {"captions"}
    needs = needs_of(case, [case])
    assert [need.text_tokens for need in needs] == [False, False]


@pytest.fixture
def joined(entries, monkeypatch):
    """Both teachers on their images, as a case has them."""
    case = next(case for case in entries if case.several)
    loaded = [teachers.load(one.teacher, "pocket") for one in case.alone]
    device, quiet = Device("cpu", "fp32"), Progress(None)
    for module, name, value in LITTLE:
        monkeypatch.setattr(f"{module}.{name}", value)
    return on_data(case, loaded, splits_of(case), needs_of(case, [case]), device, quiet), loaded


def test_the_joint_embedding_is_balanced_whatever_a_teachers_width_and_scale(joined):
    """Each part has the same total variance, spread evenly over its dimensions; what a head reads likewise."""
    shared, loaded = joined
    pixels = data.load("shapes", "train", 48).pixels
    live = torch.cat([one.image(pixels).joint for one in loaded], dim=1)
    before = shared.teacher.joint(live)
    pooled = shared.features.train.source("pooled").float()
    for rows in (before, pooled):
        for part in rows.split(shared.teacher.joint.widths, dim=1):
            torch.testing.assert_close(part.var(dim=0), torch.full((96,), 1 / 96), atol=1e-4, rtol=2e-2)
    joint = torch.nn.functional.normalize(before, dim=1)
    torch.testing.assert_close(shared.features.train.joint, joint, atol=5e-3, rtol=0)
    torch.testing.assert_close(shared.features.ask(pixels)["joint"].float(), joint, atol=5e-3, rtol=0)
    assert torch.equal(shared.model.bank, shared.features.train.joint)
    costs, *single = (teacher_cost(one, shared.features, Device("cpu", "fp32")) for one in (shared.teacher, *loaded))
    assert all(costs[name] == sum(one[name] for one in single) for name in ("parameters", "macs"))


def test_what_is_deployed_gives_what_was_stored(joined):
    shared, _ = joined
    pixels = data.load("shapes", "test", 24).pixels
    pooled = shared.features.image_pca(shared.teacher.image(pixels).pooled)
    torch.testing.assert_close(pooled, shared.features.test.source("pooled").float(), atol=5e-3, rtol=1e-2)
