"""How the ledger's tables came to be, step by step and forward only. `schema.upgrade` runs what is missing."""
