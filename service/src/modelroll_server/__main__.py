"""`python -m modelroll_server`: the same as `modelroll`."""

from modelroll_server.cli import main

if __name__ == "__main__":
    main(prog_name="modelroll")
