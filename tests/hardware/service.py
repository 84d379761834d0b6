"""The installed unit under a real systemd: what it does when it hangs, dies or is looked into.

It drives the real lines of the kernel's simulated chip, and sees a film in place of a camera.
"""

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hardware.chip import level, pull

RELAY, EXIT, BELL, CONTACT, TAMPER = 17, 22, 23, 24, 25
STATE = Path("/var/lib/doorward")
PROBE = Path("/run/systemd/system/doorward.service.d/zz-probe.conf")
PATIENCE = 240.0
"""Seconds: everything takes some twenty times longer on an emulated processor."""


def run(*words: str) -> str:
    ended = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, f"{words}: {ended.stdout} {ended.stderr}"
    return ended.stdout


def systemctl(*words: str) -> str:
    return run("systemctl", *words)


def show(name: str) -> str:
    return systemctl("show", "doorward", "--value", "-p", name).strip()


def process() -> int:
    return int(show("MainPID"))


def eventually(condition: Callable[[], object]) -> bool:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def ready() -> bool:
    return show("ActiveState") == "active"


def tell(what: str, figure: object) -> None:
    """Put a figure where whoever runs this finds it."""
    with Path("/dev/ttyS0").open("w", encoding="utf-8") as line:
        line.write(f"\r\nfigure: {what}: {figure}\r\n")


def journal(since: str) -> str:
    return run("journalctl", "-u", "doorward", "-o", "cat", "--no-pager", f"--after-cursor={since}")


def cursor() -> str:
    shown = run("journalctl", "-u", "doorward", "-n", "1", "--show-cursor", "-o", "cat", "-q")
    return shown.rpartition("-- cursor: ")[2].strip()


def rest() -> None:
    """Buttons up, door and case closed."""
    for line in (27, EXIT, BELL):
        pull(line, 1)
    for line in (CONTACT, TAMPER, RELAY):
        pull(line, 0)


def push(line: int) -> None:
    pull(line, 0)
    time.sleep(1.0)
    pull(line, 1)


@pytest.fixture(autouse=True)
def door() -> Iterator[None]:
    """The door at work; what was asked for in a test is forgotten after it."""
    if not ready():
        systemctl("start", "doorward")
    rest()
    yield
    if PROBE.exists():
        systemctl("stop", "doorward")
        PROBE.unlink()
        systemctl("daemon-reload")
    rest()


# --- how long ------------------------------------------------------------------------------------


def test_it_starts_and_stops_five_times() -> None:
    took = []
    for _ in range(5):
        systemctl("stop", "doorward")
        assert show("Result") == "success"
        assert level(RELAY) == 0
        began = time.monotonic()
        systemctl("start", "doorward")
        took.append(time.monotonic() - began)
        assert ready()
    each = ", ".join(f"{seconds:.1f}" for seconds in took)
    tell("systemctl start to ready, median of 5", f"{statistics.median(took):.1f} s ({each})")


# --- the lines -----------------------------------------------------------------------------------


def test_the_exit_button_releases_the_real_line_for_the_pulse_and_no_longer() -> None:
    since = cursor()
    pull(EXIT, 0)
    assert eventually(lambda: level(RELAY) == 1)
    began = time.monotonic()
    assert eventually(lambda: level(RELAY) == 0)
    tell("pulse of 20 s at the exit button", f"{time.monotonic() - began:.2f} s")
    pull(EXIT, 1)
    assert eventually(lambda: "exit_requested" in journal(since))


def test_bell_contact_and_tamper_loop_are_told_of() -> None:
    since = cursor()
    push(BELL)
    assert eventually(lambda: "doorbell" in journal(since))
    pull(TAMPER, 1)
    assert eventually(lambda: "tamper" in journal(since))
    pull(CONTACT, 1)
    assert eventually(lambda: "forced_open" in journal(since))


# --- when it hangs or dies -----------------------------------------------------------------------


