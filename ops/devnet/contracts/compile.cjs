// Compiles the contracts of the local networks into artifacts (ABI and bytecode) beside their sources. Only needed when a
// .sol file changed:
//   npm install --prefix /tmp/solc solc@0.8.37 && NODE_PATH=/tmp/solc/node_modules node ops/devnet/contracts/compile.cjs
"use strict";
const fs = require("fs");
const path = require("path");
const solc = require("solc");

// What each folder's networks run, and whether code is to be quick (many runs) or small (one).
const FOLDERS = [
  { folder: __dirname, evmVersion: "cancun", runs: 200 },
  { folder: path.join(__dirname, "../tron/contracts"), evmVersion: "istanbul", runs: 1 },
];

for (const { folder, evmVersion, runs } of FOLDERS) compile(folder, evmVersion, runs);

function compile(folder, evmVersion, runs) {
  const names = fs.readdirSync(folder).filter((file) => file.endsWith(".sol")).sort();
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(names.map((n) => [n, { content: fs.readFileSync(path.join(folder, n), "utf8") }])),
    settings: {
      optimizer: { enabled: true, runs },
      evmVersion,
      metadata: { bytecodeHash: "none", appendCBOR: false },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  for (const error of output.errors || []) console.error(error.formattedMessage);
  if ((output.errors || []).some((error) => error.severity === "error")) process.exit(1);
  for (const name of names) {
    const contract = path.basename(name, ".sol");
    const { abi, evm } = output.contracts[name][contract];
    const artifact = {
      contract,
      compiler: solc.version(),
      abi,
      bytecode: "0x" + evm.bytecode.object,
      deployedBytecode: "0x" + evm.deployedBytecode.object,
    };
    fs.writeFileSync(path.join(folder, contract + ".json"), JSON.stringify(artifact, null, 1) + "\n");
  }
}
