"""A notice by the real apprise, to a webhook."""

import json
from uuid import uuid4

from dagger import dag

from pipeline.containers.apprise import tell
from pipeline.containers.base import Reach, debian
from pipeline.report.notice import Event, Notice

CANARY = f"canary-notify-{uuid4().hex}"
HOOK = f"""
from http.server import BaseHTTPRequestHandler, HTTPServer
class Hook(BaseHTTPRequestHandler):
    told = b"nothing"
    def do_POST(self):
        Hook.told = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200 if "{CANARY}" in self.path else 403)
        self.end_headers()
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(Hook.told)
HTTPServer(("", 8080), Hook).serve_forever()
"""
NOTICE = Notice(Event.PROMOTED, "os: promoted v1.0.0 to stable", 'It\'s "there";\n$(false)')


async def test_every_address_is_told_and_one_that_refuses_fails_nothing(
    engine: None,
) -> None:
    hook = debian("python3").with_new_file("/hook.py", HOOK).with_exposed_port(8080)
    service = await hook.as_service(args=["python3", "/hook.py"]).start()
    reach = Reach(services={"hook": service})
    there = dag.set_secret("there", f"json://hook:8080/{CANARY}")
    assert await tell(reach, there, [NOTICE]) == []
    asked = reach.outside(debian("curl")).with_exec(["curl", "-sS", "http://hook:8080/"])
    told = json.loads(await asked.stdout())
    assert (told["title"], told["message"].strip()) == (NOTICE.subject, NOTICE.text)
    away = dag.set_secret("away", "json://hook:8080/another")
    assert await tell(reach, away, [NOTICE]) == [f"{NOTICE.subject}: apprise ended with 1"]
