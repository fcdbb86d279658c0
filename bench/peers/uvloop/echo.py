"""Echo server on asyncio with uvloop: python3 echo.py PORT"""

import asyncio
import sys

import uvloop


class Echo(asyncio.Protocol):
    def connection_made(self, transport):  # TCP_NODELAY is set
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", int(sys.argv[-1]), backlog=4096)  # sets SO_REUSEADDR
    await server.serve_forever()


uvloop.install()
asyncio.run(main())
