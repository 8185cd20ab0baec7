"""Recipes: each orchestrating function reads like one."""
