"""Fixtures of the attacks."""

from __future__ import annotations

from tests.attack.commands import in_ram, make_operator, on_ext4, operator, ready, whole

__all__ = ["in_ram", "make_operator", "on_ext4", "operator", "ready", "whole"]
