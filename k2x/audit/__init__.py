"""The independent reader: compares what came in on the topics with Xero's own books. Shares no code with the sink."""
