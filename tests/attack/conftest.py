"""Fixtures of the attacks."""

from __future__ import annotations

from tests.attack.commands import flown, in_ram, make_operator, on_ext4, operator, ready, whole

__all__ = ["flown", "in_ram", "make_operator", "on_ext4", "operator", "ready", "whole"]
