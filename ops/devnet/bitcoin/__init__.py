"""The local Bitcoin: a real node on regtest, before it a front door that makes the blocks and misbehaves on request.

`package` finds or fetches the program, `node` runs it, `regtest` mines, reorganises and fills wallets on it.
`python -m ops.devnet.bitcoin --help` is the front door; its faults are described in `faults.py`.
"""
