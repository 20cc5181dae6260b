"""matrix.yaml: what it expands to, and what its errors say."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from bench import __main__ as command
from bench import registry
from bench.controls import TRAINED
from bench.kit.errors import LocatedError
from bench.kit.paths import ROOT
from bench.plan import matrix
from tests.bench.plan.matrices import TEXT, cases, load, planned
from tests.forking import Order

PAPERS = ("projection", "bottleneck", "attention", "cbam", "resnet", "densenet")


def position(snippet, text):
    """line:column of a snippet, counted independently of the parser."""
    before = text[: text.index(snippet)]
    return f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def test_pocket_is_the_whole_matrix():
    papers = {name: case for name, case in cases().items() if case.student in PAPERS and not case.control}
    assert len(papers) == 48 and "scenes-blip-cbam-10ep" in papers
    teachers = {"shapes": ("dino", "beit"), "scenes": ("clip", "blip")}
    assert all(case.teacher in teachers[case.dataset] and case.epochs in (5, 10) for case in papers.values())


def test_ci_is_a_subset_of_pocket_in_its_axes():
    loaded = matrix.load()
    small, large = loaded.profiles["ci"], loaded.profiles["pocket"]
    assert set(small.students) <= set(large.students)
    assert all(set(teachers) <= set(large.pairs[dataset]) for dataset, teachers in small.pairs.items())


def test_no_token_of_an_id_hides_in_another():
    """pytest's -k matches substrings of folder, file, function and id."""
    tokens = {name for kind in ("dataset", "teacher", "student") for name in registry.names(kind)} | {*TRAINED}
    tokens |= {loss for profile in matrix.load().profiles.values() for of in profile.losses.values() for loss in of}
    tokens |= {recipe for profile in matrix.load().profiles.values() for recipe in profile.recipes}
    path = {"bench", "test_distill.py", "test_distill", "reports", "students", "teachers"}
    for token in tokens:
        assert not [other for other in (tokens | path) - {token} if token in other], token


def test_ids_name_every_seed_but_the_profiles_only_one(tmp_path):
    """Another seed's results stand beside those that are done, and those are used again."""
    several = load(tmp_path, "seeds: [0]", "seeds: [0, 1]")
    assert len(cases(several)) == 2 * len(cases()) and "scenes-blip-cbam-10ep-s1" in cases(several)
    for profiles, seeds, endings in (
        (None, (1,), {"-s1"}), (None, (0, 1, 2), {"", "-s1", "-s2"}), (None, (0,), {""}), (several, (0,), {"-s0"}),
    ):  # fmt: skip
        ids = [case.id for case in matrix.cases(profiles or load(tmp_path), "pocket", seeds=seeds, controls=())]
        assert {name.partition("ep")[2] for name in ids} == endings
    again = {case.id: case.fingerprint for case in matrix.cases(load(tmp_path), "pocket", seeds=(0, 1))}
    assert all(again[name] == case.fingerprint for name, case in cases().items())


def test_default_losses_are_the_papers():
    losses = {(case.student, case.kind): case.loss for case in cases().values() if not case.control}
    assert losses["projection", "captions"] == losses["bottleneck", "captions"] == "logit-matching"
    assert losses["attention", "captions"] == losses["cbam", "captions"] == "attention-transfer"
    assert losses["resnet", "captions"] == losses["densenet", "captions"] == "combined"
    assert {losses[student, "classification"] for student in PAPERS} == {"logit-matching"}


