"""`python -m k2x` is the `k2x` command."""

from k2x.cli import main

main()
