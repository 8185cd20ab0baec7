"""Fixtures of the attacks."""

from __future__ import annotations

from tests.attack.commands import in_ram, make_operator, operator, ready, whole

__all__ = ["in_ram", "make_operator", "operator", "ready", "whole"]
