"""TRON: java-tron's HTTP API, transactions that time alone excludes, resources instead of gas."""
