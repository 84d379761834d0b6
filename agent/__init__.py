"""Doorward: an apartment door that opens for a face and keeps nothing that could leak."""

__version__ = "0.1.0"
