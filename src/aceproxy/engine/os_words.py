"""What the system says of a connection that failed, in the words that people know."""

from __future__ import annotations

import errno
import os

from aceproxy.engine.words import error_text


def os_words(error: OSError) -> str:
    """Return the system's sentence for an error: "Connection refused", not the call that found it out.

    asyncio puts the call and the address into the place of the sentence; the address is told beside it already. What
    is no error of the system by its number (a name that is not found) keeps its own words.
    """
    if error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return error_text(error.strerror or type(error).__name__)
