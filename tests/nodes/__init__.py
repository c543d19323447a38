"""Real nodes for the tests."""
