"""The benchmark: this server and PyKMIP's, side by side on this machine, and the floors neither can go below.

One closed-loop load drives both with the same request bytes over kept TLS connections with client certificates. Short
rounds take turns between the servers, so that a machine that becomes slower slows both. Every answer is checked; a single
failure fails the run. What the load itself can do is measured with a TLS echo that answers without thinking.

    requests    the bytes that are sent
    servers     what is driven: kmipsrv, PyKMIP, the echo; each a process of its own with a state of its own
    load.c      the load, compiled when the run starts; client.py, the same in Python, where there is no compiler
    load        one round of either -> what came of it
    floors      unseal, read by key, durable commit: each alone, in this process
    gate        what verifying attestation evidence costs
    report      tables, JSON, picture
"""
