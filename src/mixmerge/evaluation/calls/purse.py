"""The money of one round of calls: none is sent that could pass the budget."""

import asyncio

from mixmerge.evaluation.calls.spending import CallSize, Ledger, Tokens
from mixmerge.evaluation.endpoint_spec import Price


class OutOfBudgetError(Exception):
    """The next call could pass the budget, and no call in flight can still make room."""


class Purse:
    """Sets dollars aside for tries in flight; without a price, everything is free."""

    def __init__(self, ledger: Ledger | None, price: Price | None) -> None:
        """Spend from a ledger."""
        self._ledger = ledger
        self._price = price
        self._in_flight = 0
        self._settled = asyncio.Event()

    async def reserve(self, size: CallSize) -> float:
        """Set aside what a try may cost at most; wait for tries in flight to settle for less.

        Returns:
            Dollars, for `settle`.

        Raises:
            OutOfBudgetError: there is no room, and nothing in flight can make any.
        """
        dollars = size.most.cost(self._price)
        while self._ledger is not None and not self._ledger.reserve(dollars):
            if self._in_flight == 0:
                raise OutOfBudgetError
            self._settled.clear()
            await self._settled.wait()
        self._in_flight += 1
        return dollars

    def settle(self, reserved: float, used: Tokens | None) -> None:
        """Count what a try took in place of what was set aside; None: all of it, to be safe."""
        self._in_flight -= 1
        self._settled.set()
        if self._ledger is not None and used is not None:
            self._ledger.settle(reserved, used.cost(self._price))
