"""Texts of strangers for a terminal: logs, names and messages must not steer it."""

import re

# ECMA-48 (section 5.4 and 5.6): CSI sequences; then OSC, DCS, SOS, PM and APC strings up to their terminator, or to
# the end where it is missing; then two-character escapes. Each has a 7-bit and an 8-bit introducer.
_SEQUENCE = (
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|\Z)"
    r"|\x1b[ -/]*[0-~]?"
)


def clean(text: str | bytes) -> str:
    """One line without anything that could steer a terminal: control sequences are taken out, and controls, invisible
    and direction-changing characters become spaces. Of a line that redraws itself (`\\r`) the last state stays."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if text.isprintable():
        return text
    text = re.sub(_SEQUENCE, "", text, flags=re.DOTALL)  # compiled here: most runs never need it
    states = [each for each in re.split(r"[\r\n]", text) if each.strip()]
    return "".join(each if each.isprintable() else " " for each in states[-1]).rstrip() if states else ""


def clean_lines(text: str) -> str:
    """The same for a text of many lines, which stay lines."""
    return "\n".join(map(clean, text.split("\n")))
