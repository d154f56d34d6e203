"""Measurements beside what they must stand comparison with, ratios first."""
