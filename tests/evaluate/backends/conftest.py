"""Servers for models behind an endpoint."""

from tests.evaluate.endpoint_server import quick_retries, serve

__all__ = ["quick_retries", "serve"]