def restarted_after(harm: Callable[[int], None], *, released: bool) -> str:
    """What the journal says of a harm to the process, until it is ready again."""
    before, restarts, since = process(), int(show("NRestarts")), cursor()
    if released:
        push(EXIT)
        assert eventually(lambda: level(RELAY) == 1)
    harm(before)
    began = time.monotonic()
    assert eventually(lambda: int(show("NRestarts")) == restarts + 1)
    assert eventually(ready)
    tell("harm to ready again", f"{time.monotonic() - began:.1f} s")
    assert process() != before
    return journal(since)


def test_the_watchdog_kills_and_restarts_what_hangs_while_the_door_is_released() -> None:
    def hang(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        assert eventually(lambda: level(RELAY) == 0)
        tell("relay released though all threads are stopped", f"{time.monotonic() - began:.1f} s")

    said = restarted_after(hang, released=True)
    assert "watchdog" in said.lower()
    assert "the door is locked" in said  # ExecStopPost
    assert level(RELAY) == 0


def test_what_is_killed_while_the_door_is_released_is_locked_and_restarted() -> None:
    said = restarted_after(lambda pid: os.kill(pid, signal.SIGKILL), released=True)
    assert "the door is locked" in said
    assert level(RELAY) == 0


def test_no_way_of_dying_leaves_a_core_dump() -> None:
    limits = Path(f"/proc/{process()}/limits").read_text(encoding="ascii")
    assert "Max core file size        0                    0" in limits
    restarted_after(lambda pid: os.kill(pid, signal.SIGSEGV), released=False)
    found = run("find", "/", "-xdev", "-newer", "/proc/1", "-name", "core*", "-type", "f")
    assert found.split() == []


# --- what it may do ------------------------------------------------------------------------------


def test_nothing_listens() -> None:
    assert run("ss", "-H", "-ltnup").strip() == ""
    opened = run("ss", "-H", "-anp", "-A", "inet,unix")
    assert not [
        line for line in opened.splitlines() if f"pid={process()}," in line and "LISTEN" in line
    ]


def test_the_state_is_for_the_door_alone() -> None:
    assert STATE.stat().st_mode & 0o777 == 0o700
    assert STATE.owner() == "doorward"
    assert not [path for path in STATE.rglob("*") if path.stat().st_mode & 0o077]


def test_the_device_key_came_as_a_credential_and_lies_nowhere_in_the_clear() -> None:
    given = Path("/run/credentials/doorward.service/doorward.key").read_bytes()
    assert len(given) == 32
    assert Path("/etc/credstore.encrypted/doorward.key").stat().st_mode & 0o777 == 0o600
    for folder in (STATE, Path("/etc")):
        for path in folder.rglob("*"):
            assert not path.is_file() or given not in path.read_bytes(), path


def test_its_exposure_is_low() -> None:
    told = run("systemd-analyze", "security", "doorward", "--no-pager")
    tell("systemd-analyze security, live", told.strip().splitlines()[-1])
    run("systemd-analyze", "security", "doorward", "--threshold=15", "--no-pager")
    status = Path(f"/proc/{process()}/status").read_text(encoding="ascii")
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "Seccomp:\t2" in status


def instead(program: str) -> str:
    """Run a program in the place of the agent, under its unit; give where its journal begins."""
    script = Path("/run/doorward-probe.py")
    script.write_text(program, encoding="utf-8")
    script.chmod(0o644)
    PROBE.parent.mkdir(parents=True, exist_ok=True)
    PROBE.write_text(
        "[Service]\nType=exec\nRestart=no\nExecStopPost=\nWatchdogSec=0\nExecStart=\n"
        f"ExecStart=/opt/doorward/current/bin/python {script}\n",
        encoding="ascii",
    )
    systemctl("stop", "doorward")
    systemctl("daemon-reload")
    since = cursor()
    systemctl("start", "doorward")
    return since


HARDENED = """
import os, socket
def attempt(name, deed):
    try: deed(); print(name, "works")
    except OSError as error: print(name, "refused:", error.strerror)
attempt("GPIO", lambda: os.open("/dev/gpiochip0", os.O_RDWR))
attempt("video", lambda: os.open("/dev/video0", os.O_RDWR))
attempt("memory", lambda: os.open("/dev/mem", os.O_RDONLY))
attempt("disk", lambda: os.open("/dev/vda", os.O_RDONLY))
attempt("uinput", lambda: os.open("/dev/uinput", os.O_RDWR))
attempt("listen", lambda: socket.socket().listen())
attempt("bind", lambda: socket.socket().bind(("127.0.0.1", 8080)))
attempt("raw socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
attempt("state", lambda: open("/var/lib/doorward/probe", "w"))
attempt("system", lambda: open("/etc/probe", "w"))
os.unlink("/var/lib/doorward/probe")
print("over")
"""


def test_the_unit_lets_the_door_do_its_work_and_nothing_else() -> None:
    run("modprobe", "vivid", "n_devs=1")
    run("udevadm", "settle")
    since = instead(HARDENED)
    assert eventually(lambda: "over" in journal(since)), journal(since)
    told = journal(since)
    for name in ("GPIO", "video", "state"):
        assert f"{name} works" in told, told
    refused = ["memory", "disk", "uinput", "listen", "raw socket", "system"]
    # Debian 12's systemd is built without what SocketBindDeny= takes; Debian 13's has it.
    if "+BPF_FRAMEWORK" in run("systemctl", "--version"):
        refused.append("bind")
    for name in refused:
        assert f"{name} refused" in told, told


TYPING = """
import threading
from agent.adapters.evdev import Keypad
from agent.core.inputs import CodeEntered
done = threading.Event()
def post(happened):
    print("posted", type(happened).__name__, getattr(happened, "digest", b"").hex(), flush=True)
    if isinstance(happened, CodeEntered): done.set()
pad = Keypad({path!r}, lambda code: code[::-1].encode())
pad.start(post)
print("reading", flush=True)
print("over", done.wait(120), flush=True)
pad.close()
"""


def test_what_is_typed_on_a_keypad_reaches_the_service_and_nobody_else() -> None:
    evdev = pytest.importorskip("evdev")
    codes = evdev.ecodes
    digits = [getattr(codes, f"KEY_{digit}") for digit in range(10)]
    with evdev.UInput({codes.EV_KEY: [*digits, codes.KEY_ENTER]}, name="keypad") as keypad:
        run("udevadm", "settle")
        path = str(keypad.device.path)
        since = instead(TYPING.format(path=path))
        assert eventually(lambda: "reading" in journal(since))
        time.sleep(3.0)
        listener = evdev.InputDevice(path)
        with pytest.raises(OSError, match="busy"):
            listener.grab()
        for key in (codes.KEY_4, codes.KEY_7, codes.KEY_1, codes.KEY_1, codes.KEY_ENTER):
            for value in (1, 0):
                keypad.write(codes.EV_KEY, key, value)
                keypad.syn()
        assert eventually(lambda: "over True" in journal(since))
        assert "posted CodeEntered " + b"1174".hex() in journal(since)
        assert listener.read_one() is None
        systemctl("stop", "doorward")


# --- the main job --------------------------------------------------------------------------------


def test_a_resident_who_walks_up_is_let_in_by_the_real_line() -> None:
    systemctl("stop", "doorward")
    doorward = "/opt/doorward/current/bin/doorward"
    run(doorward, "enrol", "--camera", "video:/var/lib/face.avi")
    since = cursor()
    systemctl("start", "doorward")
    assert eventually(lambda: level(RELAY) == 1), journal(since)
    assert eventually(lambda: '"granted"' in journal(since))


def test_figures_of_the_running_service() -> None:
    """Resident memory, which an emulator does not change; processor time means nothing here."""
    time.sleep(20)
    status = Path(f"/proc/{process()}/status").read_text(encoding="ascii")
    rss = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    tell("resident memory of the service in the guest", rss.split(maxsplit=1)[1])
    size = run("du", "-sm", "/opt/doorward/current/").split()[0]
    tell("installed size", f"{size} MB")
