"""LSDNRegressor, and the networks it is compared with: CDN and VDN."""

from .._utils.persistable import persistable
from .network_regressor import _NetworkRegressor

_PARAMETERS = """
    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(200, 20)
        Number of nodes of each hidden layer, p_2 to p_(K-1). The default is the
        paper's LSDN-1; (400, 40) is its LSDN-2.
    coordinates : "auto", int or list of int or str, default="auto"
        Which columns of ``X`` are coordinates: "auto" for the last three (or as
        many as leave one feature), an int n for the last n, or a list of column
        indices or of DataFrame column names.
    sigma : float, default=0.5
        Width of the spatial response, where the coordinates of the training data
        span [-1, 1] along each axis: 0.5 is a quarter of the head's extent. Without
        effect in CDNRegressor and VDNRegressor, which have no such response.
    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        "sgd" is the paper's; "lbfgs" sees all samples at once in float64 and
        suits a few thousand of them.
    alpha : float, default=0.0
        Strength of an L2 penalty on the filters, taken for whitened features:
        ``alpha / (2 * n_samples)`` times the sum of their squares is added to the
        loss (with the total of ``sample_weight`` for ``n_samples``, where given).
    batch_size : int or "auto", default="auto"
        Samples per update. "auto" takes 256, and fewer (4 at least) where an
        epoch would have less than 400 updates.
    learning_rate_init : float, default=0.005
        Learning rate of the first epoch.
    learning_rate_decay : float, default=0.85
        Factor on the learning rate after each epoch.
    max_iter : int, default=20
        Largest number of epochs (of iterations for "lbfgs").
    tol : float, default=1e-4
        An epoch counts as progress if it brings the loss below ``1 - tol`` times
        the best so far.
    n_iter_no_change : int, default=5
        Training ends after so many epochs (iterations for "lbfgs") in a row
        without progress.
    early_stopping : bool, default=False
        Hold out ``validation_fraction`` of the samples at random, watch progress
        on them, and keep the network of the best epoch. Not for "lbfgs". `fit`
        takes ``groups`` to hold out whole, or ``X_val`` and ``y_val`` to watch.
    validation_fraction : float, default=0.1
        Share of the samples, or groups, held out if ``early_stopping``.
    shuffle : bool, default=True
        Visit the samples in a new random order each epoch.
    warm_start : bool, default=False
        Start `fit` from the network as it is, on its scales, instead of anew.
    n_jobs : int, default=None
        Threads in training (useful up to one for each 128 samples of a batch) and
        prediction. None is 1 unless a `joblib.parallel_config` says otherwise, -1
        all cores. The result does not depend on it.
    random_state : int, RandomState instance or None, default=None
        Seed of initial parameters, held-out samples and sample order.
    verbose : int, default=0
        Print the loss of each epoch if positive.

    Attributes
    ----------
    network_ : Network
        The trained network, a value: the three attributes below are views of it.
    coefs_ : list of ndarray of shape (n_inputs, n_outputs)
        Filters of each layer, F(2) to F(K), transposed. The first layer's are for
        ``X`` as it came, in its units: standardisation and whitening are folded in.
    intercepts_ : list of ndarray of shape (n_outputs,)
        Biases of each layer, b(2) to b(K).
    latent_coordinates_ : ndarray of shape (p_2, n_coordinates)
        Centres of the spatial responses, in the units of ``X``.{latent}
    loss_curve_ : list of float
        Training loss of each epoch, equation (1), on targets scaled to the range
        of the logistic function and averaged while the epoch trains.
    validation_loss_curve_ : list of float or None
        The same on the held-out samples after each epoch, if ``early_stopping``; NaN
        for epochs of ``partial_fit``, which watches nothing.
    n_iter_ : int
        Number of epochs.
    n_outputs_ : int
        Number of targets.
    n_features_in_ : int
        Number of columns of ``X``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if ``X`` had names that are strings."""


def _documented(latent):
    """Put the parameters that the three classes share into a docstring."""

    def fill(cls):
        if cls.__doc__ is not None:  # as python -OO has it
            parameters = _PARAMETERS.replace("{latent}", latent)
            cls.__doc__ = cls.__doc__.replace("    {parameters}", parameters)
        return cls

    return fill


