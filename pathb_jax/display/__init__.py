"""What people watch on a terminal: lines, tables and the progress of runs."""
