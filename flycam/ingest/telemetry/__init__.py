"""Telemetry of aircraft, recorded or live, as flight logs."""
