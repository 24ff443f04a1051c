"""The TRON node of the local networks: java-tron's HTTP API over one deterministic chain, without a network behind it.

It shares no code with the adapter that speaks to it: codec, addresses and rules are written a second time here, so that
a misunderstanding of one side is seen by the other. Rules and numbers follow java-tron 4.8.

Left out on purpose: votes and rewards, the market, shielded transfers, gRPC, event subscription; the sharing of energy
with a contract's deployer (`consume_user_resource_percent`), and the token and staking opcodes of the TVM.
"""
