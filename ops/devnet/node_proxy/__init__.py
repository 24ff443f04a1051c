"""A node's front door before anvil: geth's pool and words, blocks at a chosen pace, a chain that survives `kill -9`,
and faults on request. `python -m ops.devnet.node_proxy --help`; faults are described in `faults.py`.
"""
