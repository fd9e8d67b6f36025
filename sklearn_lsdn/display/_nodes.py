"""NodesDisplay: where a network answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from nibabel.affines import apply_affine
from scipy.special import expit
from sklearn.utils.validation import check_is_fitted

from .._regressors.roles import role_of
from ..volumes import VolumeSynthesizer
from ..volumes._subjects import Image, Mask
from ._figures import Display
from ._panels import Panel, draw_panels, window_of
from ._slices import choose_slices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NEAR = 10.0  # mm: nodes so close to a slice are drawn in it


@dataclass(eq=False, repr=False)
class NodesDisplay(Display):
    """Where the first layer of a location-sensitive network answers, over a brain.

    Colours are the mean over nodes of how much of its answer each gives at a place:
    1 where all answer in full, with lines where the scan changes most. Dots are the
    latent coordinates of nodes within 10 mm of the slice, but of none below the brain.

    Create it with `from_estimator`, which draws it.

    Parameters
    ----------
    volume : ndarray of shape (nx, ny, nz)
        A scan.
    mask : ndarray of bool of shape (nx, ny, nz)
        The brain.
    affine : ndarray of shape (4, 4)
        From voxels to world mm.
    world_to_places : ndarray of shape (4, 4)
        From world mm to where the network takes a voxel to lie.
    nodes : ndarray of shape (n_nodes, 3)
        Latent coordinates, among such places.
    reach : ndarray of shape (3,)
        Sigma along each axis, likewise.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes of shape (1, n_slices)
        What was drawn on.
    figure_ : matplotlib.figure.Figure
        Their figure.

    See Also
    --------
    LSDNRegressor : Has such nodes.

    Examples
    --------
    >>> from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> from sklearn_lsdn.display import NodesDisplay
    >>> cohort = make_brain_cohort(1, voxel_size=8, random_state=0)
    >>> t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]
    >>> network = LSDNRegressor((30, 5), max_iter=2)
    >>> synthesizer = VolumeSynthesizer(network, random_state=0).fit(t1w, t2w)
    >>> display = NodesDisplay.from_estimator(synthesizer, t1w[0])
    >>> display.nodes.shape
    (30, 3)
    """

    volume: np.ndarray
    mask: np.ndarray
    affine: np.ndarray
    world_to_places: np.ndarray
    nodes: np.ndarray
    reach: np.ndarray

    @classmethod
    def from_estimator(
        cls,
        synthesizer: VolumeSynthesizer,
        source: Image | Sequence[Image],
        *,
        mask: Mask | None = None,
        **plot_parameters: Any,
    ) -> Self:
        """Draw the nodes of a synthesizer's network, or of the first of an ensemble.

        Parameters
        ----------
        synthesizer : VolumeSynthesizer
            Fitted.
        source : path, nibabel image or list of them
            A subject's source contrasts; the first is shown.
        mask : path, image or array, default=None
            The brain, as an entry of ``masks`` of `VolumeSynthesizer.predict`.
        **plot_parameters
            Parameters of `plot`.

        Returns
        -------
        display : NodesDisplay
            Drawn.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        ValueError
            If no network in it has nodes that lie somewhere.
        """
        check_is_fitted(synthesizer)
        network = located_network(synthesizer)
        if network is None:
            raise ValueError(
                "No network of the synthesizer has nodes in a brain: only those of "
                "LSDNRegressor have, and only if places is not None."
            )
        (sources,), _ = synthesizer.preparation_.open([source], masks=[mask])
        subject = synthesizer.preparation_.read(sources)
        trained = network.network_
        return cls(
            np.where(subject.mask, subject.volumes[0], 0),
            subject.mask,
            subject.affine,
            subject.world_to_places,
            network.latent_coordinates_,
            trained.sigma * trained.scaling.coordinate_scale,
        ).plot(**plot_parameters)

    def plot(
        self,
        ax: "Axes | np.ndarray | None" = None,
        *,
        figure: "Figure | None" = None,
        plane: str | None = None,
        cut_coords: int | Sequence[float] | None = None,
    ) -> Self:
        """Draw slices.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or ndarray of them, default=None
            Axes whose place is taken, or an array like ``axes_``; what was drawn there
            before goes.
        figure : matplotlib.figure.Figure, default=None
            What to fill instead of its axes; by default, a new figure of pyplot.
        plane : {"axial", "coronal", "sagittal"}, default=None
            How slices lie; by default, all three.
        cut_coords : int or sequence of float, default=None
            As of `SynthesisDisplay.plot`; by default, one slice of each plane.

        Returns
        -------
        self : NodesDisplay
            With ``axes_`` and ``figure_``.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If a slice is asked for where there is no brain, or ``ax`` and ``figure``
            are both given.
        """
        window = window_of(self.volume, self.mask)
        scan = Panel.of_scan("", self.volume, window)
        rows = choose_slices(self.mask, self.affine, plane, cut_coords)
        cuts = [cut for row in rows for cut in row]
        cells = [[(scan, cut) for cut in cuts]]
        axes = draw_panels(cells, figure=figure, ax=ax, room=(0.9, 0.1))
        drawn = [np.where(c.brain, self._answers(c.places), np.nan) for c in cuts]
        nodes = apply_affine(np.linalg.inv(self.world_to_places), self.nodes)
        most = max(map(np.nanmax, drawn))
        for ax, cut, answers in zip(axes[0], cuts, drawn, strict=True):
            image = cut.draw_over(ax, answers, cmap="viridis", vmin=0, vmax=most)
            look = dict(colors="black", linewidths=0.4, zorder=2.5)
            cut.draw_edges(ax, self.volume, **look)
            near = nodes[abs(cut.distance(nodes)) < _NEAR]
            look = dict(color="white", edgecolors="black", linewidths=0.6)
            dots = cut.flat(near)
            dots = dots[cut.is_above_the_position(dots)]
            ax.scatter(*dots.T, s=12, zorder=3, **look)
        label = f"mean answer of the nodes\n(dots: those within {_NEAR:g} mm)"
        axes[0, 0].figure.colorbar(image, ax=[*axes.flat], label=label, pad=0.01)
        return self._on(axes)

    def _answers(self, points):
        """Mean of the spatial responses of all nodes at points in world mm."""
        places = apply_affine(self.world_to_places, points)
        total = np.zeros(places.shape[:-1])
        for node in self.nodes:
            total += 2 * expit(-(((places - node) / self.reach) ** 2).sum(axis=-1))
        return total / len(self.nodes)


def located_network(synthesizer):
    """The first network whose nodes lie somewhere, or None."""
    networks = role_of(synthesizer.estimator_).networks().values()
    return next((n for n in networks if n.latent_coordinates_.shape[1] == 3), None)
