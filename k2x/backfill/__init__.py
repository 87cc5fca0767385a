"""Backfill: the orders that were in Kentico before k2x, behind live ones; and says before what that would do."""
