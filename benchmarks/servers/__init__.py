"""The servers that are compared: one file each, run as a script in the environment that it is for."""
