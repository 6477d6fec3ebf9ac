"""The vocabulary of all features together: commands, events, frames, records, and the codec that reads them."""
