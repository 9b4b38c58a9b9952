"""A client of the WebSocket, of another make than the server: python3-websockets."""
import asyncio
import functools
import json
import unittest

try:
    import websockets
    from websockets import ConnectionClosed
except ImportError:
    websockets = ConnectionClosed = None

PATIENCE = 30


@functools.lru_cache(maxsize=100)
def parse(text):
    """Many clients hear the same."""
    messages = json.loads(text)
    return messages if isinstance(messages, list) else [messages]


class Live:
    """One client. Keeps all that it heard, in order."""

    def __init__(self, server):
        self.server, self.heard, self.read = server, [], 0

    async def __aenter__(self):
        self.socket = await websockets.connect(f"ws://127.0.0.1:{self.server.port}/ws", max_size=None,
                                               extra_headers={"Authorization": f"Bearer {self.server.token}"})
        self.hello = (await self.until(lambda message: message["event"] == "hello"))["data"]
        return self

    async def __aexit__(self, *_):
        await self.socket.close()

    async def say(self, op, channel, **more):
        await self.socket.send(json.dumps({"op": op, "channel": channel, **more}))

    async def subscribe(self, channel, **more):
        await self.say("subscribe", channel, **more)
        return await self.until(lambda message: message["event"] == "subscribed" and message["channel"] == channel)

    async def until(self, wanted):
        """The next message, of those not yet looked at, that is wanted."""
        while True:
            while self.read < len(self.heard):
                self.read += 1
                if wanted(self.heard[self.read - 1]):
                    return self.heard[self.read - 1]
            self.heard += parse(await asyncio.wait_for(self.socket.recv(), PATIENCE))

    async def event(self, name, **data):
        return await self.until(lambda message: message["event"] == name and data.items() <= message["data"].items())

    def ticks(self, channel):
        return [message["data"] for message in self.heard if message["event"] == "system:metrics" and message["channel"] == channel]

    def events(self, channel):
        """All but ticks and answers to the client."""
        return [message for message in self.heard if message.get("channel") == channel and ":" in message["event"]
                and message["event"] != "system:metrics"]


def need_websockets():
    if websockets is None:
        raise unittest.SkipTest("python3-websockets is not installed (scripts/install-packages)")
