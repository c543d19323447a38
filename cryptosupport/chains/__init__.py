"""One file or package per chain family, found by name."""
