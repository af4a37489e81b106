"""`python -m greentrip_server` is `greentrip-server`."""

from greentrip_server.cli import main

if __name__ == "__main__":
    main()
