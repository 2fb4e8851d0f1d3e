"""Backends that run a model: transformers, vLLM's offline engine, or an endpoint."""
