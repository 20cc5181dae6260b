"""The one table of options: what pytest and the commands make of it."""

import re
import shlex
from argparse import ArgumentError, ArgumentParser
from pathlib import Path

import pytest

from bench import __main__ as command
from bench.controls import NAMES
from bench.options import GROUPS, OPTIONS, add_options, for_pytest

# Of commands with few options, and what an argument without dashes is.
LOOSE = {
    "dataset",
    "case",
    "before",
    "now",
    "action",
    "names",
    "run",
    "--name",
    "--retrain",
    "--subset",
    "--unused",
    "--all",
    "--images",
}


def parser(name):
    made = ArgumentParser(exit_on_error=False)
    add_options(name, lambda title: made.add_argument)
    return made


def test_every_option_belongs_to_a_command_that_there_is():
    assert {name for _, commands, _ in OPTIONS for name in commands} == {"pytest", *command.COMMANDS}


def test_the_help_names_every_control(capsys):
    with pytest.raises(SystemExit):
        command.main(["plan", "--help"])
    assert ", ".join(NAMES) in " ".join(capsys.readouterr().out.split()).replace("- ", "-")


def help_of(capsys, *words):
    with pytest.raises(SystemExit):
        command.main([*words, "--help"])
    return capsys.readouterr().out


def test_the_help_names_every_command_and_its_three_examples_are_taken(capsys):
    text = help_of(capsys)
    assert all(f"\n    {name} " in text for name in command.COMMANDS)
    examples = text.partition("examples:")[2].replace("\\\n", " ")
    words = [shlex.split(re.split(r" {3,}(?=\w)", line.strip())[0]) for line in examples.strip().splitlines()]
    assert len(words) == 3
    for _, _, _, *arguments in words:
        assert command._parser().parse_args(arguments).command


@pytest.mark.parametrize("name", ["pytest", *command.COMMANDS])
def test_the_help_puts_options_together_by_what_they_are_for(name):
    titles = {}
    add_options(name, lambda title: lambda option, **words: titles.setdefault(words.get("dest", option), title))
    assert {one for names in GROUPS.values() for one in names} >= {*titles} - LOOSE
    expected = {"--profile": "which cases", "--results": "where and how it runs", "--to": "what comes of it"}
    assert all(titles.get(option, title) == title for option, title in expected.items())


@pytest.mark.parametrize(
    ("words", "begun", "offered"),
    [([], "re", ["report", "results"]), (["results"], "ta", ["table"]), (["plan"], "--prof", ["--profile"])],
)
def test_a_shell_completes_commands_options_and_their_choices(words, begun, offered):
    argcomplete = pytest.importorskip("argcomplete")
    assert b"PYTHON_ARGCOMPLETE_OK" in Path(command.__file__).read_bytes()[:1024]  # where its global completion looks
    finder = argcomplete.CompletionFinder(command._parser(), always_complete_options=False)
    completions = finder._get_completions(["python -m bench", *words], begun, "", None)
    assert [one.strip() for one in completions] == offered


def test_every_name_in_a_group_is_an_options():
    names = [words.get("dest", name) for name, _, words in OPTIONS]
    assert {one for of in GROUPS.values() for one in of} <= {*names}


def test_what_chose_a_case_for_a_command_chooses_it_for_pytest():
    words = ["--profile", "ci", "--seeds", "0,1", "--results", "there", "--data", "data"]
    options = parser("export").parse_args(["shapes-dino-cbam-5ep", "--to", "folder", *words])
    again = parser("pytest").parse_args(for_pytest(options))
    assert vars(options).items() >= {name: value for name, value in vars(again).items() if name in options}.items()
    assert sorted(for_pytest(options)) == sorted(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan", "--precision", "fp8"], "invalid choice: 'fp8'"),
        (["report", "--json"], "--json"),
        (["prepare", "shapes"], "shapes"),
    ],
)
def test_what_an_option_does_not_take_is_a_usage_error(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_an_unknown_option_is_answered_with_the_usage_of_its_command(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["report", "--bogus"])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith("usage: python -m bench report [-h]")
    assert said.endswith("python -m bench report: error: unrecognized arguments: --bogus\n")


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "", "1e30", "100000001"])
def test_what_is_no_limit_of_a_case_is_a_usage_error(text):
    assert parser("pytest").parse_args(["--case-timeout", "1e-300"]).case_timeout == 1e-300
    with pytest.raises(ArgumentError, match="expected a number of seconds above 0"):
        parser("pytest").parse_args([f"--case-timeout={text}"])
