"""Stands in for QEMU: calls back over QMP and plays a scene. `python fake_qemu.py SOCKET SCENE`.

The scene is a JSON list of steps, each with some of "console", "stderr", "event" (with "data"), "hang", "exit"; a first
step {"exit_before_qmp": code, "stderr": text} fails at once. A step with "exit" is the last of this process: the rest
of the list is left in the file, for the next process to play.
"""

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path


def main() -> None:
    path, script = sys.argv[1], Path(sys.argv[2])
    scene = json.loads(script.read_text())
    monitor = socket.socket(socket.AF_UNIX)
    if scene and "exit_before_qmp" in scene[0]:
        sys.stderr.write(scene[0]["stderr"] + "\n")
        sys.exit(scene[0]["exit_before_qmp"])
    monitor.connect(path)
    send(
        monitor,
        {"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 0}, "package": ""}, "capabilities": []}},
    )
    requests = messages(monitor)
    send(monitor, {"return": {}, "id": next(requests).get("id")})
    threading.Thread(target=answer, args=(monitor, requests), daemon=True).start()
    while scene:
        step = scene.pop(0)
        script.write_text(json.dumps(scene))
        play(monitor, step)


def play(monitor: socket.socket, step: dict) -> None:
    if "console" in step:
        sys.stdout.write(step["console"])
        sys.stdout.flush()
    if "stderr" in step:
        sys.stderr.write(step["stderr"])
        sys.stderr.flush()
    if "event" in step:
        send(
            monitor,
            {"event": step["event"], "data": step.get("data", {}), "timestamp": {"seconds": 0, "microseconds": 0}},
        )
    if "hang" in step:
        threading.Event().wait()
    if "exit" in step:
        sys.exit(step["exit"])


def answer(monitor: socket.socket, requests: Iterator[dict]) -> None:
    for request in requests:
        send(monitor, {"return": {}, "id": request.get("id")})
        if request.get("execute") == "quit":
            os._exit(0)


def messages(monitor: socket.socket) -> Iterator[dict]:
    """JSON documents, which the client does not end with a newline."""
    text = ""
    while data := monitor.recv(4096):
        text += data.decode()
        while text.strip():
            try:
                document, end = json.JSONDecoder().raw_decode(text.lstrip())
            except ValueError:
                break
            text = text.lstrip()[end:]
            yield document


def send(monitor: socket.socket, message: dict) -> None:
    monitor.sendall(json.dumps(message).encode() + b"\n")


main()
