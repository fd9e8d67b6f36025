"""Pictures of a report."""

import io
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np

from .._utils.optional import require
from ..display import LossCurveDisplay, NodesDisplay, SynthesisDisplay
from ..display._figures import as_webp, bare_figure, figure_to_save
from ..display._panels import draw_panels
from ..display._slices import PLANES, Brain, choose_slices
from ..display._synthesis import title_of
from ._view import View, least_shown

_DPI = 168  # of twice as many pixels as are shown
_ROOM = np.array([0, 0.54])  # inches beside and below panels
_BAR = 2.0, 0.4, 0.1  # width of a colour bar, where it begins, and height, in inches
_SLICES = 7  # of a mosaic
_drawing = Lock()  # matplotlib is not made for several threads


def checked_places(cut_coords, *, targets=True) -> list[float] | str | None:
    """Where the slices of a page lie, as `draw_subject` takes it.

    Parameters
    ----------
    cut_coords : sequence of 3 numbers or words for them, "worst" or None
    targets : bool, default=True
        Whether there will be errors to choose by.

    Raises
    ------
    ValueError
        If it is something else, or "worst" without errors.
    """
    if cut_coords is None:
        return None
    with suppress(TypeError, ValueError):
        given = [cut_coords] if isinstance(cut_coords, str) else list(cut_coords)
        if given == ["worst"] and targets:
            return "worst"
        places = [float(each) for each in given]
        if len(places) == 3 and np.isfinite(places).all():
            return places
    raise ValueError(
        "cut_coords (--cut-coords) must be x, y and z in mm or, where targets are "
        f"given, worst: got {cut_coords}."
    )


def how_chosen(cut_coords) -> str:
    """Where the slices of a page lie, for a person."""
    if cut_coords is None:
        return (
            "Slices lie in the middle of the brain, sagittal ones beside the fissure."
        )
    if isinstance(cut_coords, str):
        return "Slices lie where the mean absolute error of the method is largest."
    return (
        "Slices lie where they were asked for, x, y, z = {:g}, {:g}, {:g} mm.".format(
            *cut_coords
        )
    )


