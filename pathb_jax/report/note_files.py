"""What files a result note is: known before anything heavy is imported."""

NOTE_NAME = "PHASE7_V2_PATH_B_RESULTS.md"
"""The note's name beside the record (docs/spec/ladder.md, "Files")."""

FIGURES = {
    "dynamics": "figures/path_b_dynamics.png",
    "window": "figures/path_b_window.png",
    "along": "figures/path_b_along.png",
    "success": "figures/path_b_success.png",
    "rules": "figures/path_b_rules.png",
    "diagnosis": "figures/path_b_diagnosis.png",
}
"""The note's figures, beside it."""

MARKER = "written by pathb_jax: a ladder's result note"
"""Ends every note, so that it is recognised and may be written anew."""


def is_own_note(data: bytes) -> bool:
    """Recognise a note by its marker; notes of earlier versions by how they begin."""
    return f"<!-- {MARKER} -->".encode() in data or data.startswith(b"# Path B: results\n\n**")
