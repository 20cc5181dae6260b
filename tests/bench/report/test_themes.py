"""The two looks of a plot: every colour stands out from its background."""

import pytest

from bench.report.themes import THEMES


def luminance(colour):
    """Relative luminance as WCAG 2.2 defines it."""
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_is_that_of_known_pairs():
    # Black on white is 21 by definition; #767676 is the lightest grey that has 4.5 on white.
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") >= 4.5 > contrast("#777777", "#ffffff")


@pytest.mark.parametrize("theme", THEMES, ids=["light", "dark"])
def test_every_colour_stands_out_from_its_background(theme):
    assert contrast(theme.ink, theme.background) >= 4.5  # text
    for colour in (theme.teacher, *theme.students.values(), *theme.others):
        assert contrast(colour, theme.background) >= 3, colour
