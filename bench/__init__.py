"""Benchmarks: the program beside web3.py, bitcoin-cli and the nodes' own limits, in one run on private nodes."""
