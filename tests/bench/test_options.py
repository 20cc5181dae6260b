"""The one table of options: what pytest and the commands make of it."""

from argparse import ArgumentParser

import pytest

from bench import __main__ as command
from bench.controls import NAMES
from bench.options import OPTIONS, add_options, for_pytest


def parser(name):
    made = ArgumentParser(exit_on_error=False)
    add_options(name, made.add_argument)
    return made


def test_every_option_belongs_to_a_command_that_there_is():
    assert {name for option in OPTIONS for name in option.commands.split()} == {"pytest", *command.COMMANDS}


def test_the_help_names_every_control(capsys):
    with pytest.raises(SystemExit):
        command.main(["plan", "--help"])
    assert ", ".join(NAMES) in " ".join(capsys.readouterr().out.split()).replace("- ", "-")


def test_what_chose_a_case_for_a_command_chooses_it_for_pytest():
    words = ["--profile", "ci", "--seeds", "0,1", "--results", "there", "--data", "data"]
    options = parser("export").parse_args(["shapes-dino-cbam-5ep", "--to", "folder", *words])
    again = parser("pytest").parse_args(for_pytest(options))
    assert {name: getattr(options, name) for name in vars(again) if hasattr(options, name)}.items() <= vars(
        again
    ).items()
    assert sorted(for_pytest(options)) == sorted(words)


@pytest.mark.parametrize(
    "words", [["plan", "--precision", "fp8"], ["report", "--json"], ["prepare", "shapes"]], ids=" ".join
)
def test_what_an_option_does_not_take_is_a_usage_error(words, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert ended.value.code == 2 and words[-1] in capsys.readouterr().err
