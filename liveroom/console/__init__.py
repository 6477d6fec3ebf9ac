"""The console: HTTP API, directory, health and the two pages."""
