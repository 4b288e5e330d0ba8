"""The report on a model, one HTML file: `page.py` says what is on it and writes it."""
