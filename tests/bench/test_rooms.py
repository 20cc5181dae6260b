"""The house keeps its shape: imports go one way between rooms, and rooms and floors stay few."""

import ast

from bench.kit.paths import ROOT

# A room may import those to its left, and none to its right. Of the same step neither needs the other, but as listed.
ORDER = (
    "kit", "metrics", "controls", "declared", "students", "registry", "data", "teachers", "plan", "prepare", "features",
    "results", "trackers", "measure", "training", "explain", "report", "run", "export", "commands",
)  # fmt: skip
COMMANDS = (
    "bench.__main__",
    "bench.distill",
    "bench.options",
    "bench.pytest_plugin",
    "bench.test_distill",
    "teachers.pocket",
)
LOOSE = ("registry", "metrics", "controls", "declared")  # modules of bench/ that are no folder


def modules():
    """All modules of the product by name."""
    files = [file for top in ("bench", "students", "teachers") for file in (ROOT / top).rglob("*.py")]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imported(file, known):
    """The modules of the product that a file imports, also inside its functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield whole if whole in known else node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def room(module):
    if module.startswith(COMMANDS):
        return "commands"
    top, *rest = module.split(".")
    return rest[0] if top == "bench" and rest else "kit" if top == "bench" else top


def arrows():
    known = modules()
    pairs = ((module, other) for module, file in known.items() for other in imported(file, known) if other in known)
    return {(room(module), room(other), module, other) for module, other in pairs if room(module) != room(other)}


def test_imports_go_one_way():
    backwards = [
        f"{module} imports {other}" for own, their, module, other in arrows() if ORDER.index(their) > ORDER.index(own)
    ]
    assert not backwards, "\n".join(sorted(backwards))


def test_no_module_imports_in_a_circle():
    known = modules()
    graph = {
        module: {other for other in imported(file, known) if other in known} - {module}
        for module, file in known.items()
    }
    while free := {module for module, others in graph.items() if not others}:
        graph = {module: others - free for module, others in graph.items() if module not in free}
    assert not graph, f"a circle among {', '.join(sorted(graph))}"


def test_rooms_and_floors_are_few():
    """A folder of bench/ is a room, a floor the longest chain of imports below it."""
    folders = {file.parent for file in (ROOT / "bench").rglob("*.py")}
    assert len(folders) <= 20
    below = {}
    for own, their, *_ in arrows():
        below.setdefault(own, set()).add(their)

    def floor(name):
        return 1 + max((floor(other) for other in below.get(name, ())), default=0)

    assert max(map(floor, ORDER)) <= 10, {name: floor(name) for name in ORDER}
