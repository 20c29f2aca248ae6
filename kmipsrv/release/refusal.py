"""How evidence is refused."""

from __future__ import annotations


class Refused(Exception):
    """The evidence is not authentic, or not acceptable as such.

    `step` names the step of the verification that failed (one word of the verifier's numbered list), `reason` says why
    in one line. Both are for the audit record and the operator; a client learns neither. No evidence is quoted.
    """

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.reason = reason
