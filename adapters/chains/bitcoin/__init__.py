"""Bitcoin: a wallet of many coins, one transaction for many payments, slots that are the spending of a coin."""
