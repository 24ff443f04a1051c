"""The cold wallet: three keys that never meet, two of which pay; what anybody changes on the way is refused."""

import base64
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import permutations

import bdkpython as bdk
import pytest
from btclib.script.script_pub_key import ScriptPubKey
from btclib.tx import OutPoint, Tx, TxIn, TxOut
from btclib_wallet import bip32
from btclib_wallet.psbt import Psbt

from adapters.chains.bitcoin import cold, descriptors
from adapters.chains.bitcoin.cold import ColdCoin
from adapters.chains.bitcoin.descriptors import CHANGE, RECEIVE, Wallet
from adapters.vault.cold_key import ColdKey
from adapters.vault.keystore import SigningKey
from domain.errors import Refused
from tests.adapters.vault.bitcoin_desk import NETWORK, client
from tests.bitcoin_kernel import kernel_check

KEYS = [ColdKey(bytes([n]) * 32, mainnet=False) for n in (1, 2, 3)]
STRANGER = ColdKey(b"\x09" * 32, mainnet=False)
ACCOUNTS = [key.account for key in KEYS]
WALLET = descriptors.multisig(2, ACCOUNTS, NETWORK)
RULES = NETWORK.fees
PAID = [(client(1), 14_000_000)]


def coin(n: int, units: int, branch: int = RECEIVE, wallet: Wallet = WALLET) -> ColdCoin:
    origin = TxIn(OutPoint(n.to_bytes(32, "big"), 0), b"", 0xFFFFFFFF)
    out = TxOut(units, ScriptPubKey(wallet.script(branch, n), "regtest"))
    return ColdCoin(Tx(2, 0, [origin], [out]).serialize(include_witness=True), 0, branch, n)


def planned(paid: Sequence[tuple[str, int]] = PAID) -> Psbt:
    return deepcopy(_planned(tuple(paid)))


@cache
def _planned(paid: Sequence[tuple[str, int]]) -> Psbt:
    coins = [coin(n, n * 1_000_000, n % 2) for n in range(1, 6)]
    return cold.plan(WALLET, coins, paid, price=5, change_index=3)


def signed_by(*keys: ColdKey) -> list[Psbt]:
    """What each brings back, read from their own file."""
    return [deepcopy(_signed(key)) for key in keys]


@cache
def _signed(key: ColdKey) -> Psbt:
    return carried(key.sign(carried(planned())))


def carried(psbt: Psbt) -> Psbt:
    """Through a file and back."""
    return cold.read(cold.write(psbt))


def spent(psbt: Psbt) -> list[tuple[bytes, int]]:
    outs = [one.witness_utxo for one in psbt.inputs]
    return [(out.script_pub_key.script, out.value) for out in outs if out]


def refused(code: str) -> pytest.RaisesExc[Refused]:
    return pytest.raises(Refused, match=code)


# ---------------------------------------------------------------- two of three
@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (2, 1), (0, 1, 2)], ids=str)
def test_any_two_of_three_pay(pair: Sequence[int]) -> None:
    plan = planned()
    combined = cold.combine(plan, signed_by(*(KEYS[n] for n in pair)), WALLET)
    raw = cold.finish(carried(combined), WALLET)
    assert kernel_check(raw, spent(plan)) == [True] * 5
    assert Tx.parse(raw).id == plan.tx.id
    assert set(cold.inspect(combined, WALLET, RULES).signed) == {KEYS[n].fingerprint for n in pair}


@pytest.mark.parametrize("who", [(), (0,), (0, 0)], ids=str)
def test_fewer_do_not(who: Sequence[int]) -> None:
    combined = cold.combine(planned(), signed_by(*(KEYS[n] for n in who)), WALLET)
    with refused("COLD_SIGNATURES_MISSING"):
        cold.finish(combined, WALLET)


def test_another_wallet_signs_the_very_same_bytes() -> None:
    """BDK, with the same descriptor and the keys' private halves, on the same plan."""
    plan = planned()
    ours = cold.finish(cold.combine(plan, signed_by(KEYS[0], KEYS[1]), WALLET), WALLET)
    psbt = bdk.Psbt(cold.write(plan).strip())
    options = bdk.SignOptions(
        trust_witness_utxo=False,
        assume_height=None,
        allow_all_sighashes=False,
        try_finalize=True,
        sign_with_tap_internal_key=False,
        allow_grinding=True,
    )
    for mine in (0, 1):
        theirs(mine).sign(psbt, options)
    assert psbt.extract_tx().serialize() == ours


def test_half_of_it_signed_by_another_wallet_is_as_good() -> None:
    plan = planned()
    psbt = bdk.Psbt(cold.write(plan).strip())
    theirs(2).sign(psbt, None)
    part = cold.read(psbt.serialize())
    raw = cold.finish(cold.combine(plan, [part, *signed_by(KEYS[0])], WALLET), WALLET)
    assert kernel_check(raw, spent(plan)) == [True] * 5


