"""tronpy, a client of the real network, works with the node unchanged."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tronpy import AsyncTron
from tronpy.async_contract import AsyncContract
from tronpy.exceptions import AddressNotFound, BadSignature, TransactionNotFound, ValidationError
from tronpy.keys import PrivateKey
from tronpy.providers import AsyncHTTPProvider

from ops.devnet.tron import treasury
from ops.devnet.tron.genesis import USDT, artifact
from ops.devnet.tron.keys import address_of, base58_of, contract_address
from tests.ops.tron.laboratory import TRX, Node, Person

OWNER = PrivateKey(treasury.KEY)
PORT = 18920


@pytest.fixture(scope="module")
def running() -> Iterator[Node]:
    node = Node(PORT, "--block-time", "0", "--time-skew", "-3600")  # tronpy takes the time from its own clock
    node.start()
    yield node
    node.stop()


@pytest.fixture
async def tron(running: Node) -> AsyncIterator[AsyncTron]:
    running.order(reset=True)
    async with AsyncTron(AsyncHTTPProvider(running.url)) as client:
        yield client


async def sent(builder: Any, *keys: PrivateKey) -> dict[str, Any]:
    tx = await builder.build()
    for key in keys or (OWNER,):
        tx = tx.sign(key)
    receipt: dict[str, Any] = await (await tx.broadcast()).wait(interval=0.05)
    return receipt


def person(name: str) -> tuple[PrivateKey, str]:
    found = Person(name)
    return PrivateKey(found.key), found.text


async def test_trx_are_paid_and_activate_an_account(tron: AsyncTron) -> None:
    _, to = person("tronpy payee")
    with pytest.raises(AddressNotFound):
        await tron.get_account(to)
    info = await sent(tron.trx.transfer(treasury.ADDRESS, to, 5 * TRX).memo("hello"))
    assert info["fee"] == 2_100_000, "activation, a tenth for bandwidth, and the memo"
    assert await tron.get_account_balance(to) == 5
    assert (await tron.get_transaction(info["id"]))["ret"] == [{"contractRet": "SUCCESS"}]
    with pytest.raises(TransactionNotFound):
        await tron.get_transaction_info("00" * 32)


async def test_usdt_is_paid_and_says_false(tron: AsyncTron) -> None:
    _, to = person("tronpy usdt payee")
    usdt = await tron.get_contract(USDT)
    assert await usdt.functions.decimals() == 6
    assert await usdt.functions.symbol() == "USDT"
    tx = await (await usdt.functions.transfer(to, 7_000_000)).with_owner(treasury.ADDRESS).fee_limit(50 * TRX).build()
    done = await tx.sign(OWNER).broadcast()
    info = await done.wait(interval=0.05)
    assert (info["receipt"]["result"], await done.result()) == ("SUCCESS", False)
    assert await usdt.functions.balanceOf(to) == 7_000_000
    assert info["log"][0]["topics"][2][24:] == Person("tronpy usdt payee").address[1:].hex()
    with pytest.raises(AddressNotFound):
        await tron.get_account(to)


async def test_a_payment_becomes_solid(tron: AsyncTron) -> None:
    _, to = person("tronpy solid payee")
    info = await sent(tron.trx.transfer(treasury.ADDRESS, to, TRX))
    for _ in range(100):
        if await tron.get_latest_solid_block_number() >= info["blockNumber"]:
            break
    assert (await tron.get_solid_transaction_info(info["id"]))["blockNumber"] == info["blockNumber"]
    block = await tron.get_block(info["blockNumber"])
    assert block["transactions"][0]["txID"] == info["id"]


async def test_trx_are_staked_and_their_energy_lent(tron: AsyncTron) -> None:
    key, staker = person("tronpy staker")
    await sent(tron.trx.transfer(treasury.ADDRESS, staker, 1_000 * TRX))
    await sent(tron.trx.freeze_balance(staker, 500 * TRX, "ENERGY"), key)
    assert (await tron.get_can_delegated_max_size(staker))["max_size"] == 500 * TRX
    await sent(tron.trx.delegate_resource(staker, treasury.ADDRESS, 200 * TRX, "ENERGY"), key)
    (loan,) = (await tron.get_delegated_resource_v2(staker, treasury.ADDRESS))["delegatedResource"]
    assert loan["frozen_balance_for_energy"] == 200 * TRX
    index = await tron.get_delegated_resource_account_index_v2(staker)
    assert index["toAccounts"] == [treasury.ADDRESS]
    await sent(tron.trx.undelegate_resource(staker, treasury.ADDRESS, 200 * TRX, "ENERGY"), key)
    await sent(tron.trx.unfreeze_balance(staker, "ENERGY", unfreeze_balance=500 * TRX), key)
    assert (await tron.get_account(staker))["unfrozenV2"][0]["unfreeze_amount"] == 500 * TRX
    with pytest.raises(ValidationError, match="no unFreeze balance"):
        await sent(tron.trx.withdraw_stake_balance(staker), key)


async def test_two_of_two_sign_under_a_permission(tron: AsyncTron) -> None:
    key, account = person("tronpy shared")
    (one, first), (two, second) = person("tronpy one"), person("tronpy two")
    await sent(tron.trx.transfer(treasury.ADDRESS, account, 200 * TRX))
    permissions = await tron.get_account_permission(account)
    permissions["actives"][0]["threshold"] = 2
    permissions["actives"][0]["keys"] = [{"address": who, "weight": 1} for who in (first, second)]
    assert (await sent(tron.trx.account_permission_update(account, permissions), key))["fee"] >= 100 * TRX
    pay = tron.trx.transfer(account, treasury.ADDRESS, TRX).permission_id(2)
    half = (await pay.build()).sign(one)
    weight = await tron.get_sign_weight(half)
    assert (weight["result"], weight["current_weight"]) == ({"code": "NOT_ENOUGH_PERMISSION"}, 1)
    with pytest.raises(BadSignature):
        await half.broadcast()
    assert (await (await half.sign(two).broadcast()).wait(interval=0.05))["fee"] >= TRX


async def test_tronpy_signs_what_a_node_has_substituted(tron: AsyncTron, running: Node) -> None:
    """Why no transaction that a node has built is ever signed: this client believes the id that it is told."""
    thief = Person("tronpy thief")
    running.order(substitute=thief.text)
    tx = (await tron.trx.transfer(treasury.ADDRESS, person("tronpy victim")[1], 123).build()).sign(OWNER)
    asked = await tron.provider.make_request("wallet/getsignweight", tx.to_json())
    stolen = asked["transaction"]["transaction"]
    running.order(reset=True)
    words = {"raw_data": stolen["raw_data"], "signature": tx.to_json()["signature"]}
    assert (await tron.provider.make_request("wallet/broadcasttransaction", words))["result"]
    assert await tron.get_account_balance(thief.text) * TRX == 123


async def test_parameters_resources_and_estimates_are_read(tron: AsyncTron) -> None:
    told = {row["key"]: row.get("value", 0) for row in await tron.get_chain_parameters()}
    assert told["getEnergyFee"] == 100
    assert (await tron.get_account_resource(treasury.ADDRESS))["freeNetLimit"] == 600
    words = (treasury.ADDRESS, USDT, "transfer(address,uint256)")
    data = f"{Person('somebody new').address.hex():0>64}{1:064x}"
    result = await tron.trigger_constant_contract(*words, data)
    assert 28_000 < result["energy_used"] < 31_000
    with pytest.raises(ValidationError, match="does not support estimate energy"):
        await tron.get_estimated_energy(*words, data)


async def test_a_contract_is_deployed_where_the_client_expects_it(tron: AsyncTron) -> None:
    row = artifact("Disperse")
    contract = AsyncContract(name="Disperse", bytecode=row["bytecode"][2:], abi=row["abi"])
    tx = await tron.trx.deploy_contract(treasury.ADDRESS, contract).fee_limit(1_000 * TRX).build()
    info = await (await tx.sign(OWNER).broadcast()).wait(interval=0.05)
    assert info["receipt"]["result"] == "SUCCESS"
    expected = contract_address(bytes.fromhex(tx.txid), address_of(treasury.ADDRESS))
    assert info["contract_address"] == base58_of(expected)
    assert (await tron.get_contract(info["contract_address"])).name == "Disperse"


async def test_the_treasury_fills_a_wallet_once(running: Node) -> None:
    wallet = Person("a hot wallet").text
    sent_ids = await treasury.fill(running.url, wallet, sun=50 * TRX, usdt_units=9_000_000)
    assert len(sent_ids) == 2
    assert await treasury.usdt_balance(running.url, wallet) == 9_000_000
    assert await treasury.fill(running.url, wallet, sun=50 * TRX, usdt_units=9_000_000) == []
    await treasury.issuer(running.url, "addBlackList(address)", wallet)
    await treasury.send_false_usdt(running.url, wallet, 3)
    told = running.ask("wallet/getaccount", address=wallet, visible=True)
    assert told["assetV2"] == [{"key": "1000001", "value": 3}]
