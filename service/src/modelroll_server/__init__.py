"""The model server of modelroll."""
