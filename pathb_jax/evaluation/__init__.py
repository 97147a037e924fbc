"""Playing whole episodes from fixed seeds, and summarising them."""
