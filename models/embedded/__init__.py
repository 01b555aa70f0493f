"""Captioned drawings in, a small text-to-image model out."""
