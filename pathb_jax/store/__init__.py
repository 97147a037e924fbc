"""What a run leaves on disk: checkpoints, artifacts, records. Knows no learning code."""