def theirs(mine: int) -> bdk.Wallet:
    """BDK's wallet that holds key number `mine`, and knows the others' public halves."""
    private = _private(mine)
    text = WALLET.text.partition("#")[0].replace(ACCOUNTS[mine], private)
    receive, change = (text.replace("<0;1>", str(branch)) for branch in (RECEIVE, CHANGE))
    kind = bdk.NetworkKind.TEST
    return bdk.Wallet(
        bdk.Descriptor(receive, kind), bdk.Descriptor(change, kind), bdk.Network.REGTEST, bdk.Persister.new_in_memory()
    )


def _private(mine: int) -> str:
    root = bip32.rootxprv_from_seed(bytes([mine + 1]) * 32, bytes.fromhex("04358394"))
    origin = ACCOUNTS[mine].partition("]")[0] + "]"
    return origin + str(bip32.derive(root, "m/48h/1h/0h/2h"))


# ---------------------------------------------------------------- what is refused
def tampered() -> Psbt:
    """A plan that pays somebody else, as a machine on the way might hand it on."""
    other = planned([(client(2), 14_000_000)])
    assert other.tx.id != planned().tx.id
    return other


def test_a_part_that_pays_somebody_else_is_refused() -> None:
    part = KEYS[1].sign(tampered())
    with refused("COLD_OTHER_TRANSACTION"):
        cold.combine(planned(), [*signed_by(KEYS[0]), part], WALLET)


def test_a_signature_over_another_transaction_is_refused_even_in_the_right_file() -> None:
    wrong, part = KEYS[1].sign(tampered()), planned()
    for at, one in enumerate(wrong.inputs):
        part.inputs[at].partial_sigs.update(one.partial_sigs)
    with refused("COLD_SIGNATURE_INVALID"):
        cold.combine(planned(), [part], WALLET)


def test_a_signature_by_a_key_that_is_none_of_the_wallet_s_is_refused() -> None:
    [good] = signed_by(KEYS[0])
    part = planned()
    [(_, signature)] = good.inputs[0].partial_sigs.items()
    part.inputs[0].partial_sigs[SigningKey(b"\x09" * 32).account.public_key] = signature
    with refused("COLD_SIGNATURE_FOREIGN"):
        cold.combine(planned(), [part], WALLET)


def test_one_cosigner_s_signature_under_another_s_key_is_refused() -> None:
    [good] = signed_by(KEYS[0])
    part = planned()
    keys = list(part.inputs[0].hd_key_paths)
    [(mine, signature)] = good.inputs[0].partial_sigs.items()
    part.inputs[0].partial_sigs[next(key for key in keys if key != mine)] = signature
    with refused("COLD_SIGNATURE_INVALID"):
        cold.combine(planned(), [part], WALLET)


def test_a_key_of_another_wallet_signs_nothing() -> None:
    with refused("COLD_KEY_FOREIGN"):
        STRANGER.sign(planned())


def test_an_input_without_its_previous_transaction_is_refused() -> None:
    plan = planned()
    plan.inputs[2].non_witness_utxo = None
    with refused("COLD_PREVIOUS_MISSING"):
        cold.inspect(plan, WALLET, RULES)


def test_an_input_that_asks_for_a_looser_signature_is_refused() -> None:
    plan = planned()
    plan.inputs[1].sig_hash_type = 0x83
    with refused("COLD_SIGHASH"):
        cold.inspect(plan, WALLET, RULES)


def test_keys_that_our_descriptor_does_not_give_are_refused() -> None:
    """One of the three swapped for a thief's own: the paths look like ours, and the script is not."""
    other = descriptors.multisig(2, [ACCOUNTS[0], STRANGER.account, ACCOUNTS[2]], NETWORK)
    foreign = cold.plan(other, [coin(1, 20_000_000, wallet=other)], PAID, 5, 3)
    with refused("COLD_COIN_FOREIGN"):
        cold.inspect(foreign, WALLET, RULES)
    plan = planned()
    plan.inputs[0].hd_key_paths = {**plan.inputs[0].hd_key_paths, **foreign.inputs[0].hd_key_paths}
    with refused("COLD_COIN_FOREIGN"):
        cold.inspect(plan, WALLET, RULES)


def test_an_output_that_only_claims_to_come_back_is_shown_as_a_payment() -> None:
    plan = planned()
    change = len(plan.outputs) - 1
    honest = cold.inspect(plan, WALLET, RULES)
    assert honest.change == (WALLET.address(CHANGE, 3), honest.change[1] if honest.change else 0)
    plan.outputs[0].hd_key_paths = deepcopy(plan.outputs[change].hd_key_paths)
    assert cold.inspect(plan, WALLET, RULES).payments == tuple(PAID)


