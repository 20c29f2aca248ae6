"""The demonstration of attested release: a server, a software TPM, and a key that goes from one into the other.

__main__    the story, step by step; each step says what must happen, and the run fails where it does not
page        the decisions of the audit trail as a page: each policy leaf by leaf
"""
