"""The methods that the networks are compared with."""
