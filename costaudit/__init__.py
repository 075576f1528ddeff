"""Offline cost audit of LLM request logs."""

__version__ = "0.1.0"
