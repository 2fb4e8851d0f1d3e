"""Calls of chat endpoints: many at once, limited, tried again, paid for once, and kept."""
