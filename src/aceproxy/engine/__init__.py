"""Upstream: links, and talking to AceStream engines."""
