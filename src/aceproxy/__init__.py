"""AceProxy: an HTTP proxy in front of AceStream engines."""

__version__ = "0.1.0"
