"""The desk that moves customers' coins and explains them."""

__version__ = "0.1.0"
