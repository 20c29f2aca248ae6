"""One module for each kind of evidence; each has a function (evidence, endorsements, now, nonce) -> claims, or raises.

The steps of a verification are numbered in the docstring of its module and again at the code that does them; the name
of the step that failed is `Refused.step`. The registry is in `kmipsrv.release.evidence`.
"""