def test_an_option_of_a_profile_is_a_line_of_the_schema_and_a_line_of_the_case(server, tmp_path):
    for folder in ("bench", "students", "teachers"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    edits = {
        "bench/plan/schema.py": (
            "    features: Literal",
            "    clip_gradients: Rate | None = None\n    features: Literal",
        ),
        "bench/plan/case.py": ("    precision: str", "    clip_gradients: float | None = None\n    precision: str"),
        "matrix.yaml": ("    students: all", "    clip_gradients: 1.0\n    students: all"),
    }
    for name, (old, new) in edits.items():
        (tmp_path / name).write_text((ROOT / name).read_text().replace(old, new, 1))
    plans = []
    for text in ((tmp_path / "matrix.yaml").read_text(), TEXT):
        (tmp_path / "matrix.yaml").write_text(text)
        code = "from bench.plan import matrix\nfor case in matrix.cases(matrix.load(), 'pocket'): print(case.clip_gradients, case.fingerprint)"
        [ran] = server([Order(["-c", code], str(tmp_path))])
        assert ran.status == 0, ran.output
        plans.append([line.split() for line in ran.output.splitlines()])
    clipped, plain = plans
    assert {value for value, _ in clipped} == {"1.0"} and {value for value, _ in plain} == {"None"}
    assert not {digest for _, digest in clipped} & {digest for _, digest in plain}


STUDENTS = "students: [projection, cbam, densenet]"
PAIRS = "pairs: {shapes: all, scenes: all}"
BROKEN = [
    ("no pocket weights", PAIRS, PAIRS.replace("shapes: all", "shapes: [efficientnet]"), "efficientnet",
     "teacher 'efficientnet' has no pocket weights for 'shapes': expected one that has (dino, beit), or"),
    ("all of none", PAIRS, PAIRS.replace("scenes: all", "coco: all"), "all}  ",
     "no teacher has pocket weights for 'coco', which 'all' could stand for"),
    ("misspelt student", STUDENTS, STUDENTS.replace("cbam", "cbma"), "cbma", "unknown student 'cbma', did you mean 'cbam'?"),
    ("unknown dataset", PAIRS, PAIRS.replace("shapes: all", "shappes: [dino]"), "shappes", "did you mean 'shapes'?"),
    ("duplicate key", "epochs: [5, 10]", "epochs: [5, 10]\n    epochs: [3]", "epochs: [3]", "duplicate key 'epochs'"),
    ("no list", PAIRS, PAIRS.replace("shapes: all", "shapes: dino"), "dino,", "expected a list, or 'all'"),
    ("batch beyond the samples", "test: 500", "test: 50", "50}", "fewer than a batch of 64"),
    ("all of a drawn set", "train: 2048", "train: all", "all, test: 500", "'all' is for images in files, but 'shapes' is drawn: expected a number"),
    ("a path as profile", "  pocket:", "  ../pocket:", None, "should match pattern"),
    ("empty axis", "epochs: [5, 10]", "epochs: []", "[]\n", "at least 1 item"),
    ("no rate", "  learning_rate: 1.0e-3         # AdamW, constant after the warm-up\n", "", "training:  ", "missing key 'learning_rate'"),
    ("a loss for all", "  batch_size: 64\n", "  batch_size: 64\n  loss: {captions: combined}\n", "loss: {captions", "unknown key 'loss'"),
    ("not a mapping", "teachers: {}", "teachers: 3", "3                    # of", "valid dictionary"),
    ("samples of a wrong kind", "train: 2048", "train: most", "most,", "valid integer"),
    ("no samples", "train: 2048", "train: null", "null,", "expected a number or 'all'"),
    ("two sources", "teachers: {}", "teachers: {dino: {revision: main, path: x}}", "dino: {revision", "a path or a revision, not both"),
    ("nobody's home", "teachers: {}", "teachers: {dino: {path: ~no-such-user/x}}", "~no-such", "no such user's home folder"),
    ("features of a wrong kind", "    students: all               #", "    features: int8\n    students: all #", "int8", "'float16' or 'float32'"),
    ("geometry of a wrong kind", "geometry: squash ", "geometry: crop ", "crop ", "'published' or 'squash'"),
    ("a loss for all students", "training: {batch_size: 16}", "training: {loss: {captions: combined}}", "loss: {captions", "unknown key 'loss'"),
    ("unknown loss", "overrides: {}", "overrides: {resnet: {loss: {captions: contrastiv}}}", "contrastiv}", "did you mean 'contrastive'?"),
    ("loss without captions", "overrides: {}", "overrides: {resnet: {loss: {classification: combined}}}", "combined}", "needs captions"),
    ("losses without captions", "standardisation, cross-entropy]", "standardisation, icl]", "icl]\n", "needs captions"),
    ("a second random teacher", "trunk: full}\n    controls: [untrained,", "trunk: full}\n    controls: [random-teacher,", None, "the teachers are random already"),
    ("loss without a map", "overrides: {}", "overrides: {resnet: {loss: {captions: attention-transfer}}}", "attention-transfer}", "attention map"),
    ("unknown tolerance", "  knn_top1: 5.0", "  knn_topp1: 5.0", "knn_topp1", "did you mean 'knn_top1'?"),
    ("no step that float32 takes", "learning_rate: 1.0e-3", "learning_rate: 1.0e+39", "1.0e+39", "less than or equal to 1"),
    ("not a number", "learning_rate: 1.0e-3", "learning_rate: .nan", ".nan", "finite number"),
    ("not YAML", "epochs: [5, 10]", "epochs: [5, 10", None, "not valid YAML"),
    ("a tag", "epochs: [5, 10]", "epochs: [5, !!int '']", "!!int", "tags are not read: leave out '!!int'"),
    ("an anchor", "epochs: [5, 10]", "epochs: &both [5, 10]", "&both", "write the value out"),
    ("a merge key", "epochs: [5, 10]", "<<: {epochs: [5, 10]}", "<<", "not valid YAML"),
    ("a plain equals sign", "epochs: [5, 10]", "epochs: =", "=\n", "not valid YAML"),
    ("a seed beyond the generator", "seeds: [0]", f"seeds: [{10**15}]", str(10**15), "less than 1099511627776"),
    ("an endless text", "weights: pocket ", f"weights: {'p' * 5000} #", "p" * 5000, "got 'pppppp"),
    ("an endless name", STUDENTS, STUDENTS.replace("cbam", "c" * 5000), "c" * 5000, "unknown student 'cccccc"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "at", "says"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_an_error_names_the_place_and_what_to_do(tmp_path, old, new, at, says):
    with pytest.raises(LocatedError) as caught:
        load(tmp_path, old, new)
    message = str(caught.value)
    assert says in message and len(message) < 1000
    if at:
        assert f"matrix.yaml:{position(at, TEXT.replace(old, new, 1))}:" in message


LAUGHS = "a0: &a0 [lol]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))


@pytest.mark.parametrize(
    "content",
    [
        "", "- a\n", "a: &x {b: *x}\n", "\x00", "? [a]\n: 1\n", "profiles: {}\n", "a: 2024-13-45\n", LAUGHS, "{" * 10**5,
        "- " * 10**4, "a: 0b_\n", 'a: "\\UFFFFFFFF"\n', "0x" + "f" * 5000 + ": 1\n",
        *(f"profiles: !!{tag} 'x'\na: !!{tag} ''\n" for tag in ("bool", "int", "float", "timestamp", "set", "omap")),
    ],
    ids=lambda text: repr(text)[:30],
)  # fmt: skip
def test_any_other_rubbish_is_an_error_message_too(tmp_path, content):
    path = tmp_path / "matrix.yaml"
    path.write_text(content)
    with pytest.raises(LocatedError, match=r"^matrix\.yaml"):
        matrix.load(path)


def test_every_fault_is_named_once(tmp_path):
    text = (
        TEXT.replace("epochs: [5, 10]", "epochs: [0]", 1).replace("cbam", "cbma", 1).replace("knn_top1:", "knn_topp1:")
    )
    (tmp_path / "matrix.yaml").write_text(text.replace("size_mb: 0", "size_mb: 1"))
    with pytest.raises(LocatedError) as caught:
        matrix.load(tmp_path / "matrix.yaml")
    lines = str(caught.value).splitlines()
    says = [
        "profiles.pocket.epochs.0: Input should be greater than 0, got 0",
        "unknown student 'cbma'",
        "unknown metric 'knn_topp1'",
    ]
    assert len(lines) == 3 and all(part in line for part, line in zip(says, lines, strict=True))


@pytest.mark.parametrize(
    ("losses", "says"),
    [
        ('{"classification": "combined", "captions": "combined"}', "mine.py: loss 'combined' needs captions"),
        ('{"captions": "combined"}', "mine.py: LOSS has no loss for classification"),
        ('{"classification": "logit-machting", "captions": "combined"}', "did you mean 'logit-matching'?"),
        ("[", "not valid Python"),
        ("dict(a=1)", "mine.py: expected a line 'LOSS = ...'"),
    ],
)
def test_a_faulty_student_file_is_an_error_message(tmp_path, monkeypatch, losses, says):
    folder = tmp_path / "students"
    shutil.copytree(registry.FOLDERS["student"], folder)
    (folder / "mine.py").write_text(f'READS = "pooled"\nTEXT_READS = "pooled"\nLOSS = {losses}\n')
    monkeypatch.setitem(registry.FOLDERS, "student", folder)
    with pytest.raises(LocatedError, match=re.escape(says)):
        matrix.cases(load(tmp_path, "students: all ", "students: [mine] "), "pocket")


def test_an_unknown_profile_is_named():
    with pytest.raises(LocatedError, match="unknown profile 'pokcet', did you mean 'pocket'"):
        matrix.cases(matrix.load(), "pokcet")


@pytest.mark.parametrize(
    ("usual", "overrides", "fits"),
    [
        (32, "{resnet: {batch_size: 71}}", True),  # the profile has no resnet
        (32, "{cbam: {batch_size: 71}}", False),
        (71, "{cbam: {batch_size: 32}}", False),  # projection's is the usual one
        (71, "{cbam: {batch_size: 32}, projection: {batch_size: 70}}", True),
    ],
)
def test_samples_are_held_against_the_batches_of_the_profiles_own_students(
    tmp_path, tiny_matrix, usual, overrides, fits
):
    """The tiny profile has projection and cbam, and evaluates on 70 images."""
    path = tmp_path / "matrix.yaml"
    text = tiny_matrix.read_text().replace("batch_size: 32", f"batch_size: {usual}")
    path.write_text(f"{text}overrides: {overrides}\n")
    if fits:
        assert matrix.load(path)
    else:
        with pytest.raises(LocatedError, match="70 samples are fewer than a batch of 71"):
            matrix.load(path)


def test_a_broken_matrix_is_a_usage_error_without_traceback(server, tmp_path):
    (tmp_path / "matrix.yaml").write_text(TEXT.replace("cbam", "cbma", 1))
    [ran] = server(
        [Order(["-m", "pytest", "bench", "--collect-only", "-q", "--matrix", str(tmp_path / "matrix.yaml")])]
    )
    assert ran.status == pytest.ExitCode.USAGE_ERROR
    assert "unknown student 'cbma', did you mean 'cbam'?" in ran.output and "Traceback" not in ran.output


@pytest.mark.parametrize("text", ["", ",", "0,", "0,0", "00,0", "-1", "a", "1.0", "٣", "1099511627776", "9" * 5000])
def test_seeds_that_cannot_be_are_an_error_message(text, capsys):
    assert command.main(["plan", f"--seeds={text}"]) == 2
    message = capsys.readouterr().err
    assert "expected different whole numbers below 1099511627776" in message and len(message) < 300


def test_the_largest_seed_is_taken_and_can_be_drawn_with():
    (seed,), _ = matrix.chosen("1099511627775", None)
    assert 0 < seed * 1_000_003 + 10**6 < 2**63  # bench.training.run


def test_collection_lists_the_ids_without_importing_torch():
    code = (
        "import sys, pytest\n"
        "code = pytest.main(['bench', '--collect-only', '-q', '-k', 'blip and cbam'])\n"
        "assert code == 0 and 'torch' not in sys.modules, sorted(sys.modules)\n"
    )
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, env=env)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    listed = [line.split("[")[1].rstrip("]") for line in ran.stdout.splitlines() if "[" in line and "::" in line]
    assert listed == ["scenes-blip-cbam-5ep", "scenes-blip-cbam-10ep"]


@pytest.mark.parametrize("pairs", [{"shapes": ["dino"]}, {"scenes": ["dino"]}])  # dino reads no text
def test_losses_of_data_that_no_pair_has_are_refused(tmp_path, pairs):
    with pytest.raises(LocatedError, match=r"profiles\.p\.losses\.captions: no pair of the profile has such data"):
        planned(tmp_path, pairs, losses={"captions": ["rkd"]})


def test_all_controls_of_random_teachers_are_all_that_make_sense():
    of_sample = cases(profile="sample", controls=matrix.chosen(None, "all")[1])
    assert {case.control for case in of_sample.values()} == {None, "no-distillation"}
