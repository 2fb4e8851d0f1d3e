"""Servers for the calls of an endpoint."""

from tests.evaluation.endpoint_server import quick_retries, serve

__all__ = ["quick_retries", "serve"]
