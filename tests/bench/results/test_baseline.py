"""The baseline's file: small, sorted, never half a matrix, and never a traceback."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kit.errors import UserError
from bench.kit.files import seal, unseal
from bench.metrics import METRICS
from bench.plan import matrix
from bench.results.baseline import FORMAT, read
from tests.bench.results.gate import CASES, FIRST, HARDWARE, IDS, SOFTWARE, hold, records, save, tolerances


def test_it_keeps_the_metrics_that_have_a_tolerance_and_the_conditions_once(file):
    content = json.loads(file.read_text())
    assert content["environment"]["software"] == SOFTWARE
    assert content["environment"]["hardware"] == {name: HARDWARE[name] for name in HARDWARE if name != "cores"}
    assert content["cases"][FIRST]["metrics"] == {"epoch_seconds": 1.0, "knn_top1": 70.0, "parameters": 100}
    assert all(set(entry) == {"fingerprint", "metrics", "case"} for entry in content["cases"].values())
    assert content["case"]["batch_size"] == 64 and "student" not in content["case"]
    assert content["cases"][FIRST]["case"]["student"] == "projection"
    assert all(one.case == records()[name].case for name, one in read(file).cases.items())


def test_a_case_that_ran_elsewhere_has_its_own_conditions(tmp_path):
    entries = records()
    entries[IDS[3]].environment["hardware"]["processor"] = "Another CPU"
    save(tmp_path / "b.json", entries)
    content = json.loads((tmp_path / "b.json").read_text())
    assert [name for name, entry in content["cases"].items() if "environment" in entry] == [IDS[3]]
    cases = read(tmp_path / "b.json").cases
    assert cases[IDS[3]].conditions["hardware"]["processor"] == "Another CPU"
    assert cases[FIRST].conditions["hardware"]["processor"] == "Some CPU"


def test_a_setting_that_only_some_cases_have_is_their_own(tmp_path):
    """As that of several teachers is."""
    entries = records()
    first = entries[min(IDS)]
    first.case["several"] = [{"name": "dino"}, {"name": "beit"}]
    save(tmp_path / "b.json", entries, selected=IDS)
    assert "several" not in json.loads((tmp_path / "b.json").read_text())["case"]
    assert all(one.case == entries[name].case for name, one in read(tmp_path / "b.json").cases.items())


def test_it_is_sorted_a_line_per_value_and_the_same_whatever_the_order(tmp_path):
    save(tmp_path / "a", selected=IDS)
    save(tmp_path / "b", dict(reversed(records().items())), selected=IDS[::-1])
    text = (tmp_path / "a").read_text()
    assert text == (tmp_path / "b").read_text()
    assert list(json.loads(text)["cases"]) == sorted(IDS)
    assert all(line.count(": ") <= 1 for line in text.splitlines())


@pytest.mark.parametrize("status", ["failed", "crashed"])
def test_it_never_holds_half_a_matrix(tmp_path, status):
    entries = records()
    entries[FIRST].status = status
    with pytest.raises(UserError, match=f"not done: {FIRST}"):
        save(tmp_path / "b.json", entries)
    del entries[FIRST]
    with pytest.raises(UserError, match=f"not done: {FIRST}"):
        save(tmp_path / "b.json", entries)
    with pytest.raises(UserError, match="no case was selected"):
        save(tmp_path / "b.json", selected=[])
    assert not (tmp_path / "b.json").exists()


def test_it_takes_no_value_that_it_could_not_read(tmp_path):
    with pytest.raises(UserError, match=r"no baseline written: .*knn_top1: not a finite number"):
        save(tmp_path / "b.json", records(knn_top1=float("nan")))


@pytest.mark.parametrize(
    ("options", "says"),
    [({"selected": IDS[:1]}, r"1 of 12 cases were selected, and 11 others .* would be lost"),
     ({"profile": "pocket"}, "is the baseline of profile 'ci', and this is 'pocket'")],
)  # fmt: skip
def test_neither_a_part_of_the_profile_nor_another_replaces_the_whole(file, options, says):
    before = file.read_bytes()
    with pytest.raises(UserError, match=says):
        save(file, **options)
    assert file.read_bytes() == before


def test_a_part_may_be_written_where_nothing_is_lost(tmp_path):
    assert "3 of the 12 cases of profile 'ci'" in save(tmp_path / "b.json", selected=IDS[:3])
    save(tmp_path / "b.json", selected=IDS[:5])
    assert len(read(tmp_path / "b.json").cases) == 5


def test_an_unusable_file_is_renewed_by_the_whole_profile_only(file):
    file.write_text("<<<<<<< ours")
    with pytest.raises(UserError, match="only a part of the profile was selected"):
        save(file, selected=IDS[:1])
    save(file)
    assert len(read(file).cases) == 12


def test_a_renewal_says_which_cases_it_drops(file):
    content = unseal(file.read_text())
    content["cases"]["shapes-dino-gone-4ep"] = content["cases"][FIRST]
    file.write_text(seal(content))
    assert save(file).endswith("dropped: shapes-dino-gone-4ep")


def test_a_place_that_cannot_be_written_is_an_error_message(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="no baseline written"):
        save(tmp_path / "file" / "b.json")


def entry(**parts):
    return {"fingerprint": "f", "metrics": {"knn_top1": 70.0}, "case": {}} | parts


WHOLE = {
    "format": FORMAT,
    "profile": "ci",
    "environment": {"hardware": {}, "software": {}},
    "case": {},
    "cases": {"x": entry()},
}
BROKEN = [
    (WHOLE | {"format": 1}, "format"),
    ({name: part for name, part in WHOLE.items() if name != "cases"}, "cases: Field required"),
    (WHOLE | {"extra": 1}, "extra"),
    (WHOLE | {"cases": {"x": {}}}, "cases.x.fingerprint"),
    (WHOLE | {"cases": {"x": entry(metrics={"knn_topp1": 70.0})}}, "did you mean 'knn_top1'?"),
    *((WHOLE | {"cases": {"x": entry(metrics={"knn_top1": value})}}, "cases.x.metrics.knn_top1")
      for value in ("70", None, True, [], float("nan"), float("inf"), -float("inf"), 10**300)),
    (WHOLE | {"environment": {"hardware": {"device": []}, "software": {}}}, "environment.hardware.device"),
    (WHOLE | {"cases": {"x": entry(environment={})}}, "cases.x.environment"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "says"), BROKEN)
def test_a_broken_file_is_an_error_that_names_the_place(tmp_path, content, says):
    (tmp_path / "b.json").write_text(seal(content))
    with pytest.raises(UserError, match=r"b\.json is not a usable baseline") as caught:
        read(tmp_path / "b.json")
    assert says in str(caught.value)


def test_a_digit_that_flipped_is_noticed(file):
    file.write_text(file.read_text().replace('"knn_top1": 70.0', '"knn_top1": 30.0', 1))
    with pytest.raises(UserError, match="its content is not what its sha256 says"):
        read(file)


@given(
    st.binary(max_size=60)
    | st.sampled_from([b"[" * 100_000, b'{"format": ' + b"9" * 5000 + b"}", b'"\\ud800"', b"\xff\xfe{}"])
)
def test_any_bytes_are_an_error_message(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("b") / "baseline.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"baseline\.json is not a usable baseline"):
        read(path)


def test_a_folder_or_a_missing_file_is_an_error_message(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.json"):
        with pytest.raises(UserError, match="is not a usable baseline"):
            read(path)


def test_a_finite_baseline_of_any_size_overflows_nothing(baseline):
    huge = {name: replace(one, metrics={"knn_top1": (-1) ** number * 1e100})
            for number, (name, one) in enumerate(baseline.cases.items())}  # fmt: skip
    verdict = hold(replace(baseline, cases=huge), stated=tolerances(knn_top1={"relative": 1e308}))
    assert verdict.metrics == 12
    assert set(METRICS) >= {finding.metric for finding in verdict.findings if finding.metric}


def test_the_committed_baseline_holds_every_case_of_its_profile():
    committed = read(matrix.DEFAULT.parent / "reports" / "baselines" / "ci.json")
    assert committed.profile == "ci" and set(committed.cases) == set(IDS) == {case.id for case in CASES}