def test_a_fee_above_the_network_s_price_is_refused() -> None:
    coins = [coin(n, n * 1_000_000) for n in range(1, 6)]
    dear = cold.plan(WALLET, coins, PAID, price=RULES.price_cap + 1, change_index=0)
    with refused("COLD_FEE_ABOVE_CAP"):
        cold.inspect(dear, WALLET, RULES)


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(b"psbt\xff").decode(), "cHNidP8BAA=="])
def test_a_file_that_is_no_psbt_is_refused(text: str) -> None:
    with refused("COLD_FILE_UNREADABLE"):
        cold.read(text)


# ---------------------------------------------------------------- plans
def test_the_summary_is_what_the_bytes_do() -> None:
    summary = cold.inspect(planned(), WALLET, RULES)
    out = sum(units for _, units in summary.payments) + (summary.change[1] if summary.change else 0)
    assert (summary.units_in - out, summary.needed, summary.signed) == (summary.fee, 2, ())
    assert summary.fee == 5 * summary.vsize


def test_the_largest_coins_are_taken_and_no_more_than_it_takes() -> None:
    assert len(planned([(client(1), 4_000_000)]).inputs) == 1
    assert len(planned([(client(1), 4_999_900)]).inputs) == 2


def test_a_plan_that_the_wallet_cannot_pay_is_refused() -> None:
    with refused("COLD_WALLET_SHORT"):
        planned([(client(1), 15_000_000)])


def test_a_payment_that_nobody_relays_is_refused() -> None:
    with refused("COLD_PLAN_INVALID"):
        planned([(client(1), 329)])


def test_a_coin_that_is_not_ours_is_refused() -> None:
    stranger = descriptors.single(84, STRANGER.account, NETWORK)
    with refused("COLD_COIN_FOREIGN"):
        cold.plan(WALLET, [coin(1, 20_000_000, wallet=stranger)], PAID, 5, 0)


# ---------------------------------------------------------------- descriptors
def test_the_order_in_which_cosigners_are_named_changes_no_address() -> None:
    """BIP 67: the keys are sorted in each script, so nobody has to remember an order."""
    addresses = {descriptors.multisig(2, order, NETWORK).address(RECEIVE, 7) for order in permutations(ACCOUNTS)}
    assert addresses == {WALLET.address(RECEIVE, 7)}


def test_a_descriptor_is_read_back_with_its_checksum_and_refused_without_sense() -> None:
    assert descriptors.open_wallet(WALLET.text, NETWORK).text == WALLET.text
    spoilt = WALLET.text[:-1] + ("q" if WALLET.text[-1] != "q" else "p")
    unsorted = WALLET.text.partition("#")[0].replace("sortedmulti", "multi")
    for text in (spoilt, unsorted, "", "wsh(pk(02))", WALLET.single_paths()[0], "addr(bc1q)"):
        with refused("DESCRIPTOR_INVALID"):
            descriptors.open_wallet(text, NETWORK)


@pytest.mark.parametrize("accounts", [[], [ACCOUNTS[0]], [ACCOUNTS[0], ACCOUNTS[0]], [ACCOUNTS[0], "tpub"]], ids=len)
def test_a_wallet_of_too_few_or_repeated_keys_is_refused(accounts: list[str]) -> None:
    with refused("DESCRIPTOR_INVALID"):
        descriptors.multisig(2, accounts, NETWORK)


# BIP 84's and BIP 86's own test vectors: the account keys of "abandon abandon ... about", and their first addresses.
@pytest.mark.parametrize(
    ("purpose", "key", "addresses"),
    [
        (
            84,
            "[73c5da0a/84h/0h/0h]xpub6CatWdiZiodmUeTDp8LT5or8nmbKNcuyvz7WyksVFkKB4RHwCD3XyuvPEbvqAQY3rAPshWcMLoP2fMFMKHPJ4ZeZXYVUhLv1VMrjPC7PW6V",
            [
                "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
                "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g",
                "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el",
            ],
        ),
        (
            86,
            "[73c5da0a/86h/0h/0h]xpub6BgBgsespWvERF3LHQu6CnqdvfEvtMcQjYrcRzx53QJjSxarj2afYWcLteoGVky7D3UKDP9QyrLprQ3VCECoY49yfdDEHGCtMMj92pReUsQ",
            [
                "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
                "bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh",
                "bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7",
            ],
        ),
    ],
)
def test_single_keys_have_the_addresses_of_the_published_vectors(purpose: int, key: str, addresses: list[str]) -> None:
    wallet = descriptors.single(purpose, key, replace(NETWORK, chain_id=0x0A8CE26F))
    assert [wallet.address(RECEIVE, 0), wallet.address(RECEIVE, 1), wallet.address(CHANGE, 0)] == addresses
