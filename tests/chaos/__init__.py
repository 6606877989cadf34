"""The proof of delivery: load and faults against real processes, then a ledger (docs/chaos.md)."""
