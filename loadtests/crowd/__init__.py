"""Viewers who watch one room: a steady stream of announcements, the replay of a real chat, and Locust users."""
