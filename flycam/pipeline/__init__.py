"""Recipes of the pipeline; each orchestrating function reads like one."""
