"""What is compiled, and the only place that knows internals of Numba."""
