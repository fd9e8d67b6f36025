"""Networks as regressors of scikit-learn, shrunken ones, and ensembles of them."""
