"""Tests of HLS out."""
