"""`python -m aceproxy` is `aceproxy`."""

from __future__ import annotations

from aceproxy.cli import main

if __name__ == "__main__":
    main()
