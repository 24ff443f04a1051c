"""Bitcoin as the vault needs it: one P2WPKH wallet that pays many at once and keeps its change.

The slot's scarce thing is the anchor, the first input. Every version of a slot spends all of the slot's coins and pays
the same people the same amounts; only the change, and with it the fee, may differ. So two versions exclude each other.
"""

import hashlib
from collections.abc import Collection, Sequence

from adapters.vault import decode, secp256k1
from adapters.vault.bitcoin import address, psbt, wire
from adapters.vault.bitcoin.psbt import Psbt
from adapters.vault.bitcoin.wire import Output, Transaction
from adapters.vault.decode import Paid
from adapters.vault.family import Reading, Signed
from adapters.vault.keystore import Account, SigningKey
from domain.asset import Asset
from domain.coin import Coin
from domain.errors import Refused
from domain.network import Network
from domain.payout import Fee

PSBT_BYTES_MAX = 750_000  # twice that in hex must fit into what a workflow may hand to the signer
INPUTS_MAX = 100
OUTPUTS_MAX = 101
_VERSION, _SEQUENCE, _LOCKTIME = 2, 0xFFFFFFFD, 0  # may be replaced (BIP 125), and is in force at once
_KEY_SCRIPT_BYTES = 22
_WITNESS_BYTES = (
    1 + 72 + 34
)  # how many, the signature with its hash type, the public key; the latter with their lengths


