"""Training error against epochs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._regressors.roles import NetworkRole, role_of
from ._figures import Display, as_written, axes_or_new
from ._reading import check_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FEW = 10  # times the lowest error: below this, all ticks between have numbers
_FAR = 1000  # above this, none but powers of ten
# From dark to light, so that grey keeps them apart.
_COLORS = "#000000", "#0072b2", "#d55e00", "#009e73", "#56b4e9", "#e69f00"
_LINES = "-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2))
_MARKERS = "o", "s", "^", "D", "v", "P"
_MARKS = 10  # along each curve
# Where estimators keep those that they fitted, the likeliest first.
_HOLDERS = "estimators_", "estimator_", "best_estimator_", "regressor_", "estimator"


@dataclass(eq=False, repr=False)
class LossCurveDisplay(Display):
    """Errors of networks during training, epoch by epoch.

    Create it with `from_estimator` or `from_estimators`, which draw it.

    Parameters
    ----------
    curves : dict of str to list of float
        For each network its ``loss_curve_``: half the mean squared error of each
        epoch, summed over outputs, with targets scaled to 0.05 to 0.95; or, of a
        classifier, the cross-entropy.
    validation_curves : dict of str to list of float, default=None
        The same on data held back, of those networks that have it.
    loss : str, default=that of regressors
        What they show, for the axis.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        What was drawn on; as an array, ``axes_``.
    figure_ : matplotlib.figure.Figure
        Its figure.
    lines_ : dict of str to matplotlib.lines.Line2D
        Each network's training error.
    validation_lines_ : dict of str to matplotlib.lines.Line2D
        Each network's validation error.

    See Also
    --------
    LSDNRegressor : Has such a curve.

    References
    ----------
    H. V. Nguyen, K. Zhou and R. Vemulapalli, "Cross-domain synthesis of medical
    images using efficient location-sensitive deep network", MICCAI 2015, equation 1
    and figure 2b. :doi:`10.1007/978-3-319-24553-9_83`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn import LSDNRegressor
    >>> from sklearn_lsdn.display import LossCurveDisplay
    >>> X = np.random.RandomState(0).uniform(-1, 1, (500, 4))
    >>> network = LSDNRegressor((20, 5), random_state=0).fit(X, X[:, 0])
    >>> display = LossCurveDisplay.from_estimator(network)
    >>> display.ax_.get_xlabel()
    'epoch'
    """

    curves: dict[str, list[float]]
    validation_curves: dict[str, list[float]] | None = None
    loss: str = NetworkRole.loss

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, *, name: str | None = None, **parameters: Any
    ) -> Self:
        """Draw the curve of one network, or of each in an ensemble.

        Parameters
        ----------
        estimator : estimator
            A fitted network, or what holds some: a `VolumeSynthesizer`, an ensemble,
            a search, a `TransformedTargetRegressor`, or a Pipeline that ends in one.
        name : str, default=None
            Its name in the legend; by default, the network's class. Members of an
            ensemble are numbered after it.
        **parameters
            Parameters of `plot`, such as ``ax``.

        Returns
        -------
        display : LossCurveDisplay
            Drawn.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        TypeError
            If there is no ``loss_curve_`` in it.
        """
        first = next(iter(_networks(estimator).values()))
        name = name or type(first).__name__
        return cls.from_estimators({name: estimator}, **parameters)

    @classmethod
    def from_estimators(
        cls, estimators: dict[str, BaseEstimator], **parameters: Any
    ) -> Self:
        """Draw the curves of several networks.

        Parameters
        ----------
        estimators : dict of str to estimator
            By the names they shall have in the legend; as in `from_estimator`.
        **parameters
            Parameters of `plot`, such as ``ax``.

        Returns
        -------
        display : LossCurveDisplay
            Drawn.

        Raises
        ------
        NotFittedError
            If one of them is not fitted.
        TypeError
            If one of them has no ``loss_curve_``.
        ValueError
            If there is none.
        """
        check_named(estimators, "estimators")
        networks = {}
        for name, estimator in estimators.items():
            within = _networks(estimator)
            for label, each in within.items():
                networks[f"{name}, {label}" if len(within) > 1 else name] = each
        curves = {name: [*each.loss_curve_] for name, each in networks.items()}
        validation = {
            name: [*each.validation_loss_curve_]
            for name, each in networks.items()
            if each.validation_loss_curve_
        }
        losses = dict.fromkeys(role_of(each).loss for each in networks.values())
        return cls(curves, validation, "\nor ".join(losses)).plot(**parameters)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        figure: "Figure | None" = None,
        yscale: str = "log",
    ) -> Self:
        """Draw the curves.

        Networks differ in line, marker and lightness; errors on data held back
        have open markers and thin lines.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; by default, the axes of a new figure.
        figure : matplotlib.figure.Figure, default=None
            What to fill instead of its axes.
        yscale : {"log", "linear"}, default="log"
            Scale of the errors.

        Returns
        -------
        self : LossCurveDisplay
            With ``ax_``, ``figure_``, ``lines_`` and ``validation_lines_``.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If ``ax`` and ``figure`` are both given.
        """
        ax = axes_or_new(ax, figure, (6, 4.2))
        self.lines_, self.validation_lines_ = {}, {}
        for i, (name, curve) in enumerate(self.curves.items()):
            k, step = i % len(_COLORS), max(1, len(curve) // _MARKS)
            style = dict(
                color=_COLORS[k],
                linestyle=_LINES[k],
                marker=_MARKERS[k],
                markersize=5,
                # Staggered, so that markers of close curves do not hide each other.
                markevery=(int(i / len(self.curves) * step), step),
            )
            epochs = range(1, len(curve) + 1)
            label = f" {name}" if name.startswith("_") else name  # else it is hidden
            (self.lines_[name],) = ax.plot(epochs, curve, label=label, **style)
            if held_back := (self.validation_curves or {}).get(name):
                (self.validation_lines_[name],) = ax.plot(
                    range(1, len(held_back) + 1),
                    held_back,
                    label=f"{label}, validation",
                    **style,
                    linewidth=0.8,
                    markerfacecolor="white",
                )
        ax.set(
            xlabel="epoch",
            ylabel=self.loss,
            yscale=yscale,
        )
        ax.set_xlim(left=0)
        ax.xaxis.get_major_locator().set_params(integer=True)
        if yscale == "log":
            low, high = ax.get_ylim()
            few = high < _FEW * low
            between = () if few or high > _FAR * low else (2, 5)
            ax.yaxis.get_major_locator().set_params(subs=(1, *between))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter("{x:g}" if few else "")
        ax.grid(visible=True, which="both", color="0.9")
        many = len(ax.lines) > len(_COLORS)
        legend = ax.legend(fontsize="small" if many else None, ncols=1 + many)
        as_written(*legend.get_texts())
        return self._on_one(ax)


def _networks(estimator):
    """The networks themselves, out of whatever holds them."""
    check_is_fitted(estimator)
    if networks := role_of(estimator).networks():
        return networks
    if isinstance(estimator, Pipeline):
        return _networks(estimator[-1])
    for name in _HOLDERS:
        held = vars(estimator).get(name)
        if held is not None:
            break
    else:
        raise TypeError(
            f"{type(estimator).__name__} has no loss_curve_. Give a network of "
            "this package, or an estimator that holds one."
        )
    if name != "estimators_":
        return _networks(held)
    # An array has a row for each stage; a list may hold Pipelines, which look like one.
    members = map(_networks, held.flat if isinstance(held, np.ndarray) else held)
    return {
        f"member {i}" if len(each) == 1 else f"member {i}, {label}": network
        for i, each in enumerate(members, 1)
        for label, network in each.items()
    }
