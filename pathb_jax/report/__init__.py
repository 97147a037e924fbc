"""Result notes and their figures, written from records and run folders alone."""
