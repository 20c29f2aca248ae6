"""The edge: sockets, TLS, processes and threads; the only room with an event loop (KMIP 2.1 §10.2-10.4).

`serve.py` ties it together: `workers.py` forks the processes, `listener.py` accepts and shakes hands, `tcp.py` cuts
the stream into messages and `http.py` takes them out of requests, `engine_thread.py` carries them to the engine and
the answers back. A door knows frames and peers, never what is in a message: whoever answers is given as a callable.
Everything a client can spend (connections, bytes, seconds) is bounded in `limits.py`.
"""
