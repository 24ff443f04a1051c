"""The store: PostgreSQL. Ledger, withdrawals, payouts and keys, and everything that must change together with them."""
