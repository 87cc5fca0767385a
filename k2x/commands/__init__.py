"""One module a command of the `k2x` line; each parses, calls, prints. The work is elsewhere."""
