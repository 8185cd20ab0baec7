"""Another flycam asks: a field box that syncs, a province that shares."""
