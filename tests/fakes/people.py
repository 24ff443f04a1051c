"""Approvers with real keys, and the roster that knows them."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.intent import Decision, Ruling, Signed, statement
from domain.procedure import Endorsed, Endorsement, Procedure
from domain.procedure import statement as endorsement_statement


class People:
    """Implements `domain.ports.Roster`. Everybody has a key; only the enrolled are on the roster."""

    def __init__(self, *enrolled: str) -> None:
        self._enrolled = frozenset(enrolled)
        self._keys: dict[str, Ed25519PrivateKey] = {}

    def verify(self, word: Signed) -> str:
        if word.approver not in self._enrolled:
            return "STRANGER"
        try:
            signature = bytes.fromhex(word.signature)
            self._key(word.approver).public_key().verify(signature, word.statement())
        except (InvalidSignature, ValueError):
            return "BAD_SIGNATURE"
        return ""

    def decision(self, name: str, ruling: Ruling, intent_hash: str) -> Decision:
        """What `name` signs with their own key."""
        signed = self._key(name).sign(statement(name, ruling, intent_hash))
        return Decision(name, ruling, intent_hash, signed.hex())

    def endorse(self, procedure: Procedure, *names: str) -> Endorsed:
        """The procedure with the word of each of `names` for it."""
        hash_ = procedure.hash()
        signed = {name: self._key(name).sign(endorsement_statement(name, hash_)).hex() for name in names}
        return Endorsed(procedure, tuple(Endorsement(name, hash_, signature) for name, signature in signed.items()))

    def _key(self, name: str) -> Ed25519PrivateKey:
        if name not in self._keys:
            self._keys[name] = Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"."))
        return self._keys[name]
