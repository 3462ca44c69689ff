"""Downstream: the HTTP face."""
