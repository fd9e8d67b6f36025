"""LSDNRegressor, and the networks it is compared with: CDN and VDN."""

from .._utils.persistable import persistable
from .network_estimator import NoPlaces, PlacesAsFeatures, ProductLayer, documented
from .network_regressor import DOCUMENTED, NetworkRegressor

_NO_PLACES = " Empty: this network has none."


@persistable("sklearn_lsdn", younger={"average": 1})
@documented(**DOCUMENTED)
class LSDNRegressor(ProductLayer, NetworkRegressor):
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
            2 \\gamma(-\\left\\|x - \\hat x{}_i\\right\\|^2 / \\sigma^2)_i \\\\
        h^{(k)} &= \\gamma(F^{(k)} h^{(k-1)} + b^{(k)})

    with the logistic function :math:`\\gamma`; the last of them is the output.
    Filters, biases and latent coordinates :math:`\\hat x{}_i` minimise half the mean
    squared error (equations 1 to 8 of [1]_). Training as in [1]_ is
    ``solver="sgd", learning_rate_init=0.25, learning_rate_decay=0.99,
    max_iter=300, n_iter_no_change=300, average=1``.

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


@persistable("sklearn_lsdn", younger={"average": 1})
@documented(_NO_PLACES, **DOCUMENTED)
class CDNRegressor(PlacesAsFeatures, NetworkRegressor):
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


@persistable("sklearn_lsdn", younger={"average": 1})
@documented(_NO_PLACES, **DOCUMENTED)
class VDNRegressor(NoPlaces, NetworkRegressor):
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
