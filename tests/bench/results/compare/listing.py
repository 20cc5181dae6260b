"""What a verdict lists without failing: improvements, then all else in groups."""


def remarks(verdict):
    return [finding.line() for finding in verdict.findings if finding.kind == "better"] + verdict.notes()
