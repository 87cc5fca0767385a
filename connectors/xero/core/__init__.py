"""The sink's decisions, pure: events in, actions out. No I/O, no clock, no randomness; production and simulation run
this same code. Start with `Lane` in lane.py."""
