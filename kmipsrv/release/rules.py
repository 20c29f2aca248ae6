"""Rules: release policies that the operator lays on objects by tenant, Object Group or Name.

A rule's policy is given to a new object that has none, and asked for at every opening of every object that the rule is
about, beside the object's own: a rule that is added later guards what is there already.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from kmipsrv.domain.ports import Labels


@dataclass(frozen=True, slots=True)
class Rule:
    """Every condition that is given must hold; a rule without any is about every object."""

    policy: str
    """The policy's id."""
    tenant: str | None = None
    object_group: str | None = None
    name: str | None = None
    """A pattern with * and ?, for any of the object's Names; case matters."""

    def matches(self, tenant: str, labels: Labels) -> bool:
        """Whether the rule is about an object. The labels are looked at only where they matter."""
        if self.tenant is not None and self.tenant != tenant:
            return False
        if self.object_group is None and self.name is None:
            return True
        names, groups = labels()
        if self.object_group is not None and self.object_group not in groups:
            return False
        pattern = self.name
        return pattern is None or any(fnmatch.fnmatchcase(name, pattern) for name in names)
