"""A Kentico Xperience 13 shop to test against: it imports nothing of k2x, so that it can judge it."""