@dataclass(frozen=True)
class Picture:
    """A picture on a page.

    Parameters
    ----------
    data : bytes
        A WebP.
    width, height : int
        Its pixels.
    title : str, default=""
    kind : {"scan", "synthesis", "error", "standard deviation", "novelty"}, optional
        What is drawn.
    density : float, default=2
        Its pixels along each pixel of the page.
    """

    data: bytes
    width: int
    height: int
    title: str = ""
    kind: str = ""
    density: float = 2

    @classmethod
    def of(cls, figure, **more) -> "Picture":
        """Of a figure."""
        data = as_webp(figure, _DPI)
        return cls(data, *require("PIL.Image").open(io.BytesIO(data)).size, **more)

    @property
    def n_bytes(self) -> float:
        """What it takes on a page."""
        return len(self.data) * 4 / 3

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height on the page, where there is room."""
        density = max(1, self.density)
        return round(self.width / density), round(self.height / density)

    def scaled(self, factor, size) -> "Picture":
        """The same with so many times the pixels, and the size, along each side."""
        image = require("PIL.Image").open(io.BytesIO(self.data))
        image = image.resize((round(self.width * factor), round(self.height * factor)))
        file = io.BytesIO()
        image.save(file, "webp", quality=75, method=2)
        fewer = dict(width=image.width, height=image.height)
        density = self.density * factor / size
        return replace(self, data=file.getvalue(), density=density, **fewer)


@dataclass(frozen=True)
class Drawn:
    """What a page shows of a target contrast of a subject.

    Parameters
    ----------
    title : str
        What made the synthesis, and of which contrast it is.
    over : str
        What lies over it in the view, if anything.
    pictures : list of Picture
        Three planes of each image.
    mosaic : Picture
        Axial slices of target or source, synthesis and map, below each other.
    view : View
        To click through.
    elsewhere : str, default=""
        Which slices lie elsewhere than was asked for, if any.
    """

    title: str
    over: str
    pictures: list[Picture]
    mosaic: Picture
    view: View
    elsewhere: str = ""

    @property
    def scans(self) -> frozenset:
        """Which scans are shown, in which slices."""
        scans = (each for each in self.pictures if each.kind == "scan")
        return frozenset((each.title, each.data) for each in scans)


def draw_subject(
    subject,
    target,
    synthesis,
    std,
    novelty,
    source_names,
    target_name="",
    model="",
    cut_coords=None,
) -> Drawn:
    """Draw the images of a subject.

    Parameters
    ----------
    subject : Subject
    target, std, novelty : ndarray of shape (nx, ny, nz) or None
    synthesis : ndarray of shape (nx, ny, nz)
    source_names : list of str
        The contrast of each source that is there.
    target_name, model : str, default=""
        That of the target, and what made the synthesis.
    cut_coords : sequence of 3 float, "worst" or None, default=None
        Where the slices of pictures lie, each if the subject has brain there.
    """
    mask = subject.brain.mask
    several = subject.sources[0].among > 1
    volumes, titles = {}, {}
    sources = subject.sources, source_names, subject.own_volumes()
    for file, name, volume in zip(*sources, strict=True):
        role = f"source {file.contrast + 1}" if several else "source"
        volumes[role] = np.where(mask, volume, 0)
        titles[role] = title_of("source", name) if name else role
    made = "synthesis" + f" by {model}" * bool(model)
    volumes |= {"target": target, "synthesis": synthesis}
    volumes["error"] = None if target is None else synthesis - target
    volumes |= {"standard deviation": std, "novelty": novelty}
    titles |= {
        "target": title_of("target", target_name),
        "synthesis": title_of(made, target_name),
        "error": f"{made} - target",
        "standard deviation": f"standard deviation of the {made}",
    }
    shown = {name: each for name, each in volumes.items() if each is not None}
    affine = subject.sources[0].affine
    panels = SynthesisDisplay(shown, mask, affine, titles).panels()
    panels = dict(zip(shown, panels, strict=True))
    error = shown.get("error")
    cuts, elsewhere = _cuts(mask, affine, cut_coords, error)
    over = panels.get("standard deviation" if error is None else "error")
    below = [panels.get("target", panels[next(iter(shown))]), panels["synthesis"]]
    below += [over] if over else []
    with _drawing:
        pictures = [_planes(name, panel, cuts) for name, panel in panels.items()]
        mosaic = _mosaic(below, mask, affine)
        middle = [cut.position for cut in cuts]
        view = View.of(panels["synthesis"], over, mask, affine, middle)
    above = f"{over.title} from {least_shown(over):.3g} {over.unit} on" if over else ""
    title = panels["synthesis"].title
    return Drawn(title, above, pictures, mosaic, view, elsewhere)


def _cuts(mask, affine, cut_coords, error):
    """A slice of each plane: where it was asked for, if the subject has brain there.

    And which are not, in words.
    """
    if cut_coords is None or isinstance(cut_coords, str):
        cuts = choose_slices(mask, affine, None, cut_coords, error)
        return [cut for (cut,) in cuts], ""
    cuts, missed, positions = [], [], Brain(mask, affine).through(cut_coords)
    for axis, plane, position in zip("xyz", PLANES, positions, strict=True):
        try:
            cuts += choose_slices(mask, affine, plane, [position])[0]
        except ValueError:
            cuts += choose_slices(mask, affine, plane, 1)[0]
            missed.append(f"{axis} = {position:g} mm")
    if not missed:
        return cuts, ""
    return cuts, f"No brain at {' and '.join(missed)}: the middle is shown."


def _planes(name, panel, cuts):
    """A slice of each plane, below each other."""
    kind = name if panel.is_map or name == "synthesis" else "scan"
    return _picture(
        [[(panel, cut)] for cut in cuts],
        outline=name.startswith("source"),
        title=panel.title,
        kind=kind,
    )


def _mosaic(panels, mask, affine):
    """Axial slices, images below each other."""
    (row,) = choose_slices(mask, affine, "axial", _SLICES)
    cuts = {cut.position: cut for cut in row}.values()  # small brains have fewer
    title = f"From top to bottom: {', '.join(panel.title for panel in panels)}"
    return _picture([[(p, cut) for cut in cuts] for p in panels], title=title)


def _picture(cells, *, outline=False, **more):
    """Panels, with the colour bar of the last row."""
    axes = draw_panels(cells, figure=bare_figure, outline=outline, room=_ROOM)
    figure = axes[0, 0].figure
    width, height = figure.get_size_inches()
    across, bottom, thick = _BAR
    across = min(across / width, 0.9)
    place = 0.5 - across / 2, bottom / height, across, thick / height
    bar = figure.add_axes(place)
    cells[-1][0][0].scale(axes[-1, 0], cax=bar, orientation="horizontal")
    return Picture.of(figure, **more)


def draw_losses(curves) -> Picture:
    """Draw errors of training, and those on samples held out.

    Parameters
    ----------
    curves : dict of str to tuple
        Both curves of each network, the second None where nothing was held out.
    """
    figure = figure_to_save((7, 4.2))
    training = {name: curve for name, (curve, _) in curves.items()}
    held_out = {name: curve for name, (_, curve) in curves.items()}
    with _drawing:
        LossCurveDisplay(training, held_out).plot(figure.subplots())
        return Picture.of(figure)


def draw_nodes(synthesizer, source, mask=None) -> Picture:
    """Draw where the nodes of a synthesizer answer, as `NodesDisplay` does."""
    with _drawing:
        given = dict(mask=mask, figure=figure_to_save)
        return Picture.of(
            NodesDisplay.from_estimator(synthesizer, source, **given).figure_
        )
