// What tronweb thinks of the local TRON node: prints {"<check>": true | "<what was wrong>"} for each check.
// Arguments: folder of node_modules, address of the node, private key of a rich account, address of USDT.
import { createRequire } from "node:module";
import path from "node:path";
import { readFileSync } from "node:fs";

const [folder, fullHost, privateKey, usdt, vectorsFile] = process.argv.slice(2);
const { TronWeb, utils } = createRequire(path.join(folder, "node_modules", "x.js"))("tronweb");
const tronWeb = new TronWeb({ fullHost, privateKey });
const me = tronWeb.defaultAddress.base58;
const fresh = () => utils.accounts.generateAccount();
const told = {};

async function check(name, body) {
  try {
    const found = await body();
    told[name] = found === undefined || found === true ? true : `unexpected: ${JSON.stringify(found)}`;
  } catch (error) {
    told[name] = String(error?.stack ?? JSON.stringify(error)).slice(0, 600);
  }
}

function same(found, wanted) {
  if (found !== wanted) throw new Error(`${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
}

async function info(txid) {
  for (let look = 0; look < 100; look++) {
    const found = await tronWeb.trx.getUnconfirmedTransactionInfo(txid);
    if (found?.id) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${txid} is in no block`);
}

async function send(tx, key) {
  const signed = await tronWeb.trx.sign(tx, key);
  const answer = await tronWeb.trx.sendRawTransaction(signed);
  if (!answer.result) throw new Error(`${answer.code} ${answer.message}`);
  same(answer.txid ?? answer.transaction.txID, tx.txID);
  return info(tx.txID);
}

const order = (words, node = "") =>
  fetch(`${fullHost}${node}/_ctl`, { method: "POST", body: JSON.stringify(words) }).then((answer) => answer.json());
const builder = tronWeb.transactionBuilder;
const staker = fresh();
const at = staker.address.base58;
const key = staker.privateKey;

