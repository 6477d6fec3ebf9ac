"""Customers who claim something scarce at once, and the audit of every answer."""
