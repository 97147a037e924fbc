"""Holding a record and its runs against themselves, with code of its own."""