await check("blocks are linked", async () => {
  const head = await tronWeb.trx.getCurrentBlock();
  const parent = await tronWeb.trx.getBlockByHash(head.block_header.raw_data.parentHash);
  same(parent.block_header.raw_data.number, head.block_header.raw_data.number - 1);
  same((await tronWeb.trx.getBlockByNumber(1)).block_header.raw_data.number, 1);
});
await check("parameters", async () => {
  const rows = await tronWeb.trx.getChainParameters();
  same(rows.find((row) => row.key === "getEnergyFee").value, 100);
});
await check("trx with its own id and its own bytes", async () => {
  const tx = await builder.sendTrx(at, 2_000_000_000, me);
  same(utils.transaction.txCheck(tx), true);
  await send(tx);
  same(await tronWeb.trx.getUnconfirmedBalance(at), 2_000_000_000);
});
await check("memo", async () => {
  const tx = await builder.addUpdateData(await builder.sendTrx(at, 1, me), "hello", "utf8");
  same((await send(tx)).fee >= 1_000_000, true);
});
await check("longer life", async () => {
  await send(await builder.extendExpiration(await builder.sendTrx(at, 1, me), 7200)); // beyond this machine's hour, too
});
await check("trc10", async () => {
  await send(await builder.sendToken(at, 5, "1000001", me));
  same((await tronWeb.trx.getUnconfirmedAccount(at)).assetV2[0].value, 5);
});
await check("a call built by tronweb", async () => {
  const parameters = [{ type: "address", value: at }, { type: "uint256", value: 7_000_000 }];
  const options = { feeLimit: 100_000_000, txLocal: true };
  const { transaction } = await builder.triggerSmartContract(usdt, "transfer(address,uint256)", options, parameters, me);
  same((await send(transaction)).receipt.result, "SUCCESS");
});
await check("a call built by the node passes tronweb's check", async () => {
  const parameters = [{ type: "address", value: at }, { type: "uint256", value: 1 }];
  const options = { feeLimit: 100_000_000 };
  const { transaction } = await builder.triggerSmartContract(usdt, "transfer(address,uint256)", options, parameters, me);
  same(utils.transaction.txCheck(transaction), true);
  same((await send(transaction)).receipt.result, "SUCCESS");
});
await check("views and the contract object", async () => {
  const contract = await tronWeb.contract().at(usdt);
  same(String(await contract.balanceOf(at).call()), "7000001");
  same(await contract.symbol().call(), "USDT");
  same(Number(await contract.decimals().call()), 6);
});
await check("sending through the contract object", async () => {
  const contract = await tronWeb.contract().at(usdt);
  const txid = await contract.transfer(at, 2).send({ feeLimit: 100_000_000 });
  same((await info(txid)).receipt.result, "SUCCESS");
});
await check("freeze, lend, take back, unfreeze, cancel", async () => {
  await send(await builder.freezeBalanceV2(900_000_000, "ENERGY", at), key);
  same((await tronWeb.trx.getCanDelegatedMaxSize(at, "ENERGY")).max_size, 900_000_000);
  await send(await builder.delegateResource(500_000_000, me, "ENERGY", at), key);
  const rows = await tronWeb.trx.getDelegatedResourceV2(at, me);
  same(rows.delegatedResource[0].frozen_balance_for_energy, 500_000_000);
  same((await tronWeb.trx.getDelegatedResourceAccountIndexV2(at)).toAccounts.length, 1);
  await send(await builder.undelegateResource(500_000_000, me, "ENERGY", at), key);
  await send(await builder.unfreezeBalanceV2(100_000_000, "ENERGY", at), key);
  same((await tronWeb.trx.getAvailableUnfreezeCount(at)).count, 31);
  await send(await builder.cancelUnfreezeBalanceV2(at), key);
  await send(await builder.freezeBalanceV2(1_000_000, "BANDWIDTH", at), key);
});
await check("a locked loan", async () => {
  await send(await builder.delegateResource(5_000_000, me, "ENERGY", at, true, 1200), key);
});
await check("two of two under a permission, and the approved list", async () => {
  const [one, two] = [fresh(), fresh()];
  const keys = [one, two].map((who) => ({ address: who.address.hex, weight: 1 }));
  const owner = { type: 0, permission_name: "owner", threshold: 1, keys: [{ address: staker.address.hex, weight: 1 }] };
  const operations = "7fff1fc0033ec30f" + "00".repeat(24);
  const active = { type: 2, permission_name: "pay", threshold: 2, operations, keys };
  await send(await builder.updateAccountPermissions(staker.address.hex, owner, null, [active]), key);
  const tx = await builder.sendTrx(me, 1_000_000, at, { permissionId: 2 });
  const half = await tronWeb.trx.multiSign(tx, one.privateKey, 2);
  same((await tronWeb.trx.getSignWeight(half)).current_weight, 1);
  const whole = await tronWeb.trx.multiSign(half, two.privateKey, 2);
  same((await tronWeb.trx.getApprovedList(whole)).approved_list.length, 2);
  const answer = await tronWeb.trx.sendRawTransaction(whole);
  same(answer.result, true);
  same((await info(tx.txID)).fee >= 1_000_000, true);
});
await check("a contract where tronweb expects it", async () => {
  const code = "6080604052348015600f57600080fd5b50603f80601d6000396000f3fe6080604052600080fdfea1";
  const tx = await builder.createSmartContract({ abi: [], bytecode: code, feeLimit: 1_000_000_000, name: "Nothing" }, me);
  const found = await send(tx);
  same(found.contract_address, tx.contract_address);
});
await check("exact bytes", async () => {
  const signed = await tronWeb.trx.sign(await builder.sendTrx(at, 1, me));
  const bytes = utils.transaction.txJsonToPb(signed);
  signed.signature.forEach((row) => bytes.addSignature(Uint8Array.from(Buffer.from(row.replace(/^0x/, ""), "hex"))));
  const answer = await tronWeb.trx.sendHexTransaction(Buffer.from(bytes.serializeBinary()).toString("hex"));
  same(answer.result, true);
  await info(signed.txID);
});
await check("the refusal of what has expired", async () => {
  const tx = await builder.sendTrx(at, 1, me, { blockHeader: { ...(await builder.sendTrx(at, 1, me)).raw_data, expiration: 1 } });
  const answer = await tronWeb.trx.sendRawTransaction(await tronWeb.trx.sign(tx));
  same(answer.code, "TRANSACTION_EXPIRATION_ERROR");
});
await check("a substituted call is refused by tronweb before it is signed", async () => {
  await order({ substitute: fresh().address.base58 });
  const parameters = [{ type: "address", value: at }, { type: "uint256", value: 1 }];
  let refusal = "";
  try {
    await builder.triggerSmartContract(usdt, "transfer(address,uint256)", { feeLimit: 1e8 }, parameters, me);
  } catch (error) {
    refusal = String(error);
  }
  await order({ reset: true });
  if (!/invalid|substitut|not match/i.test(refusal)) throw new Error(`tronweb said ${refusal || "nothing"}`);
});
await check("vectors are encoded by tronweb as by the node", async () => {
  const missed = [];
  for (const vector of JSON.parse(readFileSync(vectorsFile, "utf8"))) {
    try {
      const hex = utils.transaction.txPbToRawDataHex(utils.transaction.txJsonToPb({ raw_data: vector.raw_data }));
      if (hex.replace(/^0x/, "").toLowerCase() !== vector.raw_data_hex) missed.push(vector.contract);
    } catch {
      missed.push(vector.contract);
    }
  }
  // What tronweb itself cannot write: an old kind, a flag of votes, and an amount beyond 53 bits.
  same(missed.sort().join(), "TransferContract,VoteAssetContract,VoteWitnessContract");
});
console.log(JSON.stringify(told, null, 1));
