"""liveroom: the real-time backend of live-commerce rooms."""

__version__ = "0.1.0"
