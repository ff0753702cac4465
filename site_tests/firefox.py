"""Firefox as it is installed, driven by WebDriver BiDi, which it speaks by itself: no driver, no build of its own."""

import contextlib
import itertools
import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import websocket

NAMES = ["firefox-esr", "firefox"]
QUIET = """
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.proxy.type", 1);
user_pref("network.proxy.socks", "127.0.0.1");
user_pref("network.proxy.socks_port", 9);
user_pref("network.proxy.no_proxies_on", "127.0.0.1");
user_pref("toolkit.telemetry.server", "");
"""  # no other host can be reached
EVENTS = ["log.entryAdded", "network.fetchError"]


def find() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class Firefox:
    """One tab. `problems` collects what it says to the console, and what it could not load."""

    def __init__(self, channel):
        self.channel, self.numbers, self.problems = channel, itertools.count(1), []
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=EVENTS)
        self.tab = self.ask("browsingContext.create", type="tab")["context"]

    def ask(self, method: str, **params):
        """Send a command, return its result; keep what Firefox reports meanwhile."""
        number = next(self.numbers)
        self.channel.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.channel.recv())
            if message.get("id") == number:
                if message["type"] == "error":
                    raise RuntimeError(f"{method}: {message['message']}")
                return message["result"]
            self.keep(message)

    def keep(self, event):
        params = event.get("params", {})
        if event.get("method") == "network.fetchError":
            self.problems.append(f"not loaded: {params['request']['url']} {params['errorText']}")
        elif event.get("method") == "log.entryAdded" and params["level"] in ("error", "warn"):
            self.problems.append(f"console {params['level']}: {params['text']}")

    def goto(self, address: str) -> None:
        self.ask("browsingContext.navigate", context=self.tab, url=address, wait="complete")

    def evaluate(self, expression: str):
        """Return the value of an expression, which may be a promise, as far as JSON can hold it."""
        target, wrapped = {"context": self.tab}, f"(async () => JSON.stringify(await ({expression})) ?? 'null')()"
        said = self.ask("script.evaluate", expression=wrapped, target=target, awaitPromise=True, userActivation=True)
        if said["type"] == "exception":
            raise RuntimeError(said["exceptionDetails"]["text"])
        return json.loads(said["result"]["value"])

    def press(self, selector: str) -> None:
        """Press the mouse in the middle of an element."""
        place = "(e => {e.scrollIntoView({block: 'center', behavior: 'instant'}); const b = e.getBoundingClientRect();"
        place += "return [b.x + b.width / 2, b.y + b.height / 2].map(Math.round)})"
        x, y = self.evaluate(f"{place}(document.querySelector({json.dumps(selector)}))")
        moves = [{"type": "pointerMove", "x": x, "y": y}]
        moves += [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        pointer = {"type": "pointer", "id": "mouse", "actions": moves}
        self.ask("input.performActions", context=self.tab, actions=[pointer])


@contextlib.contextmanager
def running(program: str, seconds: float = 60):
    """Run Firefox with a profile of its own, without a window."""
    with tempfile.TemporaryDirectory() as folder, open(Path(folder, "log"), "w+", encoding="utf-8") as log:
        profile = Path(folder, "profile")
        profile.mkdir()
        (profile / "user.js").write_text(QUIET, encoding="utf-8")
        command = [program, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            listening = address(process, Path(log.name), seconds)
            with contextlib.closing(websocket.create_connection(listening, suppress_origin=True)) as channel:
                yield Firefox(channel)
        finally:
            process.terminate()
            process.wait(timeout=seconds)


def address(process, log: Path, seconds: float) -> str:
    last = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < last:
        if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", log.read_text(encoding="utf-8")):
            return f"{found[1]}/session"
        time.sleep(0.1)
    raise RuntimeError(f"Firefox does not start:\n{log.read_text(encoding='utf-8')}")
