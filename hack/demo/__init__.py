"""The main job, shown: a new version goes live under load, and a table says what every request got."""
