"""Two cells of FLARE in a process of their own: says on its output what crossed.

In the tests' own process a cell named ``server`` would take what is meant for others.
"""

import json
import sys

from nvflare.fuel.f3.cellnet.cell import Cell
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, ReturnCode
from nvflare.fuel.f3.cellnet.utils import make_reply
from nvflare.fuel.f3.message import Message

from fednb.flare.processes import free_port
from fednb.flare.transport import unwrapped, wrapped

QUESTION = bytes(range(256)) * 12_000


def answer(request):
    same = bytes(request.payload) == QUESTION
    said = f"{type(request.payload).__name__}, {same}"
    return make_reply(ReturnCode.OK, body=wrapped(said.encode()))


def fail(_):
    message = "patient 17"
    raise RuntimeError(message)


def ask(cell, topic, target):
    reply = cell.send_request(
        channel="fednb",
        topic=topic,
        target=target,
        request=Message(payload=QUESTION),
        timeout=5.0,
        optional=True,
    )
    body = unwrapped(reply)
    return {
        "code": reply.get_header(MessageHeaderKey.RETURN_CODE),
        "error": reply.get_header(MessageHeaderKey.ERROR),
        "body": body if body is None else body.decode(),
    }


def main():
    url = f"tcp://127.0.0.1:{free_port()}"
    server, site = Cell("server", url, False, {}), Cell("a", url, False, {})
    server.start()
    site.start()
    site.register_request_cb(channel="fednb", topic="answer", cb=answer)
    site.register_request_cb(channel="fednb", topic="fail", cb=fail)
    found = {
        f"{kind} {topic} {target}": ask(cell, topic, target)
        for kind, cell in (("core", server.core_cell), ("stream", server))
        for topic, target in (("answer", "a"), ("fail", "a"), ("answer", "b"))
    }
    sys.stdout.write(json.dumps(found))
    site.stop()
    server.stop()


if __name__ == "__main__":
    main()
