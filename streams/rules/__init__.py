"""The business rules of an organisation: read, checked, resolved; and Xero's reference data as rules meet it. Pure."""
