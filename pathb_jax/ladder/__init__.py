"""The pre-registered ladder: protocol, acceptance stages, statistics, failure modes."""
