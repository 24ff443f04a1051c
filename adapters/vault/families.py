"""One row per chain family: how its keys are named, how its unsigned bytes are read, how they are signed."""

import hashlib
from collections.abc import Collection, Mapping

from adapters.vault import decode, rlp, secp256k1
from adapters.vault.bitcoin.family import Bitcoin
from adapters.vault.family import Family, Reading, Signed
from adapters.vault.keystore import Account, SigningKey
from adapters.vault.tron import Tron
from domain.asset import Asset
from domain.errors import Refused
from domain.network import Network

_TYPE_2 = b"\x02"
_SYSTEM_ADDRESSES_BELOW = 0x10000  # the zero address and every precompile live below


class Evm:
    """Account-and-nonce networks: type 0x02 transactions, one payment each."""

    def address(self, account: Account, network: Network) -> str:
        return account.address

    def read(self, unsigned: str, network: Network, assets: Collection[Asset]) -> Reading:
        tx = decode.transaction(decode.from_hex(unsigned))
        if tx.chain_id != network.chain_id:
            raise Refused(
                "SIGNER_CHAIN_ID",
                f"The transaction is for chain {tx.chain_id}, and {network.id} is chain {network.chain_id}.",
            )
        if tx.tip > tx.price:
            raise Refused("SIGNER_TIP_ABOVE_PRICE", "The tip must not be above the price of a unit of gas.")
        payload = f"{tx.chain_id}\n{tx.nonce}\n{tx.to.hex()}\n{tx.value}\n{tx.data.hex()}"
        return Reading(
            scarce=str(tx.nonce),
            payload=hashlib.sha256(b"strongroom/payload/evm/v1\n" + payload.encode()).hexdigest(),
            fee=tx.fee,
            paid=(decode.paid(tx, network, assets),),
        )

    def expires_at_ms(self, raw: str) -> int | None:
        return None

    def sign(self, unsigned: str, key: SigningKey) -> Signed:
        plain = decode.from_hex(unsigned)
        tx = decode.transaction(plain)
        digest = secp256k1.hash_of(plain)
        parity, r, s = key.sign_digest(digest)
        raw = _TYPE_2 + rlp.encode([*tx.fields(), *map(rlp.of_integer, (parity, r, s))])
        _read_back(raw, plain, key.address)
        return Signed(raw="0x" + raw.hex(), txid="0x" + secp256k1.hash_of(raw).hex())

    def refuse_recipient(self, recipient: str, network: Network, assets: Collection[Asset]) -> str:
        if int(recipient, 16) < _SYSTEM_ADDRESSES_BELOW:
            return "it is the zero address or a precompiled contract"
        if any(asset.contract and asset.contract.lower() == recipient.lower() for asset in assets):
            return "it is a token contract"
        return ""


FAMILIES: Mapping[str, Family] = {"evm": Evm(), "tron": Tron(), "bitcoin": Bitcoin()}


def _read_back(raw: bytes, plain: bytes, address: str) -> None:
    """The signed bytes must carry exactly what was unsigned, and must be ours. A fault here is of the machine."""
    fields = rlp.decode(raw[1:])
    assert isinstance(fields, list), "we have just encoded a list"
    body, (parity, r, s) = fields[:9], map(rlp.integer, fields[9:])
    if _TYPE_2 + rlp.encode(body) != plain or secp256k1.recover(secp256k1.hash_of(plain), parity, r, s) != address:
        raise Refused(
            "SIGNER_SELF_CHECK", "The signature did not verify when read back; stop the signer, check the machine."
        )
