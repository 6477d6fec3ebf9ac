"""Ordinary users who chat, buy and grab for as long as a test runs, and the audit of what they received."""
