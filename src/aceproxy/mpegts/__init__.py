"""MPEG transport streams (ISO/IEC 13818-1): pure code, no I/O and no clock."""
