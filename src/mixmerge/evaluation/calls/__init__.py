"""Concurrent calls to chat endpoints, with rate limits, retries, budgets and a journal."""
