"""Trained models as ONNX files, for programs that run without this package."""
