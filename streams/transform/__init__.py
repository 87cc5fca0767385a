"""Pure functions from Kentico's aggregates to Xero's documents (BOOKKEEPING). No clock, no randomness, no I/O."""
