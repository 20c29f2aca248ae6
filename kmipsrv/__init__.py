"""kmipsrv: a KMIP key management server. `app.py` puts the rooms together; each room says what it is for."""

__version__ = "0.1.0"
