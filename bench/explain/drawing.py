"""Draws the picture that explains a case: maps over images, and what is nearest to each query, as a PNG."""

import io
import textwrap
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.data.split import Split
from bench.kit.figures import drawing
from bench.plan.case import Case

DOTS_PER_INCH = 110
ACROSS = 6  # a query and what is nearest to it
SAME, OTHER = "#009E73", "#C8102E"


@dataclass(frozen=True)
class Maps:
    """Where a model looks in some images: ``values [B, G, G]``, and over which ``pixels [B, 3, H, W]`` it lies.

    ``values`` is None for a model that has no map; ``meaning`` says what the map is, or why there is none.
    """

    values: Tensor | None
    pixels: Tensor
    meaning: str


@dataclass(frozen=True)
class Neighbours:
    """What is nearest to each query: rows of images ``[Q, K]``, and for captions the row ``[Q]`` of the one ranked first."""

    images: Tensor
    captions: Tensor | None


@dataclass(frozen=True)
class Contents:
    """What the picture of a case shows of ``split``: the rows ``looked_at``, and ``queries``; of each the teacher's and
    the student's maps and neighbours, in this order. ``seed`` is that of the draw of rows."""

    case: Case
    split: Split
    seed: int
    looked_at: list[int]
    queries: list[int]
    maps: tuple[Maps, Maps]
    neighbours: tuple[Neighbours, Neighbours]


