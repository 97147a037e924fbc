"""Runs on the machines of a Ray cluster: the only package that knows Ray.

Each run is a Ray task with a core or an accelerator to itself. Its files go to the same paths as
without Ray, in a folder that all machines share. If its worker is lost Ray starts the task again,
elsewhere if need be, and the run goes on from its last checkpoint as any run does.
"""
