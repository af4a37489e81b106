"""The double-entry ledger of reductions and money."""
