"""What makes a network a classifier: outputs are probabilities of classes."""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if

from .._network.kernels.operands import LEAST, MOST
from .._utils.checks import ensure
from .._utils.sklearn_private import StrOptions, _fit_context, _is_fitted
from .classes import check_classes, validate_classes
from .network_estimator import PARAMETERS, NetworkEstimator, has_epochs
from .roles import NetworkRole, role_of

DOCUMENTED = dict(
    class_weight="""
    class_weight : dict, "balanced" or None, default=None
        Weight of each class in the loss, beside ``sample_weight``: by label, 1 where
        one is not named; or "balanced" for the same total weight for each class.
        Probabilities are then those where classes are as frequent as they weigh.""",
    classes="""
    classes_ : ndarray of shape (n_classes,)
        Labels, in order.""",
    loss="cross-entropy,",
    outputs="One for two classes, else one for each class.",
)


class NetworkClassifier(ClassifierMixin, NetworkEstimator):
    """LSDN, CDN or VDN as a classifier."""

    _parameter_constraints: dict = {
        **PARAMETERS,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _cross_entropy = True

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (200, 20),
        *,
        coordinates: int | str | Sequence[int | str] = "auto",
        sigma: float = 0.5,
        class_weight: Mapping | str | None = None,
        solver: str = "adam",
        alpha: float = 0.0,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.005,
        learning_rate_decay: float = 0.95,
        max_iter: int = 20,
        tol: float = 1e-4,
        n_iter_no_change: int = 5,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        shuffle: bool = True,
        average: int = 10,
        warm_start: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            coordinates=coordinates,
            sigma=sigma,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate_init=learning_rate_init,
            learning_rate_decay=learning_rate_decay,
            max_iter=max_iter,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            shuffle=shuffle,
            average=average,
            warm_start=warm_start,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Feature columns and coordinate columns side by side, in any units.
        y : array-like of shape (n_samples,)
            Labels of two classes or more, as numbers or strings.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample in the loss; samples of weight 0 are left out.
        groups : array-like of shape (n_samples,), default=None
            What each sample belongs to, such as its subject: ``early_stopping``
            then holds out ``validation_fraction`` of the groups, at least one, and
            each of them whole.
        X_val : array-like of shape (n_val_samples, n_features), default=None
            What ``early_stopping`` watches; nothing is then held out of ``X``.
        y_val : array-like of shape (n_val_samples,), default=None
            Labels of ``X_val``, which weigh as ``class_weight`` says.

        Returns
        -------
        self : object
            The fitted network.

        Raises
        ------
        ValueError
            If ``y`` holds one class alone, or numbers that are no labels; with
            ``warm_start``, if it holds a class that the network does not know.
            If ``X`` or ``y`` hold NaN or infinity, if their lengths differ, or if
            ``coordinates`` names a column that ``X`` lacks or leaves no feature;
            if there is but one group to hold out; if ``X_val`` comes without
            ``y_val``, or where nothing is watched.
        """
        return self._fit(X, y, sample_weight, groups, X_val, y_val)

    @available_if(has_epochs)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on the given samples.

        The first call fixes the scales of features and coordinates, so that its
        samples should be representative. The optimizer keeps its state
        from call to call; the learning rate stays ``learning_rate_init``, since
        nobody knows how many calls will come.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Feature columns and coordinate columns side by side.
        y : array-like of shape (n_samples,)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that this and later calls bring; the first call needs it.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample in the loss.

        Returns
        -------
        self : object
            The network, one epoch further.

        Raises
        ------
        ValueError
            As `fit`, and if classes are missing in the first call, or others in a
            later one; if ``class_weight="balanced"``, which takes all samples.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                'partial_fit does not know all samples, which class_weight="balanced" '
                "needs. Give the weight of each class."
            )
        first = not _is_fitted(self, "network_")
        if first or classes is not None:
            classes = check_classes(classes)
        if not (first or classes is None or np.array_equal(classes, self.classes_)):
            raise ValueError(
                f"classes are {classes.tolist()}, but were {self.classes_.tolist()} "
                "in the first call of partial_fit. Give the same, or none."
            )
        return self._fit_partially(X, y, sample_weight, classes=classes)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The columns of `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels.
        """
        p = self.predict_proba(X)
        return self.classes_[p.argmax(axis=1)]

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The columns of `fit`.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``, of sum 1, and none 0; float32 if ``X`` is.
        """
        psi = np.clip(self._outputs(X), LEAST, MOST)
        if psi.shape[1] == 1:
            return np.hstack([1 - psi, psi])
        return psi / psi.sum(axis=1, keepdims=True)

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The columns of `fit`.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        return np.log(self.predict_proba(X))

    def _validated(self, X, y, sample_weight, groups=None, *, fresh, classes=None):
        if not fresh:
            classes = self.classes_
        data, groups, self.classes_ = validate_classes(
            self, X, y, sample_weight, groups, classes, reset=fresh
        )
        return data, groups

    def _validated_to_watch(self, X_val, y_val, data):
        return validate_classes(
            self, X_val, y_val, None, classes=self.classes_, reset=False
        )[0]

    def _check_parts(self):
        super()._check_parts()
        classes, n = self.classes_, len(self.classes_)
        ensure(np.array_equal(np.unique(classes), classes), "classes are not in order")
        ensure(n > 1 and self.n_outputs_ == (n if n > 2 else 1), "classes are missing")


class _ClassifierRole(NetworkRole):
    loss = "cross-entropy"

    def samples(self, X, y, sample_weight):
        known = self.regressor.classes_
        data, *_ = validate_classes(
            self.regressor, X, y, sample_weight, classes=known, reset=False
        )
        return data

    def facts(self):
        classes = ", ".join(map(str, self.network.classes_))
        return {"classes": classes, **super().facts()}


@role_of.register
def _(regressor: NetworkClassifier):
    return _ClassifierRole(regressor)
