"""Networks as estimators of scikit-learn, shrunken ones, and ensembles of them."""
