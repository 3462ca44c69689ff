"""`python -m aceproxy.simulator`."""

from aceproxy.simulator.command import main

if __name__ == "__main__":
    main()
