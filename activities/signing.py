"""The one thing the signer does for a workflow. Only the signer's process hosts it, on a queue of its own."""

from temporalio import activity

from domain.payout import SigningOrder, Version
from domain.ports import Vault


class SigningActivities:
    """The vault. What it refuses is refused for good; the worker's `Translation` carries code and facts."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    @activity.defn
    async def sign(self, order: SigningOrder) -> Version:
        """The next version of a slot, signed and remembered; the same order gives the same bytes.

        Raises Refused SIGNER_* (not retried) and Unavailable (nothing was signed; retried).
        """
        return await self._vault.sign(order)
