"""Relays between the parts, which can cut, refuse and stall the connections."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from scripts.local import free_port, hold_port

_PIECE = 64 * 1024

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
Serve = Callable[
    [asyncio.StreamReader, asyncio.StreamWriter],
    Awaitable[None],
]


class Wire:
    """One relay: it passes each connection on to the part behind it, unless it is told not to."""

    def __init__(self, listen: Callable[[Serve], Awaitable[asyncio.Server]], far: Connect) -> None:
        """Say how to listen and how to reach the part behind; nothing is opened yet."""
        self._listen = listen
        self._far = far
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Let every connection through, those that were held up first."""
        self._flows.set()
        if self._server is None:
            self._server = await self._listen(self._relay)

    def cut(self) -> None:
        """Reset every connection; new ones are let through."""
        for end in list(self._ends):
            end.transport.abort()

    def refuse(self) -> None:
        """Reset every connection, and refuse new ones until it is opened again."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def stall(self) -> None:
        """Keep every connection, and let nothing through until it is opened again."""
        self._flows.clear()

    async def close(self) -> None:
        """Refuse every connection, for good."""
        self.refuse()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a callback of a server always has one
        self._tasks.add(task)
        self._ends.add(writer)
        far_writer: asyncio.StreamWriter | None = None
        try:
            await self._flows.wait()
            far_reader, far_writer = await self._far()
            self._ends.add(far_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, far_writer))
                both.create_task(self._pass(far_reader, writer))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, far_writer):
                if end is not None:
                    self._ends.discard(end)
                    end.transport.abort()
            self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE):
            await self._flows.wait()
            writer.write(piece)
            await writer.drain()
        with suppress(OSError):
            writer.write_eof()


def tcp_wire(far_port: int) -> tuple[Wire, int]:
    """Return a relay to another port of 127.0.0.1, and its own port, kept even while it refuses."""
    port = free_port()
    held = hold_port(port)

    async def listen(serve: Serve) -> asyncio.Server:
        assert held is not None  # noqa: S101 - named here so that it lives as long as the wire
        return await asyncio.start_server(serve, "127.0.0.1", port, reuse_port=True, backlog=512)

    return Wire(listen, lambda: asyncio.open_connection("127.0.0.1", far_port)), port


def socket_wire(path: Path, far: Path) -> Wire:
    """Return a relay from one Unix socket to another."""

    async def listen(serve: Serve) -> asyncio.Server:
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(serve, path, backlog=512)
        path.chmod(0o600)
        return server

    return Wire(listen, lambda: asyncio.open_unix_connection(far))
