"""The demo: a Kentico shop, Kafka, all of k2x and Xero's books on one machine, and an honest account at the end."""
