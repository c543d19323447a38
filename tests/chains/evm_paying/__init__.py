"""Paying on EVM chains: what is signed, read, sent and seen."""
