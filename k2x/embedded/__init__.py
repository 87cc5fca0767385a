"""Apache Kafka started by k2x itself, for one machine: no Docker and no Java to install."""

from k2x.embedded.broker import EmbeddedKafka
from k2x.embedded.errors import EmbeddedKafkaError

__all__ = ["EmbeddedKafka", "EmbeddedKafkaError"]
