"""Tests of the logging."""
