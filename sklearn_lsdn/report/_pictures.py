"""Pictures of a report."""

import io
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np

from .._utils.names import contrast_of
from .._utils.optional import require
from ..display import LossCurveDisplay, NodesDisplay, SynthesisDisplay
from ..display._figures import as_webp, bare_figure, figure_to_save
from ..display._panels import draw_panels
from ..display._slices import choose_slices
from ..display._synthesis import title_of

_DPI = 168  # of twice as many pixels as are shown
_ROOM = np.array([0, 0.5])  # inches beside and below panels
_BAR = 0.05, 0.052, 0.9, 0.012  # place of the colour bar, in parts of the figure
_drawing = Lock()  # matplotlib is not made for several threads


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
    def shown(self) -> tuple[int, int]:
        """Width and height on the page, where there is room."""
        density = max(1, self.density)
        return round(self.width / density), round(self.height / density)

    def scaled(self, factor) -> "Picture":
        """The same with so many times the pixels along each side."""
        image = require("PIL.Image").open(io.BytesIO(self.data))
        image = image.resize((round(self.width * factor), round(self.height * factor)))
        file = io.BytesIO()
        image.save(file, "webp", quality=75, method=2)
        fewer = dict(width=image.width, height=image.height)
        return replace(
            self, data=file.getvalue(), density=self.density * factor, **fewer
        )


def draw_subject(
    subject,
    target,
    synthesis,
    std,
    novelty=None,
    target_name="",
    model="",
    cut_coords=None,
) -> list[Picture]:
    """Draw three planes of each image of a subject.

    Parameters
    ----------
    subject : Subject
    target, std, novelty : ndarray of shape (nx, ny, nz) or None
    synthesis : ndarray of shape (nx, ny, nz)
    target_name, model : str, default=""
        The contrast, and what made the synthesis.
    cut_coords : sequence of 3 float, "worst" or None, default=None
        Where slices lie.
    """
    mask = subject.brain.mask
    several = subject.sources[0].among > 1
    volumes, titles = {}, {}
    for file, volume in zip(subject.sources, subject.own_volumes(), strict=True):
        role = f"source {file.contrast + 1}" if several else "source"
        volumes[role] = np.where(mask, volume, 0)
        titles[role] = title_of("source", contrast_of(file.path)) or role
        if several and titles[role] == "source":
            titles[role] = role
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
    if cut_coords == "worst" and target is None:
        cut_coords = None
    cuts = choose_slices(mask, affine, None, cut_coords, shown.get("error"))
    panels = SynthesisDisplay(shown, mask, affine, titles).panels()
    pictures = []
    with _drawing:
        for name, panel in zip(shown, panels, strict=True):
            axes = draw_panels(
                [[(panel, cut)] for (cut,) in cuts],
                figure=bare_figure,
                outline=name.startswith("source"),
                room=_ROOM,
            )
            figure = axes[0, 0].figure
            place = figure.add_axes(_BAR)
            panel.scale(axes[-1, 0], cax=place, orientation="horizontal")
            kind = name if panel.is_map or name == "synthesis" else "scan"
            pictures.append(Picture.of(figure, title=panel.title, kind=kind))
    return pictures


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
