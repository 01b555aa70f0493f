"""Recipes that are known by name, and the pictures that are asked for of them."""
