"""Addresses of networks that nobody here serves are named, so that a person knows what went wrong."""

import pytest

from adapters.chains.shapes import elsewhere

FOREIGN = [
    ("Bitcoin", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"),
    ("Bitcoin", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
    ("Litecoin", "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9"),
    ("Bitcoin Cash", "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a"),
    ("Dogecoin", "DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L"),
    ("Solana", "7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q"),
    ("the XRP Ledger", "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh"),
    ("TON", "EQCD39VS5jcptHL8vMjEXrzGaRcCVYto7HUn4bpAOg8xqB2N"),
    ("a Cosmos network", "cosmos1depk54cuajgkzea6zpgkq36tnjwdzv4afc3d27"),
]


@pytest.mark.parametrize(("name", "address"), FOREIGN)
@pytest.mark.parametrize("ours", ["an EVM network", "TRON"])
def test_an_address_of_another_network_is_told_by_its_shape(name: str, address: str, ours: str) -> None:
    refusal = elsewhere(address, "here", ours)
    assert refusal is not None
    assert (refusal.code, refusal.facts["looks_like"]) == ("ADDRESS_WRONG_NETWORK", name)
    assert address not in str(refusal)


@pytest.mark.parametrize("text", ["", "0x", "hello", "0x" + "1" * 39, "0x" + "g" * 40, "vitalik.eth", "٣" * 40])
def test_what_is_no_address_of_anything_is_left_to_the_rule_that_was_asked(text: str) -> None:
    assert elsewhere(text, "here", "an EVM network") is None
