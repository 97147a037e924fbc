"""The exit codes of all commands, and what they mean."""

OK = 0
FAILURE = 1
BAD_INPUT = 2
BELOW_FLOOR = REJECTED = 3
DIVERGED = 4
SIGNAL_BASE = 128
"""After a signal the code is this plus its number: 130 for SIGINT, 143 for SIGTERM."""

MEANINGS = {
    str(OK): "done: adopted, or everything holds",
    str(FAILURE): "failed, or something does not hold",
    str(BAD_INPUT): "bad input: one line says what is allowed; nothing was written",
    str(BELOW_FLOOR): "done, and negative: success below --success-floor, no candidate adopted",
    str(DIVERGED): "the run diverged: a figure became non-finite",
    f"{SIGNAL_BASE}+N": "stopped by signal N; the same command goes on from the last checkpoint",
}
"""Code -> its meaning, as `pathb --help` prints it."""
