"""Makes the reference pages and the AsyncAPI document from the classes: `python -m docs.generate`."""
