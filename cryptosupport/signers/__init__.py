"""Whoever holds a key: in this process, behind a socket, or elsewhere. Each checks what it signs, and remembers it."""
