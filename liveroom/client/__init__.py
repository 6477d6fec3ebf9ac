"""The Python SDK and liveroom.js."""
