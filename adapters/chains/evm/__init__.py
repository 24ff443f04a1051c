"""Ethereum and the networks that speak its language: JSON-RPC nodes, type-2 transactions, one nonce per slot."""
