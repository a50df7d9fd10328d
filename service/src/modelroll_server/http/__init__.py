"""HTTP: hot routes and management as plain ASGI, the documentation pages by FastAPI.

May import inference and what is below; must not know how a version is loaded, nor other transports.
"""
