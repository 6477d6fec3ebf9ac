"""The journal in Kafka."""
