"""The one table of options: what pytest and the commands make of it."""

from argparse import ArgumentError, ArgumentParser

import pytest

from bench import __main__ as command
from bench.controls import NAMES
from bench.options import OPTIONS, add_options, for_pytest


def parser(name):
    made = ArgumentParser(exit_on_error=False)
    add_options(name, made.add_argument)
    return made


def test_every_option_belongs_to_a_command_that_there_is():
    assert {name for _, commands, _ in OPTIONS for name in commands} == {"pytest", *command.COMMANDS}


def test_the_help_names_every_control(capsys):
    with pytest.raises(SystemExit):
        command.main(["plan", "--help"])
    assert ", ".join(NAMES) in " ".join(capsys.readouterr().out.split()).replace("- ", "-")


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
        (["speed", "--images", "1"], "expected a whole number from 2 to 1000000, not '1'"),
        (["speed", "--images", "9" * 5000], "expected a whole number"),
        (["speed", "--images", "1.5"], "not '1.5'"),
    ],
)
def test_what_an_option_does_not_take_is_a_usage_error(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert ended.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "", "1e30", "100000001"])
def test_what_is_no_limit_of_a_case_is_a_usage_error(text):
    assert parser("pytest").parse_args(["--case-timeout", "1e-300"]).case_timeout == 1e-300
    with pytest.raises(ArgumentError, match="expected a number of seconds above 0"):
        parser("pytest").parse_args([f"--case-timeout={text}"])