class Bitcoin:
    """Coins of one key: version 2, segwit version 0, everything signed with SIGHASH_ALL."""

    def address(self, account: Account, network: Network) -> str:
        if not account.public_key:
            raise Refused(
                "KEYSTORE_UNREADABLE",
                f"The keystore of {network.id} names no public key; make it with `strongroom wallet new`.",
            )
        return _address(address.of_key(account.public_key), network)

    def read(self, unsigned: str, network: Network, assets: Collection[Asset]) -> Reading:
        opened = psbt.read(decode.from_hex(unsigned, PSBT_BYTES_MAX))
        tx = opened.tx
        _check_shape(tx, network)
        own = _own_script(opened)
        paid = _payments(tx, own)
        fee = _fee(opened)
        weight = vsize(tx)
        native = next(asset for asset in assets if asset.id == network.native_asset)
        return Reading(
            scarce=tx.inputs[0].name,
            payload=hashlib.sha256(b"strongroom/payload/bitcoin/v1\n" + _payload(opened, paid)).hexdigest(),
            fee=Fee(weight, price=-(-fee // weight), tip=0),
            paid=tuple(Paid(native, out.units, _address(out.script, network)) for out in paid),
            wallet=_address(own, network),
            inputs=tuple(Coin(i.name, str(out.units)) for i, out in zip(tx.inputs, opened.spent, strict=True)),
            fee_units=fee,
            txid=tx.txid,
        )

    def expires_at_ms(self, raw: str) -> int | None:
        return None

    def sign(self, unsigned: str, key: SigningKey) -> Signed:
        opened = psbt.read(decode.from_hex(unsigned, PSBT_BYTES_MAX))
        public_key = key.account.public_key
        all_ = bytes([wire.SIGHASH_ALL])
        raw = opened.tx.signed([(key.sign_der(digest) + all_, public_key) for digest in _digests(opened)])
        _read_back(raw, opened, public_key)
        return Signed(raw="0x" + raw.hex(), txid=opened.tx.txid)

    def refuse_recipient(self, recipient: str, network: Network, assets: Collection[Asset]) -> str:
        script = address.script_of(recipient, address.alphabet(network))
        if script is None:
            return f"it is no address of {network.name}"
        return address.unspendable(script)


def vsize(tx: Transaction) -> int:
    """Virtual bytes of the transaction once signed (BIP 141), with the longest signatures a network takes: never too
    small, and a quarter of a byte too large for each input of ours.
    """
    weight = 4 * len(tx.encode()) + 2 + len(tx.inputs) * _WITNESS_BYTES
    return -(-weight // 4)


# ---------------------------------------------------------------- what the bytes say
def _check_shape(tx: Transaction, network: Network) -> None:
    """Raises Refused SIGNER_TX_SHAPE, SIGNER_INPUTS."""
    shape = (tx.version, tx.locktime, *{spent.sequence for spent in tx.inputs})
    if shape != (_VERSION, _LOCKTIME, _SEQUENCE):
        raise Refused("SIGNER_TX_SHAPE", "A payment is of version 2, without a lock time, each sequence 0xfffffffd.")
    if len({spent.outpoint for spent in tx.inputs}) < len(tx.inputs):
        raise Refused("SIGNER_INPUTS", "A coin is spent twice in these bytes.")
    most = min(INPUTS_MAX, network.inputs_max)
    if len(tx.inputs) > most or len(tx.outputs) > OUTPUTS_MAX:
        raise Refused("SIGNER_INPUTS", f"At most {most} coins are spent at once, into {OUTPUTS_MAX} outputs.")


def _own_script(opened: Psbt) -> bytes:
    """The one P2WPKH script that all coins belong to; whose it is, is judged with the slot. Raises Refused
    SIGNER_INPUT_FOREIGN.
    """
    own = opened.spent[0].script
    for spent, out in zip(opened.tx.inputs, opened.spent, strict=True):
        if out.script != own or len(own) != _KEY_SCRIPT_BYTES or own[:2] != b"\x00\x14":
            raise Refused(
                "SIGNER_INPUT_FOREIGN", "Every coin must be the wallet's own, under its one key.", outpoint=spent.name
            )
    return own


def _payments(tx: Transaction, own: bytes) -> Sequence[Output]:
    """The outputs that pay somebody: all, but a last one that comes back to us. Raises Refused SIGNER_DUST."""
    for at, out in enumerate(tx.outputs):
        if not address.dust(out.script) <= out.units <= psbt.UNITS_MAX:
            raise Refused("SIGNER_DUST", f"Output {at} is too small to be relayed, or larger than all there is.", at=at)
    return tx.outputs[:-1] if tx.outputs[-1].script == own else tx.outputs


def _fee(opened: Psbt) -> int:
    fee = sum(out.units for out in opened.spent) - sum(out.units for out in opened.tx.outputs)
    if fee <= 0:
        raise Refused("SIGNER_FEE_MISMATCH", "The outputs are worth as much as the coins, or more: no fee.")
    return fee


def _address(script: bytes, network: Network) -> str:
    """Raises Refused SIGNER_OUTPUT for a script that no person can be paid under."""
    text = address.address_of(script, address.alphabet(network))
    if text is None:
        raise Refused(
            "SIGNER_OUTPUT",
            "An output pays to no address (data, an unknown script or version).",
            script=script.hex()[:128],
        )
    return text


def _payload(opened: Psbt, paid: Sequence[Output]) -> bytes:
    """What may never change within a slot: every coin and every payment, in their order. The change may."""
    spent = [f"{i.name} {out.units}" for i, out in zip(opened.tx.inputs, opened.spent, strict=True)]
    return "\n".join([*spent, "", *(f"{out.units} {out.script.hex()}" for out in paid)]).encode()


# ---------------------------------------------------------------- signatures
def _digests(opened: Psbt) -> list[bytes]:
    spent = enumerate(opened.spent)
    return [opened.tx.digest(at, key_hash=out.script[2:], units=out.units) for at, out in spent]


def _read_back(raw: bytes, opened: Psbt, public_key: bytes) -> None:
    """The signed bytes must carry exactly what was unsigned, and each input our valid signature. A fault here is of the
    machine.
    """
    tx, witnesses = wire.transaction(raw)
    ours = [[stack[0][:-1], stack[0][-1:], stack[1]] for stack in witnesses if len(stack) == 2]
    good = len(ours) == len(opened.spent) and all(
        hash_type == bytes([wire.SIGHASH_ALL])
        and key == public_key
        and address.of_key(key) == out.script
        and secp256k1.verify_der(key, signature, digest)
        for (signature, hash_type, key), out, digest in zip(ours, opened.spent, _digests(opened), strict=True)
    )
    if tx != opened.tx or not good:
        raise Refused(
            "SIGNER_SELF_CHECK", "The signature did not verify when read back; stop the signer, check the machine."
        )
