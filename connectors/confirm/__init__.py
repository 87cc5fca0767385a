"""Tells other systems what became of an order, by signed webhooks."""