@drawing({})
def draw(contents: Contents, side: int, colours: int | None) -> bytes:
    """The whole picture as a PNG of so many colours, its images at most ``side`` pixels wide."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    lines, below = -(-len(contents.looked_at) // 2), 2 * len(contents.queries)
    # Inches: a cell is 1.3 wide; what is above, between and below the cells is text.
    middle = 1.0 + lines * 1.4
    height = middle + 0.9 + below * 1.65
    figure = Figure(figsize=(8.6, height), dpi=DOTS_PER_INCH)
    sides = {"left": 0.01, "right": 0.99}
    grid = figure.add_gridspec(lines, ACROSS, top=1 - 1.1 / height, bottom=1 - middle / height, hspace=0.05, **sides)
    _draw_maps(figure, grid, contents, side)
    grid = figure.add_gridspec(below, ACROSS, top=1 - (middle + 0.75) / height, bottom=0.02, hspace=0.3, **sides)
    _draw_neighbours(figure, grid, contents, side)
    _write_around(figure, contents, 1 - (middle + 0.15) / height)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    whole = Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba())).convert("RGB")
    file = io.BytesIO()
    if colours:
        whole = whole.quantize(colours, dither=Image.Dither.NONE)
    whole.save(file, format="PNG", optimize=True)
    return file.getvalue()


def _write_around(figure, contents: Contents, middle: float) -> None:
    """The title, what is shown, and above the neighbours at height ``middle`` what they are."""
    case, rows = contents.case, [", ".join(map(str, each)) for each in (contents.looked_at, contents.queries)]
    sizes = ["" if one.values is None else f", {one.values.shape[1]} × {one.values.shape[2]}" for one in contents.maps]
    teacher, student = (
        f"{one.meaning}{size}".replace("\n", " ") for one, size in zip(contents.maps, sizes, strict=True)
    )
    about_maps = (
        f"Held-out images {rows[0]} and queries {rows[1]} of {len(contents.split):,}, drawn with seed {contents.seed}: the "
        f"same for every case of {case.dataset}. Teacher: {teacher}. Student: {student}. Each map is scaled from its own "
        "smallest to its own largest value."
    )
    figure.text(0.01, 0.995, case.id, fontsize=13, weight="bold", va="top")
    figure.text(0.01, 1 - 0.3 / figure.get_figheight(), textwrap.fill(about_maps, 125), fontsize=9, va="top")
    frames = {
        "classification": "Green and solid: of the query's class; red and dashed: of another.",
        "captions": "Under each line: the caption that is ranked first.",
        "images": "",
    }
    about_neighbours = (
        f"The {ACROSS - 1} nearest of all held-out images under the teacher's and the student's embedding. "
    )
    figure.text(0.01, middle, textwrap.fill(about_neighbours + frames[case.kind], 120), fontsize=9, va="top")


def _draw_maps(figure, grid, contents: Contents, side: int) -> None:
    """Image, teacher, student; two images in a line."""
    for position, row in enumerate(contents.looked_at):
        line, column = divmod(position, 2)
        cells = [figure.add_subplot(grid[line, 3 * column + offset]) for offset in range(3)]
        _show(cells[0], contents.split.pixels[row], side)
        for cell, one in zip(cells[1:], contents.maps, strict=True):
            # Grey, so that all colour in it is the map's.
            _show(cell, one.pixels[position].float().mean(dim=0).byte().expand(3, -1, -1), side)
            [image] = cell.images
            if one.values is None:
                image.set_alpha(0.15)
                cell.text(0.5, 0.5, one.meaning, transform=cell.transAxes, ha="center", va="center", fontsize=8)
            else:
                values, extent = one.values[position].numpy(), image.get_extent()
                cell.imshow(values, cmap="inferno", alpha=0.6, extent=extent, interpolation="nearest")
        if line == 0:
            for cell, name in zip(cells, ("image", "teacher", "student"), strict=True):
                cell.set_title(name, fontsize=9, pad=3)


def _draw_neighbours(figure, grid, contents: Contents, side: int) -> None:
    """For each query two lines, under the teacher and under the student."""
    split = contents.split
    for position, query in enumerate(contents.queries):
        cell = figure.add_subplot(grid[2 * position : 2 * position + 2, 0])
        _show(cell, split.pixels[query], side)
        cell.set_title(f"query {query}", fontsize=9, pad=3)
        _name(cell, split, query)
        for line, (who, one) in enumerate(zip(("teacher", "student"), contents.neighbours, strict=True)):
            cells = [figure.add_subplot(grid[2 * position + line, column]) for column in range(1, ACROSS)]
            for cell, row in zip(cells, one.images[position].tolist(), strict=True):
                _show(cell, split.pixels[row], side)
                _name(cell, split, row)
                if split.labels is not None:
                    _frame(cell, bool(split.labels[row] == split.labels[query]))
            cells[0].set_title(who, fontsize=9, pad=3, loc="left")
            if one.captions is not None:
                _first_caption(cells[0], split, query, int(one.captions[position]))


def _first_caption(cell, split: Split, query: int, caption: int) -> None:
    """Below a line's first cell, the caption that is ranked first, and whose it is."""
    whose = "its own" if int(split.owner[caption]) == query else "another image's"
    text = f"{whose}: {textwrap.shorten(split.captions[caption], 95, placeholder=' …')}"
    cell.text(0, -0.04, text, transform=cell.transAxes, fontsize=8.5, va="top", parse_math=False)


def _name(cell, split: Split, row: int) -> None:
    """The class of an image, below it."""
    if split.labels is not None:
        name = split.classes[int(split.labels[row])].split(",")[0][:20]
        cell.text(0.5, -0.05, name, transform=cell.transAxes, fontsize=8, ha="center", va="top", parse_math=False)


def _frame(cell, same: bool) -> None:
    style = {"color": SAME, "linestyle": "-"} if same else {"color": OTHER, "linestyle": (0, (2, 1.5))}
    cell.spines[:].set(visible=True, linewidth=3, **style)


def _show(cell, pixels: Tensor, side: int) -> None:
    """One image ``[3, H, W]`` without axes; shrunk where it is larger than ``side``."""
    if pixels.shape[-1] > side:
        small = F.interpolate(pixels[None].float(), (side, side), mode="bilinear", antialias=True)[0]
        pixels = small.round().clamp(0, 255).to(torch.uint8)
    cell.imshow(pixels.permute(1, 2, 0).numpy(), interpolation="nearest")
    cell.set(xticks=[], yticks=[])
    cell.spines[:].set_visible(False)
