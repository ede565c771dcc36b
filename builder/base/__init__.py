"""Foundations: every other directory may use them, and they use none of the others."""
