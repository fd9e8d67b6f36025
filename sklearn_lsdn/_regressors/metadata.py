"""What a meta-estimator hands on to the estimator that it trains."""

import numpy as np
from sklearn import get_config
from sklearn.utils import metadata_routing as routing
from sklearn.utils.validation import has_fit_parameter

from .roles import role_of


def of_rows(metadata, rows) -> dict:
    """Metadata of some samples, without groups of which none could be held out.

    Parameters
    ----------
    metadata : dict of str to ndarray of shape (n_samples,)
    rows : ndarray or slice
    """
    given = {name: values[rows] for name, values in metadata.items()}
    if "groups" in given and len(np.unique(given["groups"])) < 2:
        del given["groups"]
    return given


def given_to_fit(owner, estimator, **metadata) -> dict:
    """What of its metadata a meta-estimator gives to its estimator's ``fit``.

    Parameters
    ----------
    owner : meta-estimator
        Whose ``get_metadata_routing`` counts where scikit-learn's routing is enabled.
    estimator : regressor
    **metadata
        ``sample_weight`` and ``groups``, which may be None.

    Raises
    ------
    TypeError
        If there is a ``sample_weight``, which the estimator does not take.
    """
    given = {name: value for name, value in metadata.items() if value is not None}
    if get_config()["enable_metadata_routing"]:
        return routing.process_routing(owner, "fit", **given).estimator.fit
    if "sample_weight" in given and not has_fit_parameter(estimator, "sample_weight"):
        raise TypeError(
            f"{type(estimator).__name__} takes no sample_weight. To pass it to what a "
            "Pipeline holds, enable scikit-learn's metadata routing."
        )
    if not role_of(estimator).takes_groups:
        given.pop("groups", None)
    return given
