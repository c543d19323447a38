"""Paying on Bitcoin: descriptors, transactions, signing and reading."""
