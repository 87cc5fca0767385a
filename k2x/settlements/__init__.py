"""Gateways' settlements at the command line: files in, and what became of them."""
