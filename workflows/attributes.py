"""What a person can search for in the Temporal UI. Search attributes are not encrypted: ids and states, never addresses
of clients or amounts.
"""

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from domain.withdrawal import Stage

STATE = SearchAttributeKey.for_keyword("State")
ASSET = SearchAttributeKey.for_keyword("Asset")
NETWORK = SearchAttributeKey.for_keyword("Network")
WALLET = SearchAttributeKey.for_keyword("Wallet")
ACCOUNT = SearchAttributeKey.for_keyword("Account")
RISK_LEVEL = SearchAttributeKey.for_keyword("RiskLevel")

# The namespace must know these before the first workflow starts.
ALL: tuple[SearchAttributeKey[str], ...] = (STATE, ASSET, NETWORK, WALLET, ACCOUNT, RISK_LEVEL)


def for_withdrawal(*, account: str, network: str, asset: str) -> TypedSearchAttributes:
    """What a withdrawal's workflow starts with; it adds its risk and moves its state by itself."""
    return _typed((STATE, Stage.REQUESTED.value), (ACCOUNT, account), (NETWORK, network), (ASSET, asset))


def for_hot_wallet(*, network: str, wallet: str) -> TypedSearchAttributes:
    return _typed((NETWORK, network), (WALLET, wallet.lower()))


def _typed(*pairs: tuple[SearchAttributeKey[str], str]) -> TypedSearchAttributes:
    return TypedSearchAttributes([SearchAttributePair(key, value) for key, value in pairs])
