"""The two looks of a plot: for light pages and for dark ones. Colours stand out from their background by 3 to 1 or more.

That is WCAG 2.2's least contrast of graphics (success criterion 1.4.11). The students' colours are those of Okabe and
Ito, which colour-blind readers can tell apart, darkened or lightened to that contrast; markers tell them apart as well.
"""

from dataclasses import dataclass

from bench.report.seeds import Pairs

MARKERS = {"projection": "o", "bottleneck": "s", "attention": "^", "cbam": "D", "resnet": "P", "densenet": "X"}
OTHER_MARKERS = "v<>*hdp8"


@dataclass(frozen=True)
class Theme:
    """Colours of one look. ``suffix`` tells its files apart; ``others`` are of students that ``students`` does not name."""

    suffix: str
    background: str
    ink: str  # text, axes, and what is drawn in black on white
    teacher: str  # the teacher's own line
    students: dict[str, str]
    others: tuple[str, ...]

    @property
    def settings(self) -> dict[str, str]:
        """Matplotlib's settings."""
        of_ink = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
        of_background = ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "savefig.edgecolor")
        return dict.fromkeys(of_ink, self.ink) | dict.fromkeys(of_background, self.background)


# Backgrounds and inks are those of GitHub's pages.
LIGHT = Theme(
    suffix="", background="#ffffff", ink="#1f2328", teacher="#6e7781",
    students=dict(zip(MARKERS, ("#0061a0", "#b06f00", "#00835f", "#b8548f", "#c44d00", "#2f93c9"), strict=True)),
    others=("#1f2328", "#8c564b", "#767700", "#7b4fa3", "#0e8594", "#6b6b6b"),
)  # fmt: skip
DARK = Theme(
    suffix="-dark", background="#0d1117", ink="#e6edf3", teacher="#8b949e",
    students=dict(zip(MARKERS, ("#4a90e2", "#e69f00", "#1fbf92", "#e08fc0", "#ff7a33", "#9bd8ff"), strict=True)),
    others=("#e6edf3", "#c99c8f", "#c9c94a", "#b99ada", "#4fd0de", "#a8a8a8"),
)  # fmt: skip
THEMES = (LIGHT, DARK)


@dataclass(frozen=True)
class Look:
    """How a plot is drawn: its theme, and each student's marker and colour, by its name in the legend."""

    theme: Theme
    styles: dict[str, tuple[str, str]]

    @classmethod
    def of(cls, drawn: Pairs, theme: Theme) -> "Look":
        """Marker and colour are fixed for the paper's students, and by alphabet for others."""
        others = sorted({row.name for several in drawn.values() for row in several} - set(MARKERS))
        styles = {name: (marker, theme.students[name]) for name, marker in MARKERS.items()}
        for index, name in enumerate(others):
            styles[name] = OTHER_MARKERS[index % len(OTHER_MARKERS)], theme.others[index % len(theme.others)]
        return cls(theme, styles)

    @property
    def teacher(self) -> dict:
        """The line of the teacher itself."""
        return {"color": self.theme.teacher, "linestyle": "--", "linewidth": 1.3}


def file_name(plot: str, theme: Theme) -> str:
    """The name of a plot's file in a theme: ``curves.svg`` or ``curves-dark.svg``."""
    return f"{plot}{theme.suffix}.svg"
