"""The jobs of the desk: verb phrases over domain and ports."""
