"""Run cryptosupport from a checkout: `python cli.py tx status TXID`."""

from cryptosupport.commands import main

if __name__ == "__main__":
    main()
