"""The sink in a simulated world: real decisions, budget, ledger and codec; simulated clock, Kafka, network and Xero.

A commit and a seed determine a run. `python -m tests.simulation --seed N -v` tells it; docs/simulation.md explains it.
"""
