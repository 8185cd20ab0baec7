"""What an aircraft says, recorded or live, as a flight log."""
