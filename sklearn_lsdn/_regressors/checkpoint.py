"""Checkpoints: training that was cut off goes on where it was."""

import platform
import zipfile
from numbers import Integral
from pathlib import Path

import joblib
import numpy as np

from .._utils.files import check_output, written_whole
from .._version import __version__

_FREE = ("max_iter", "n_jobs", "verbose")  # parameters that may change in between


class Checkpoint:
    """Callback that keeps the state of a network's training in a file.

    When `fit` is called again with the same data, parameters and seed, it goes on
    after the last epoch that was kept, and ends with the bits of a training that was
    never cut off. ``max_iter`` may have grown meanwhile.

    Parameters
    ----------
    path : str or path-like
        The file, customarily ``.npz``. It stays when training ends, and calling `fit`
        then once more trains no further.
    every : int, default=1
        Epochs from one checkpoint to the next.

    See Also
    --------
    LSDNRegressor : Its ``set_callbacks`` takes this.

    Notes
    -----
    It needs ``solver="adam"`` or ``solver="sgd"`` and a whole number as
    ``random_state``. Networks that train at the same time, or one after another as in
    an ensemble or a search, need a file each. `partial_fit` keeps nothing.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> from sklearn_lsdn import LSDNRegressor
    >>> from sklearn_lsdn._regressors.checkpoint import Checkpoint
    >>> X = np.random.RandomState(0).uniform(size=(100, 4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(pathlib.Path(folder) / "training.npz")
    ...     network = LSDNRegressor((5,), random_state=0, max_iter=3)
    ...     network = network.set_callbacks(checkpoint).fit(X, X[:, 0])
    ...     network = network.set_params(max_iter=5).fit(X, X[:, 0])  # two epochs
    >>> whole = LSDNRegressor((5,), random_state=0, max_iter=5).fit(X, X[:, 0])
    >>> bool((network.predict(X) == whole.predict(X)).all())
    True
    """

    def __init__(self, path, *, every=1):
        self.path = path
        self.every = every

    # What scikit-learn asks of callbacks; `fit` itself reads and writes.

    def setup(self, estimator, context):
        if not hasattr(estimator, "hidden_layer_sizes"):
            raise TypeError(
                "A checkpoint keeps the training of a network: set it on the network "
                f"itself, not on {type(estimator).__name__}."
            )

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        pass


class TrainingRecord:
    """What a checkpoint file holds of one training.

    Parameters
    ----------
    checkpoint : Checkpoint or None
        Without one, nothing is kept.
    network : network regressor
        Which trains.
    trainer : Trainer
    progress : Progress
    rng : numpy.random.RandomState
    data : list of ndarray
        What else decides about the result.
    """

    def __init__(self, checkpoint, network, trainer, progress, rng, data):
        self._checkpoint = checkpoint
        self._network = network
        self._trainer = trainer
        self._progress = progress
        self._rng = rng
        if checkpoint is not None:
            if not isinstance(checkpoint.every, Integral) or checkpoint.every < 1:
                raise ValueError(
                    "every must be a whole number of epochs from 1, got "
                    f"{checkpoint.every!r}."
                )
            check_output(checkpoint.path, overwrite=True)
            parameters = network.get_params(deep=False)
            if not isinstance(network.random_state, Integral):
                raise ValueError(
                    "A checkpoint needs a whole number as random_state: without one, "
                    "a training cannot be repeated."
                )
            fixed = {k: v for k, v in parameters.items() if k not in _FREE}
            names = type(network).__name__, repr(fixed)
            where = __version__, np.__version__, platform.machine()
            self._key = joblib.hash(
                (names, where, trainer.theta, rng.get_state(), data)
            )

    def restore(self):
        """Go back to where the file was written, if there is one.

        Returns
        -------
        best_theta : float32 array or None
            The best parameters until then, if that was watched.

        Raises
        ------
        ValueError
            If it is no checkpoint, or that of another training.
        """
        if self._checkpoint is None or not Path(self._checkpoint.path).exists():
            return None
        path = self._checkpoint.path
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
                state = {name: saved[name] for name in saved.files}
            key = str(state["key"])
            n_iter = len(state["losses"])
        except (EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile):
            raise ValueError(
                f"{path} is not a checkpoint, or damaged. Delete it to begin anew, or "
                "choose another file."
            ) from None
        if key != self._key:
            raise ValueError(
                f"{path} is the checkpoint of another training: its data, parameters, "
                "seed or software differ. Delete it, or choose another file."
            )
        network = self._network
        if n_iter > network.max_iter:
            raise ValueError(
                f"{path} is already at epoch {n_iter}, beyond "
                f"max_iter={network.max_iter}. Delete it, or choose another file."
            )
        self._trainer.theta[:] = state["theta"]
        moments = {name: state[name] for name in ("first_moment", "second_moment")}
        counts = {name: int(state[name]) for name in ("n_epochs", "n_steps")}
        self._trainer.set_state(moments | counts)
        self._progress.best = float(state["best_loss"])
        self._progress.waiting = int(state["waiting"])
        self._rng.set_state(("MT19937", state["rng_keys"], *state["rng_rest"].tolist()))
        network.n_iter_ = n_iter
        network.loss_curve_ = state["losses"].tolist()
        if network.validation_loss_curve_ is not None:
            network.validation_loss_curve_ = state["watched_losses"].tolist()
        return state["best_theta"] if state["best_theta"].size else None

    def keep(self, best_theta, last):
        """Write the file, if it is time."""
        checkpoint, network = self._checkpoint, self._network
        if checkpoint is None or (network.n_iter_ % checkpoint.every and not last):
            return
        _, keys, *rest = self._rng.get_state()
        with (
            written_whole(checkpoint.path, overwrite=True) as temporary,
            open(temporary, "wb") as file,
        ):
            np.savez(
                file,
                key=self._key,
                theta=self._trainer.theta,
                **self._trainer.get_state(),
                best_loss=self._progress.best,
                waiting=self._progress.waiting,
                best_theta=np.empty(0) if best_theta is None else best_theta,
                rng_keys=keys,
                rng_rest=np.array(rest, dtype=object).astype(np.float64),
                losses=network.loss_curve_,
                watched_losses=network.validation_loss_curve_ or [],
            )


def find_checkpoint(estimator) -> Checkpoint | None:
    """The checkpoint among an estimator's callbacks."""
    callbacks = getattr(estimator, "_skl_callbacks", [])
    found = [each for each in callbacks if isinstance(each, Checkpoint)]
    if found and estimator.solver == "lbfgs":
        raise ValueError('A checkpoint needs solver="adam" or solver="sgd".')
    return found[0] if found else None
