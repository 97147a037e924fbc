"""The task as other libraries expect an environment; docs/ADAPTERS.md shows each in ten lines.

Nothing here is imported unless it is asked for: `training_world` needs gymnax alone,
`gymnasium_envs` gymnasium (which gymnax brings), `stable_baselines` Stable-Baselines3.
"""
