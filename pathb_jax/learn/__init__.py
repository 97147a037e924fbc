"""PPO: networks, normaliser, rollout, advantages, update, and the scanned training loop."""
