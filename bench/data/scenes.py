"""scenes: one to three coloured objects with five captions each, drawn by a seeded generator. Image-text.

COCO's form at 32 pixels: each caption tells part of what is there (some leave out size or place), so
retrieval is possible but not certain; a few scenes are truly ambiguous. The language is small enough for a
word-level vocabulary (:func:`vocabulary`), which is what the pocket teachers' text towers read. A scene of one object
has a concept, its colour and outline; with more objects, no single answer would be right.
"""

import numpy as np
import torch

from bench.data import draw
from bench.data.split import Split, concepts_of

KIND = "captions"
PREPARED = False
LICENCE = "Drawn by the suite's own seeded generator: no picture or caption of anybody else's"
SIDE = 32
CAPTIONS_PER_IMAGE = 5
COLOURS = {
    "red": (0.85, 0.15, 0.15),
    "green": (0.15, 0.65, 0.20),
    "blue": (0.15, 0.25, 0.85),
    "yellow": (0.95, 0.85, 0.15),
    "purple": (0.55, 0.20, 0.65),
    "orange": (0.95, 0.55, 0.10),
    "white": (0.96, 0.96, 0.96),
    "black": (0.06, 0.06, 0.08),
}
PLACES = (
    ("top left", "at the top", "top right"),
    ("on the left", "in the middle", "on the right"),
    ("bottom left", "at the bottom", "bottom right"),
)
CONCEPTS = tuple(f"{colour} {outline}" for colour in COLOURS for outline in draw.OUTLINES)
SIZES = {"small": (0.17, 0.21), "large": (0.28, 0.34)}
PROMPTS = ("a picture of a {}", "a {} on a plain ground", "there is a {}", "we see a {}", "a {}")
NUISANCE = 0.3
Thing = tuple[str, str, str, int]  # size, colour, outline, place 0-8


def draw_scenes(rng: np.random.Generator, count: int) -> tuple[np.ndarray, list[list[str]], list[list[Thing]]]:
    """``count`` scenes: uint8 ``[N, 3, 32, 32]``, five captions for each, and its objects."""
    facts = _facts(rng, count)
    canvas = draw.background(rng, count, SIDE, colour=0.4, contrast=0.2 + 0.5 * NUISANCE)
    for slot in range(3):
        _paint_slot(rng, canvas, [scene[slot] if slot < len(scene) else None for scene in facts])
    pixels = draw.photograph(rng, canvas, light=0.4 * NUISANCE, noise=0.02 + 0.06 * NUISANCE)
    return pixels, [_captions(rng, scene) for scene in facts], facts


def load(split: str, count: int, seed: int) -> Split:
    """``count`` scenes; the same ``split, count, seed`` always give the same pixels, captions and concepts."""
    rng = np.random.default_rng([seed, {"train": 3, "test": 4}[split]])
    pixels, captions, facts = draw_scenes(rng, count)
    # Colour and outline of the only object; where there are more, no single concept is shown.
    shown = [CONCEPTS.index(" ".join(scene[0][1:3])) if len(scene) == 1 else -1 for scene in facts]
    return Split(
        torch.from_numpy(pixels),
        captions=tuple(c for five in captions for c in five),
        owner=torch.arange(count).repeat_interleave(CAPTIONS_PER_IMAGE),
        concepts=concepts_of(CONCEPTS, shown, prompts),
    )


def prompts(name: str) -> tuple[str, ...]:
    """Texts that ask for a concept: the captions' own templates, without size and place."""
    return tuple(template.format(name) for template in PROMPTS)


def _facts(rng: np.random.Generator, count: int) -> list[list[Thing]]:
    """For each scene its objects, in places of their own."""

    def pick(options) -> str:
        return tuple(options)[rng.integers(len(options))]

    scenes = []
    for objects in rng.choice([1, 2, 3], count, p=[0.2, 0.4, 0.4]):
        places = rng.choice(9, objects, replace=False)
        scenes.append([(pick(SIZES), pick(COLOURS), pick(draw.OUTLINES), int(place)) for place in places])
    return scenes


def _paint_slot(rng: np.random.Generator, canvas: np.ndarray, objects: list) -> None:
    """Paint at most one object into each scene, grouped by outline so that drawing stays vectorised."""
    for outline in draw.OUTLINES:
        rows = np.array([i for i, thing in enumerate(objects) if thing and thing[2] == outline], dtype=int)
        if not len(rows):
            continue
        bounds = np.array([SIZES[objects[i][0]] for i in rows], dtype=np.float32)
        radius = rng.uniform(bounds[:, 0], bounds[:, 1]).astype(np.float32)
        place = np.array([objects[i][3] for i in rows])
        jitter = rng.uniform(-0.06, 0.06, (2, len(rows)))
        x = ((place % 3 - 1) * 0.64 + jitter[0]).astype(np.float32)
        y = ((place // 3 - 1) * 0.64 + jitter[1]).astype(np.float32)
        angle = rng.normal(0, 0.1, len(rows)).astype(np.float32)
        colour = np.array([COLOURS[objects[i][1]] for i in rows]) + rng.uniform(-0.08, 0.08, (len(rows), 3))
        colour = np.clip(colour, 0, 1).astype(np.float32)
        for at in draw.batches(np.arange(len(rows))):
            u, v = draw.local(SIDE, x[at], y[at], radius[at], angle[at])
            part = canvas[rows[at]]
            draw.paint(part, draw.coverage(outline, u, v, radius[at]), colour[at])
            canvas[rows[at]] = part


def _captions(rng: np.random.Generator, scene: list[Thing]) -> list[str]:
    """Five captions of one scene; each orders the objects anew, two leave something out."""

    def phrase(thing: Thing, size: bool, place: bool) -> str:
        words = ["a", *([thing[0]] if size else []), thing[1], thing[2]]
        return " ".join([*words, PLACES[thing[3] // 3][thing[3] % 3]] if place else words)

    def describe(size: bool, place: bool) -> str:
        order = rng.permutation(len(scene))
        return " and ".join(phrase(scene[i], size, place) for i in order)

    return [
        f"a picture of {describe(True, True)}",
        f"{describe(True, True)} on a plain ground",
        f"there is {describe(False, True)}",
        f"we see {describe(True, False)}",
        describe(False, True),
    ]


def vocabulary() -> tuple[str, ...]:
    """Every word a caption can contain, sorted."""
    words = {"a", "picture", "of", "and", "on", "plain", "ground", "there", "is", "we", "see"}
    words |= set(SIZES) | set(COLOURS) | set(draw.OUTLINES)
    words |= {word for row in PLACES for place in row for word in place.split()}
    return tuple(sorted(words))