@persistable("sklearn_lsdn")
@_documented("")
class LSDNRegressor(_NetworkRegressor):
    """Location-sensitive deep network.

    A neural network whose first hidden layer multiplies what it sees by where it
    sees it: each of its nodes responds to the features and is switched on only
    near a latent coordinate, which is learned. Made to predict one MR contrast
    from another, it regresses any target on features observed at locations.

    Read more in :class:`VolumeSynthesizer`, which makes features and coordinates
    of images.
    {parameters}

    See Also
    --------
    CDNRegressor : Coordinates concatenated to the features.
    VDNRegressor : No coordinates.
    VolumeSynthesizer : From images to images.

    Notes
    -----
    With features s and coordinates x, the hidden layers are

    .. math::
        h^{(2)} &= \\gamma(F^{(2)} s + b^{(2)}) \\odot
            2 \\gamma(-\\|x - \\hat x_i\\|^2 / \\sigma^2)_i

        h^{(k)} &= \\gamma(F^{(k)} h^{(k-1)} + b^{(k)})

    with the logistic function :math:`\\gamma`; the last of them is the output.
    Filters, biases and latent coordinates :math:`\\hat x_i` minimise half the mean
    squared error (equations 1 to 8 of [1]_). Training as in [1]_ is
    ``solver="sgd", learning_rate_init=0.25, learning_rate_decay=0.99,
    max_iter=300, n_iter_no_change=300``.

    A logistic output cannot leave its range: predictions stay within the range of
    the training targets, widened by 5 % of the output's range on either side.

    The same ``random_state`` gives the same network, bit for bit.

    References
    ----------
    .. [1] H. V. Nguyen, K. Zhou and R. Vemulapalli, "Cross-domain synthesis of
       medical images using efficient location-sensitive deep network", MICCAI
       2015, LNCS 9349, 677-684. :doi:`10.1007/978-3-319-24553-9_83`

    Examples
    --------
    One feature whose meaning depends on where it is measured:

    >>> import numpy as np
    >>> from sklearn_lsdn import LSDNRegressor
    >>> rng = np.random.RandomState(0)
    >>> feature, x = rng.uniform(-1, 1, (2, 2000))
    >>> y = np.where(x > 0, feature, -feature)
    >>> model = LSDNRegressor((30, 10), coordinates=1, random_state=0)
    >>> model.fit(np.column_stack([feature, x]), y).score(
    ...     np.column_stack([feature, x]), y) > 0.9
    True
    """

    def _split_columns(self, coordinates, others):
        return others, coordinates


@persistable("sklearn_lsdn")
@_documented(" Empty: this network has none.")
class CDNRegressor(_NetworkRegressor):
    """Concatenation deep network: coordinates are features like any other.

    The comparison of the paper in which a plain network with logistic nodes gets
    the coordinates beside the features [1]_.
    {parameters}

    See Also
    --------
    LSDNRegressor : Multiplies features and locations.
    VDNRegressor : No coordinates.

    Notes
    -----
    The paper's CDN is ``hidden_layer_sizes=(400, 40)``.

    References
    ----------
    .. [1] H. V. Nguyen, K. Zhou and R. Vemulapalli, "Cross-domain synthesis of
       medical images using efficient location-sensitive deep network", MICCAI
       2015, LNCS 9349, 677-684. :doi:`10.1007/978-3-319-24553-9_83`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn import CDNRegressor
    >>> X = np.random.RandomState(0).uniform(-1, 1, (2000, 4))
    >>> model = CDNRegressor((30, 10), random_state=0).fit(X, X[:, 0] * X[:, 3])
    >>> model.score(X, X[:, 0] * X[:, 3]) > 0.9
    True
    """

    def _split_columns(self, coordinates, others):
        return [*others, *coordinates], []


@persistable("sklearn_lsdn")
@_documented(" Empty: this network has none.")
class VDNRegressor(_NetworkRegressor):
    """Vanilla deep network: coordinate columns are left out.

    The comparison of the paper in which a plain network with logistic nodes sees
    the features alone [1]_. It takes the same ``X`` as the other two.
    {parameters}

    See Also
    --------
    LSDNRegressor : Multiplies features and locations.
    CDNRegressor : Coordinates concatenated to the features.

    Notes
    -----
    The paper's VDN is ``hidden_layer_sizes=(400, 40)``.

    References
    ----------
    .. [1] H. V. Nguyen, K. Zhou and R. Vemulapalli, "Cross-domain synthesis of
       medical images using efficient location-sensitive deep network", MICCAI
       2015, LNCS 9349, 677-684. :doi:`10.1007/978-3-319-24553-9_83`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn import VDNRegressor
    >>> X = np.random.RandomState(0).uniform(-1, 1, (2000, 4))
    >>> VDNRegressor((30, 10), random_state=0).fit(X, X[:, 0] ** 2).score(
    ...     X, X[:, 0] ** 2) > 0.9
    True
    """

    def _split_columns(self, coordinates, others):
        return others, []
