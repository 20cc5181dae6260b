"""The looks of a report's plots: a light one and a dark one.

Colours stand out from their background by 3 to 1 or more, WCAG 2.2's least contrast of graphics (success criterion
1.4.11). The students' are those of Okabe and Ito, which colour-blind readers can tell apart, darkened or lightened to
that contrast; markers tell them apart as well.
"""

from dataclasses import dataclass

from bench.report.content import Row

# Text stays text: smaller files, and a reader can search them.
SETTINGS = {"svg.hashsalt": "distill-bench", "svg.fonttype": "none", "font.size": 11, "axes.titlesize": 11}
MARKERS = {"projection": "o", "bottleneck": "s", "attention": "^", "cbam": "D", "resnet": "P", "densenet": "X"}
OTHER_MARKERS = "v<>*hdp8"

Styles = dict[str, tuple[str, str]]  # marker and colour by the student's name in the legend


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

    @property
    def teacher_line(self) -> dict:
        """The line of the teacher itself."""
        return {"color": self.teacher, "linestyle": "--", "linewidth": 1.3}

    def styles(self, rows: list[Row]) -> Styles:
        """Each student's marker and colour: fixed for the paper's students, and by alphabet for others."""
        styles = {name: (marker, self.students[name]) for name, marker in MARKERS.items()}
        for index, name in enumerate(sorted({row.name for row in rows} - set(MARKERS))):
            styles[name] = OTHER_MARKERS[index % len(OTHER_MARKERS)], self.others[index % len(self.others)]
        return styles


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
