"""What record.py asks, in groups."""
