"""The heart: one broadcast pulled once, kept once, sent to many clients."""
