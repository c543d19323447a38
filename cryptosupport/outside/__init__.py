"""Whatever else is asked or told."""
