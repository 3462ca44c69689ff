"""The bench: scenarios against a whole running proxy, beside references that do the least that can be done."""
