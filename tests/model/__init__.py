"""The paying protocol as a model, searched for a run in which money is lost."""
