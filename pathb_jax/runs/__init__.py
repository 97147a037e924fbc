"""One training run: from its configuration to its files and back."""
