"""What rooms above ask of a regressor, whichever it is.

`role_of` answers for networks, shrunken ones, ensembles and foreign regressors alike;
each class of this package registers its role where it is defined.
"""

from functools import singledispatch

from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from .._utils.checks import ensure


class Role:
    """The answers of a regressor of which this package knows nothing.

    Parameters
    ----------
    regressor : regressor
    """

    is_network = False
    """Whether it is one of the networks."""

    takes_groups = False
    """Whether its ``fit`` can use ``groups``."""

    shares_layers = False
    """Whether all targets have its layers in common, so that more cost little."""

    maps = 4
    """Volumes that its predictions of a contrast take while they are made."""

    copies = 5
    """Copies of its training data that ``fit`` makes, as of boosted trees."""

    memorises = True
    """Whether it may know samples that it was trained on by heart, as a forest does."""

    takes_images = False
    """Whether it predicts images, and not rows."""

    classes = None
    """Labels that its images hold; None, if they hold intensities."""

    noise = None
    """What predicts the size of its errors and the factor on that, of an ensemble."""

    held_back = None
    """`HeldBackScores` of its errors where training was kept from, of an ensemble."""

    def __init__(self, regressor):
        self.regressor = regressor

    @property
    def n_outputs(self):
        """Number of targets that it was fitted to; None if it does not say.

        Of a classifier this is no number of probabilities.
        """
        if is_classifier(self.regressor):
            return None
        return vars(self.regressor).get("n_outputs_")

    def check_sizes(self, n_features, n_outputs):
        """Raise an error if it is not fitted, or says that it was to other sizes."""
        check_is_fitted(self.regressor)
        ensure(
            getattr(self.regressor, "n_features_in_", n_features) == n_features
            and self.n_outputs in (None, n_outputs),
            f"there are {n_features} features and {n_outputs} outputs, which are not "
            f"those of {type(self.regressor).__name__}",
        )

    @property
    def network(self):
        """The fitted network regressor that gives its answers; None if none alone."""
        return None

    @property
    def n_refinements(self) -> int:
        """How often it is shown what target patches around a voxel say together."""
        if not hasattr(self.regressor, "refine"):
            return 0
        return getattr(self.regressor, "n_refinements", 1)

    @property
    def of_all_sources(self):
        """The regressor of who lacks no source; None if there is none."""
        return self.regressor

    def within(self, padded) -> tuple:
        """The regressor that predicts these volumes, and what it reads of them.

        Parameters
        ----------
        padded : PaddedVolumes
            Some of them may be missing.
        """
        return self.regressor, padded

    def members(self) -> list:
        """The regressors whose mean it predicts: by default itself."""
        return [self.regressor]

    def networks(self) -> dict:
        """All fitted network regressors within, by what to call them."""
        return {}

    def reader(self, n_patch):
        """The Network that can read patches from volumes; None if rows must be made.

        Parameters
        ----------
        n_patch : int
            Columns of a patch, which come first.
        """
        return None

    def to_be_shrunk(self):
        """The network regressor that ShrinkConnect can shrink.

        Raises
        ------
        TypeError
            If there is none.
        """
        raise TypeError(
            "Only networks of this package can be shrunk, not a "
            f"{type(self.regressor).__name__}."
        )

    def tried(self) -> list:
        """What a search for a smaller network tried, as `ShrinkConnect.path_`."""
        return []

    def join(self, *, verbose, has_coordinates):
        """Take on what a synthesizer decides for what it trains.

        Parameters
        ----------
        verbose : int
        has_coordinates : bool
            Whether the last columns are coordinates.
        """

    def facts(self) -> dict:
        """What a person wants to know, by name, beside its class."""
        return {}


@singledispatch
def role_of(regressor) -> Role:
    """The role of a regressor; of a foreign one unless its class is registered."""
    return Role(regressor)


def refuse_labels(estimator, who) -> None:
    """Raise TypeError if the images that an estimator predicts hold labels.

    Parameters
    ----------
    estimator : estimator
    who : str
        What is for intensities alone.
    """
    if role_of(estimator).classes is not None:
        raise TypeError(
            f"{who} is for intensities, and a {type(estimator).__name__} predicts "
            "labels. Its score and predict_proba say how good they are."
        )


def facts_of_part(name, part) -> dict:
    """Facts of an estimator, after its class under this name."""
    return {name: type(part).__name__, **role_of(part).facts()}


class LocatedRole(Role):
    """A regressor of this package, which takes coordinates."""

    def join(self, *, verbose, has_coordinates):
        if not has_coordinates:
            self.regressor.set_params(coordinates=0)


class NetworkRole(LocatedRole):
    """LSDN, CDN or VDN."""

    is_network = True
    shares_layers = True
    memorises = False
    loss = (
        "half mean squared error, sum over outputs\n(targets scaled into 0.05 to 0.95)"
    )
    """What training minimises, for a person."""

    @property
    def n_outputs(self):
        return self.regressor.n_outputs_

    @property
    def takes_groups(self) -> bool:
        return bool(self.regressor.early_stopping)

    @property
    def copies(self) -> int:
        by_rows = self.regressor.solver != "lbfgs"
        return 1 + self.takes_groups if by_rows else super().copies

    @property
    def network(self):
        check_is_fitted(self.regressor)
        return self.regressor

    def networks(self):
        return {type(self.regressor).__name__: self.network}

    def reader(self, n_patch):
        network = self.network.network_
        return network if network.reads_patches(n_patch) else None

    def samples(self, X, y, sample_weight):
        """Samples as its network was trained on: X, targets in columns, weights.

        Raises
        ------
        ValueError
            If they are not of the kind that it was trained on.
        """
        raise NotImplementedError

    def to_be_shrunk(self):
        return self.network

    def join(self, *, verbose, has_coordinates):
        super().join(verbose=verbose, has_coordinates=has_coordinates)
        if verbose:
            self.regressor.set_params(verbose=verbose)

    def facts(self):
        regressor, network = self.regressor, self.network.network_
        inputs, *sizes = network.layer_sizes
        sizes = inputs + len(network.coordinate_columns), *sizes
        facts = {
            "kind": regressor.kind,
            "layers": "-".join(map(str, sizes)),
            "parameters": network.architecture.n_parameters,
        }
        if network.coordinate_columns:
            reach = network.sigma * network.scaling.coordinate_scale
            reach = " x ".join(f"{each:.3g}" for each in reach)
            facts["sigma"] = f"{network.sigma:g} ({reach} in units of the coordinates)"
        facts["epochs"] = f"{regressor.n_iter_}, {regressor.solver}"
        if regressor.solver != "lbfgs":
            facts["learning rate"] = f"{regressor.learning_rate_init:g}"
            if regressor.learning_rate_decay != 1:
                each = f", times {regressor.learning_rate_decay:g} each epoch"
                facts["learning rate"] += each
            size = regressor.batch_size
            facts["batch size"] = "up to 256" if size == "auto" else str(size)
        return facts | {"training loss": f"{regressor.loss_curve_[-1]:.5g}"}
