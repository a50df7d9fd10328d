"""A whole body taken from uvicorn, and a whole answer handed to it, in one piece each.

ASGI passes them as messages, through coroutines, and checks each header: a fifth of what a small request costs. Here
the bytes are taken as they lie, and written at once, and uvicorn's own record of the exchange is brought to where the
messages would have left it. Owns what of uvicorn's insides that takes; the version of uvicorn is bounded for it.
"""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from modelroll_server.http.asgi import Receive, Response, Send


def read(receiver: Receive) -> bytes | None:
    """The request's body, if it has arrived whole; None when it has to be received as ASGI messages.

    Args:
        receiver: What ASGI calls `receive`.
    """
    cycle = getattr(receiver, "__self__", None)
    if (
        type(cycle) is not RequestResponseCycle
        or cycle.more_body
        or cycle.waiting_for_100_continue
        or cycle.disconnected
        or not cycle.message_event.is_set()
    ):
        return None
    data = bytes(cycle.body)
    cycle.body = bytearray()
    cycle.message_event.clear()
    return data


def write(response: Response, sender: Send, *, close: bool) -> bool:
    """Write an answer, or return False when it has to be sent as ASGI messages.

    Args:
        response: Its headers are ours, or checked: they are written as they are.
        sender: What ASGI calls `send`.
        close: Whether the connection ends with this answer.
    """
    cycle = getattr(sender, "__self__", None)
    if (
        type(cycle) is not RequestResponseCycle
        or cycle.response_started
        or cycle.disconnected
        or cycle.flow.write_paused
        or cycle.scope["method"] == "HEAD"
    ):
        return False
    parts = [STATUS_LINE[response.status]]
    for name, value in cycle.default_headers:
        parts += (name, b": ", value, b"\r\n")
    for name, value in response.headers:
        parts += (name, b": ", value, b"\r\n")
    if close:
        cycle.keep_alive = False
    if not cycle.keep_alive:
        parts.append(b"connection: close\r\n")
    parts += (b"content-length: %d\r\n\r\n" % len(response.body), response.body)
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(b"".join(parts))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


def cut(sender: Send) -> None:
    """End a connection at once, with what is not sent yet: its client does not read."""
    cycle = getattr(sender, "__self__", None)
    if type(cycle) is RequestResponseCycle:
        cycle.transport.abort()
        cycle.disconnected = True  # as the transport will say in a moment
