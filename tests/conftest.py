"""What holds in all tests: checked shapes, the same examples in every run, no foreign cluster."""

import os
import secrets
import signal

import pytest
from hypothesis import settings
from tests.shape_checks import check_shapes

check_shapes("mixmerge.stats")

settings.register_profile("mixmerge", deadline=None, derandomize=True)
settings.load_profile("mixmerge")

# A shell ignores Ctrl-C for what it starts in the background, and so would every program we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _ray_of_our_own() -> None:
    """Clusters that tests start have their own token, touch no home folder and report to nobody."""
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
