"""Replay: sends what came in once more through the same agents, at most so much at a time; and says before what that
would do."""
