"""Volumes drawn beside each other: one scale, one rule for limits, marked sides."""

from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from ._figures import empty, figure_for

_BLACK, _WHITE = 0.5, 99.5  # percentiles of the brain that are drawn so, or 0 is black
_ERROR = 0.5  # of what lies between: the error, or deviation, with the last colour
_WIDEST = 2.5  # inches of a panel in a new figure,
_ALL, _TALLEST = 13, 20  # of all panels in a row, and in a column
_OUTLINE = {True: "0.45", False: "#2fd6c3"}  # on maps and on scans
SCANNER = "scanner units"
TRAINED = "units of a typical training scan"


def window_of(volume, mask) -> tuple[float, float]:
    """Intensities to be drawn black and white."""
    black, white = np.percentile(volume[mask], [_BLACK, _WHITE]).tolist()
    black = min(0.0, black)
    return black, white if white > black else black + 1.0


@dataclass(eq=False)
class Panel:
    """A volume, and how it is drawn.

    Parameters
    ----------
    title : str
    volume : ndarray of shape (nx, ny, nz)
        A map is NaN outside the brain.
    low, high : float
        What gets the first and the last colour.
    unit : str
    cmap : str or matplotlib Colormap, default="gray"
    is_map : bool, default=False
        Whether it is drawn on white, in an outline of the brain, rather than on black.
    """

    title: str
    volume: np.ndarray
    low: float
    high: float
    unit: str = SCANNER
    cmap: object = "gray"
    is_map: bool = False

    @classmethod
    def of_scan(cls, title, volume, window, **more):
        """A scan or a synthesis."""
        return cls(title, volume, *window, **more)

    @classmethod
    def of_map(
        cls,
        kind,
        volume,
        mask,
        window,
        *,
        limit=None,
        cmap=None,
        title=None,
        unit=SCANNER,
    ):
        """An "error", "standard deviation" or "novelty".

        Errors and deviations have one scale, half of the scan's window, whatever the
        method, so that pictures can be compared.
        """
        top = _ERROR * (window[1] - window[0]) if limit is None else limit
        if not top > 0:
            raise ValueError(f"error_limit must be above 0, got {limit}.")
        colors, low, high, unit = {
            "error": ("RdBu_r", -top, top, unit),
            "standard deviation": ("magma", 0, top, unit),
            "novelty": ("inferno", 0, 4, "2 is one in a hundred"),
        }[kind]
        volume = np.where(mask, volume, np.nan)
        title = title or {"error": "synthesis - target"}.get(kind, kind)
        return cls(title, volume, low, high, unit, cmap or colors, True)

    def draw(self, ax, cut, size, *, outline=False):
        """Draw a slice, marked."""
        ax.set_facecolor("white" if self.is_map else "black")
        look = dict(cmap=self.cmap, vmin=self.low, vmax=self.high)
        cut.draw(ax, self.volume, size=size, **look)
        if outline or self.is_map:
            color = _OUTLINE[self.is_map]
            cut.draw_outline(ax, colors=color, linewidths=0.6)
        cut.mark(ax, "black" if self.is_map else "white")

    def scale(self, drawn, **place):
        """Draw the colour bar, with arrows where colours end before the values do."""
        known = self.volume[np.isfinite(self.volume)]
        beyond = (known < self.low).any(), (known > self.high).any()
        ends = ["neither", "max", "min", "both"][2 * beyond[0] + beyond[1]]
        bar = drawn.figure.colorbar(
            drawn.images[0], **place, label=self.unit, extend=ends, extendfrac=0.04
        )
        bar.ax.locator_params(nbins=4)
        bar.ax.tick_params(labelsize="small")
        return bar


def draw_panels(cells, *, figure=None, ax=None, outline=False, room=(0.1, 0.9)):
    """Draw slices of volumes in rows and columns, all at one scale.

    Parameters
    ----------
    cells : list of list of (Panel, Slice) or None
        What is drawn in each row; None leaves a place empty, as the end of a row does.
    figure : matplotlib figure or callable, default=None
        As in `figure_for`.
    ax : matplotlib axes or ndarray of them, default=None
        Axes whose place is taken, or as many as there are cells. What was drawn there
        before goes.
    outline : bool, default=False
        Whether to draw an outline of the brain on scans as well.
    room : tuple of float, default=(0.1, 0.9)
        Inches beside and below for labels and colour bars, of a new figure.

    Returns
    -------
    axes : ndarray of matplotlib.axes.Axes of shape (n_rows, n_columns)
    """
    cells = list(zip(*zip_longest(*cells), strict=True))
    sizes = np.array(
        [
            [np.ptp(cell[1].window, axis=1) if cell else (0, 0) for cell in row]
            for row in cells
        ]
    )
    widths, heights = sizes[..., 0].max(axis=0), sizes[..., 1].max(axis=1)
    axes = _axes(widths, heights, figure, ax, room)
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            if cell:
                size = widths[j], heights[i]
                cell[0].draw(axes[i, j], cell[1], size, outline=outline)
            else:
                axes[i, j].set_axis_off()
    return axes


def _axes(widths, heights, figure, ax, room):
    """Axes in rows and columns of these sizes in mm."""
    shape = len(heights), len(widths)
    ratios = dict(width_ratios=widths, height_ratios=heights)
    inches = min(_WIDEST, _ALL / len(widths)) / max(widths)
    inches = min(inches, _TALLEST / sum(heights))
    size = np.array([sum(widths), sum(heights)]) * inches + room
    new = figure is None or callable(figure)
    figure = figure_for(size, figure, ax)
    if figure is None:
        return _in_place(np.ravel(ax), shape, ratios)
    if new and (engine := figure.get_layout_engine()):
        engine.set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    elif new:
        right, bottom = room / size
        figure.subplots_adjust(0, bottom, 1 - right, 1, wspace=0, hspace=0.02)
    return figure.subplots(*shape, squeeze=False, **ratios)


def _in_place(given, shape, ratios):
    """Axes in the place of one, or as many as were given, without what was there."""
    n_panels = shape[0] * shape[1]
    if len(given) not in (1, n_panels):
        raise ValueError(
            f"ax holds {len(given)} axes, and {shape[0]} x {shape[1]} are drawn."
        )
    for ax in given:
        empty(ax)
    if len(given) == n_panels:
        return given.reshape(shape)
    (place,) = given
    place.set_axis_off()
    axes = _within(place, shape, ratios)
    place.lsdn_panels = list(axes.flat)
    return axes


def _within(place, shape, ratios):
    """Axes in the cell of a grid that a place lies in, or where it is without one."""
    if spec := place.get_subplotspec():
        return spec.subgridspec(*shape, **ratios).subplots(squeeze=False)
    figure = place.figure
    ends = "left", "bottom", "right", "top"
    box = dict(zip(ends, place.get_position().extents, strict=True))
    grid = figure.add_gridspec(*shape, **ratios, **box)
    bottoms, tops, lefts, rights = grid.get_grid_positions(figure)
    # Not in that grid, which a layout engine would spread over the whole figure.
    axes = [
        figure.add_axes([left, bottom, right - left, top - bottom])
        for bottom, top in zip(bottoms, tops, strict=True)
        for left, right in zip(lefts, rights, strict=True)
    ]
    return np.reshape(axes, shape)
