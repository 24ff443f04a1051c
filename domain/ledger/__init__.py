"""Double entry: the chart of accounts, entries that balance by construction, and two-phase holds."""
