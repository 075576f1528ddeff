"""requests -> ledger: the price book, and what calls cost or would have cost by it."""
