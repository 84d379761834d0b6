"""An agent that is killed anywhere: the next start finds all that was acknowledged, and no halves.

A forge, a process that has everything imported, makes an agent for each round by forking. The agent
does a story of operations on a copy of a database and says after each one that it returned, until
it is killed: after a while, at the nth statement, within one, at the nth byte of a file that grows,
or before or after the nth thing done to a file. Then the next start must find the database as after
the operations that returned, or one more.
"""

import gc
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from agent.adapters import database as database_module
from agent.adapters.backup import make_backup
from agent.adapters.database import connect, transaction
from agent.adapters.epoch import EpochSecret
from agent.adapters.erasure import BALLAST_BYTES
from agent.adapters.gallery import template_bytes
from agent.adapters.migrations import MIGRATIONS
from agent.adapters.vault import Vault
from agent.core.credentials import (
    NO_CREDENTIALS,
    Attempts,
    Credentials,
    Reader,
    Visitor,
    VisitorId,
)
from agent.core.effects import (
    ForgetVisitor,
    Invite,
    RenewConsent,
    SetAttempts,
    SetCredentials,
    SuspendConsent,
)
from agent.core.events import (
    CodeDenied,
    ConsentRenewed,
    ConsentSuspended,
    CredentialsChanged,
    Enrolled,
    Forgotten,
    VisitorAdmitted,
    VisitorInvited,
)
from agent.core.matching import mean_template
from agent.core.types import AuthorityKind, Float32, Reason, SubjectId, Suspension
from agent.ports import Store
from agent.wire.events import encode_body, event_kind
from tests.residents import (
    CONSENT,
    DENIED,
    KEY,
    MODEL,
    NOW,
    enrol,
    erase,
    granted,
    new_store,
    opened,
    revoke,
    vectors,
)

ROUNDS = 40
"""For each way to be killed."""
ROUNDS_OF_OPENING = 15
LONGEST_STORY = 30
WAYS = ("later", "statement", "within", "byte", "file")

WEIGHTS = {
    "enrol": 4,
    "erase": 4,
    "revoke": 1,
    "suspend": 1,
    "renew": 1,
    "grant": 1,
    "equip": 1,
    "invite": 1,
    "visit": 1,
    "guess": 1,
    "prune": 2,
    "deny": 1,
}

# --- the story ------------------------------------------------------------------------------------


@dataclass
class Told:
    """What a story has come to: all that a database must then hold.

    kinds: of the events, the first being number 1. residents: how each one stands. equipped: who
    has a PIN and a card. visitors: whose code was not used. guesses: how many were wrong.
    """

    kinds: list[str] = field(default_factory=list)
    pruned: int = 0
    residents: dict[str, str] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    equipped: list[str] = field(default_factory=list)
    visitors: list[str] = field(default_factory=list)
    guesses: int = 0

    def operation(self, chance: random.Random) -> tuple[str, str]:
        """Draw what happens next, and to whom."""
        here = sorted(self.residents)
        standing = [name for name in here if self.residents[name] == "admitted"]
        suspended = [name for name in here if self.residents[name] == "suspended"]
        whom = {
            "enrol": [f"s-{len(self.kinds):03}"],
            "erase": here,
            "revoke": standing,
            "suspend": standing,
            "renew": suspended,
            "grant": standing,
            "equip": [name for name in here if name not in self.equipped],
            "invite": [f"v-{len(self.kinds):03}"],
            "visit": self.visitors,
            "guess": [""],
            "prune": [""] if len(self.kinds) > self.pruned + 4 else [],
            "deny": [""],
        }
        able = [operation for operation, names in whom.items() if names]
        weights = [WEIGHTS[operation] for operation in able]
        [drawn] = chance.choices(able, weights)
        return drawn, chance.choice(whom[drawn])

    def take(self, operation: str, name: str) -> None:
        """Go on as this operation does when it returns."""
        match operation:
            case "enrol" | "renew":
                self.residents[name] = "admitted"
            case "revoke":
                self.residents[name] = "revoked"
            case "suspend":
                self.residents[name] = "suspended"
            case "erase":
                del self.residents[name]
                self.erased.add(name)
                self.equipped = [each for each in self.equipped if each != name]
            case "equip":
                self.equipped = sorted([*self.equipped, name])
            case "invite":
                self.visitors = sorted([*self.visitors, name])
            case "visit":
                self.visitors = [each for each in self.visitors if each != name]
            case "guess":
                self.guesses += 1
            case "prune":
                # All but the last one, which vouches for the residents' rows.
                self.pruned = len(self.kinds) - 1
            case _:
                pass
        self.kinds += KINDS[operation]

    def visible(self) -> tuple[object, ...]:
        """Give what can be read of it."""
        people = self.residents, self.erased, self.equipped, self.visitors
        return self.pruned, self.kinds[self.pruned :], people, self.guesses


KINDS = {
    "enrol": ["enrolled"],
    "renew": ["consent_renewed"],
    "revoke": ["revoked"],
    "suspend": ["consent_suspended"],
    "erase": ["erased", "erasure_certified"],
    "prune": ["log_pruned"],
    "grant": ["granted"],
    "equip": ["credentials_changed"],
    "invite": ["visitor_invited"],
    "visit": ["visitor_admitted"],
    "guess": ["code_denied"],
    "deny": ["denied"],
}


def template_seed(name: str) -> int:
    return int(name.removeprefix("s-"))


def references_of(name: str) -> Float32:
    return vectors(2, seed=template_seed(name))


def digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def perform(  # noqa: C901 - one arm an operation
    store: Store, operation: str, name: str
) -> None:
    """Do an operation for real."""
    subject, visitor = SubjectId(name), VisitorId(name)
    match operation:
        case "enrol":
            enrol(store, name, references=references_of(name))
        case "erase":
            erase(store, name)
        case "revoke":
            revoke(store, name)
        case "suspend":
            reason = Suspension.EXPIRED
            event = ConsentSuspended(subject, reason)
            store.append(event, NOW, SuspendConsent(subject, reason))
        case "renew":
            store.append(ConsentRenewed(subject), NOW, RenewConsent(subject, CONSENT))
        case "prune":
            store.prune(NOW.wall + 1, NOW)
        case "grant":
            store.append(granted(name), NOW)
        case "equip":
            credentials = Credentials(digest(name), cards=(digest(f"a card of {name}"),))
            change = SetCredentials(subject, credentials, NO_CREDENTIALS)
            store.append(CredentialsChanged(subject, pin=True, cards=1), NOW, change)
        case "invite":
            invited = Invite(Visitor(visitor, digest(name), 1.0, 2.0), "the plumber")
            store.append(VisitorInvited(visitor, 1.0, 2.0), NOW, invited)
        case "visit":
            store.append(VisitorAdmitted(visitor), NOW, ForgetVisitor(visitor))
        case "guess":
            level = store.load(MODEL).attempts.level + 1.0
            wrong = CodeDenied(Reason.WRONG_CODE, Reader.KEYPAD, None)
            store.append(wrong, NOW, SetAttempts(Attempts(level=level)))
        case _:
            store.append(DENIED, NOW)


# --- in the forge ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """A round. nth: at which occasion to be killed; of the way "later", after how many µs."""

    folder: str
    way: str
    nth: int
    seed: int
    told: dict[str, Any]


def forge() -> None:
    """Make an agent for each plan that comes in, and say how far it came."""
    gc.freeze()
    for line in sys.stdin:
        plan = Plan(**json.loads(line))
        child = os.fork()
        if child == 0:
            try:
                act(plan)
            except BaseException:  # noqa: BLE001 - whatever it is, the forge must not go on in it
                sys.excepthook(*sys.exc_info())
            os._exit(1)
        if plan.way == "later":
            time.sleep(plan.nth / 1e6)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        say(f"ended {os.waitstatus_to_exitcode(status)}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def act(plan: Plan) -> None:
    told, chance = told_of(plan.told), random.Random(plan.seed)
    arm(plan)
    store = new_store(Path(plan.folder) / "doorward.db")
    say("opened")
    for _ in range(LONGEST_STORY if plan.way != "later" else 10_000):
        operation, name = told.operation(chance)
        perform(store, operation, name)
        told.take(operation, name)
        say("done")
    die()


def told_of(fields: dict[str, Any]) -> Told:
    return Told(**{**fields, "erased": set(fields["erased"])})


def arm(plan: Plan) -> None:
    """Have this process killed as planned."""
    left = plan.nth

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            die()

    def watched(path: Path, mode: str) -> sqlite3.Connection:
        connection = connect(path, mode)
        if plan.way == "statement":
            connection.set_trace_callback(count)
        else:
            connection.set_progress_handler(count, 10)
        return connection

    match plan.way:
        case "statement" | "within":
            setattr(database_module, "connect", watched)  # noqa: B010 - a function, to mypy
        case "byte":
            # The system ends whoever makes a file longer than this, in the middle of a write.
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (plan.nth, plan.nth))
        case "file":
            sys.addaudithook(lambda event, _: count() if event in FILE_EVENTS else None)
            for name in ("write", "fsync", "posix_fallocate"):
                setattr(os, name, counted(getattr(os, name), count))
        case _:
            pass


FILE_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "sqlite3.connect"}


def counted(function: Callable[..., Any], count: Callable[[], None]) -> Callable[..., Any]:
    """Give the function that counts before it does something and after."""

    def call(*arguments: Any) -> Any:  # noqa: ANN401 - whatever the function takes
        count()
        result = function(*arguments)
        count()
        return result

    return call


# --- the rounds -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smith() -> Iterator[subprocess.Popen[str]]:
    """The forge, ready for plans."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    # Whoever forks has one thread.
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", f"from {__name__} import forge; forge()"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


def said(smith: subprocess.Popen[str], plan: Plan) -> list[str]:
    """Give what the agent of a plan said before it was killed."""
    assert smith.stdin is not None
    assert smith.stdout is not None
    smith.stdin.write(json.dumps(plan.__dict__) + "\n")
    smith.stdin.flush()
    lines: list[str] = []
    for line in smith.stdout:
        if line.startswith("ended"):
            # Not by an error of its own, whose traceback is in the output of the tests.
            assert -int(line.split()[1]) in {signal.SIGKILL, signal.SIGXFSZ}
            return lines
        lines.append(line.strip())
    pytest.fail("the forge broke down")


@dataclass(frozen=True)
class Base:
    """What a round begins with: a folder to copy, what is in it, and the references of each."""

    folder: Path
    told: Told
    traces: dict[str, list[bytes]]


def traces_in(path: Path, names: set[str]) -> dict[str, list[bytes]]:
    """Give the sealed references of each resident."""
    # A copy keeps older wrapped keys, records and consents, whose epoch's secret is gone.
    query = 'SELECT sealed FROM "references" WHERE subject = ?'
    with closing(sqlite3.connect(path)) as connection:
        return {name: [cell for (cell,) in connection.execute(query, [name])] for name in names}


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A database of this version, and a backup of it."""
    path = tmp_path_factory.mktemp("sealed") / "doorward.db"
    told = Told()
    names = [f"s-9{number:02}" for number in range(5)]
    story = [("enrol", name) for name in names]
    story += [("deny", ""), ("revoke", names[0]), ("suspend", names[1]), ("equip", names[2])]
    story += [("equip", names[3]), ("invite", "v-900"), ("guess", ""), ("erase", names[2])]
    with opened(path) as store:
        for operation, name in story:
            perform(store, operation, name)
            told.take(operation, name)
        make_backup(path)
    return Base(path.parent, told, traces_in(path, set(told.residents)))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A database of the first version, whose rows nobody sealed."""
    folder = tmp_path_factory.mktemp("plain")
    path = folder / "doorward.db"
    told = Told(residents={f"s-9{number:02}": "admitted" for number in range(3)})
    path.touch(0o600)
    with closing(connect(path, "rw")) as connection:
        database = Database(connection, execute_plugins=False)
        connection.execute("PRAGMA journal_mode = WAL")
        with transaction(database):
            MIGRATIONS[0](database, Vault(KEY), EpochSecret(folder))
            connection.execute("PRAGMA user_version = 1")
            for name in told.residents:
                fill_plainly(connection, name)
                event = Enrolled(SubjectId(name), AuthorityKind.CODE, 2, None)
                row = ["boot-0", 1.0, NOW.wall, 60, 1, event_kind(event), encode_body(event)]
                told.kinds.append(event_kind(event))
                connection.execute(
                    "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [len(told.kinds), *row]
                )
    traces = {
        name: [template_bytes(each) for each in references_of(name)] for name in told.residents
    }
    return Base(folder, told, traces)


def fill_plainly(connection: sqlite3.Connection, name: str) -> None:
    row = [name, f"label of {name}", None, 0, 0, None, None, "[]", NOW.wall]
    connection.execute("INSERT INTO subjects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.execute(
        "INSERT INTO consents VALUES (?, ?, ?, ?)", [name, "the concierge", "2026-11", NOW.wall]
    )
    connection.executemany(
        'INSERT INTO "references" (subject, model, vector) VALUES (?, ?, ?)',
        [(name, MODEL, template_bytes(each)) for each in references_of(name)],
    )


LATEST = {"later": 50_000, "statement": 300, "within": 1000, "byte": 130_000, "file": 120}
"""By way to be killed: the last occasion; most stories have come to a second erasure by then."""
LATEST_OF_OPENING = {"later": 25_000, "statement": 130, "within": 500, "byte": 130_000, "file": 40}


def outcomes(told: Told, lines: list[str], seed: int) -> list[Told]:
    """Give what a database may hold: what was acknowledged, and with what was under way."""
    chance, now = random.Random(seed), told_of(fields_of(told))
    for _ in lines[1:]:
        now.take(*now.operation(chance))
    after = told_of(fields_of(now))
    if lines:
        after.take(*after.operation(chance))
    return [now, after]


def fields_of(told: Told) -> dict[str, Any]:
    copied = json.loads(json.dumps({**told.__dict__, "erased": sorted(told.erased)}))
    assert isinstance(copied, dict)
    return copied


def found(store: Store, path: Path) -> Told:
    """Give what a database holds, having looked whether it goes together."""
    store.verify()
    loaded, events = store.load(MODEL), store.events(limit=10_000)
    pruned = events[0].seq - 1 if events else 0
    assert [each.seq for each in events] == list(range(pruned + 1, pruned + len(events) + 1))
    residents: dict[str, str] = {
        name: "revoked" if known.revoked else "suspended" if known.suspended else "admitted"
        for name, known in loaded.subjects.items()
    }
    assert loaded.gallery.subjects == tuple(sorted(residents))
    for name, row in zip(loaded.gallery.subjects, loaded.gallery.matrix, strict=True):
        assert (row == mean_template(references_of(name))).all()
    assert {row.id: row.references for row in store.subjects()} == dict.fromkeys(residents, 2)
    with closing(connect(path, "ro")) as connection:
        erased = {name for (name,) in connection.execute("SELECT subject FROM tombstones")}
        for table in ("keys", "consents", "references"):
            query = f'SELECT DISTINCT subject FROM "{table}"'  # noqa: S608 - one of these three
            assert {name for (name,) in connection.execute(query)} == set(residents)
        kept = connection.execute("SELECT subject FROM credentials ORDER BY subject").fetchall()
    equipped = [each.id for each in loaded.subjects.values() if each.credentials.pin is not None]
    assert [name for (name,) in kept] == sorted(equipped)
    assert all(store.certificate(SubjectId(name)) for name in erased)
    guesses = round(loaded.attempts.level)
    kinds = [
        each.event.kind if isinstance(each.event, Forgotten) else event_kind(each.event)
        for each in events
    ]
    people = sorted(map(str, equipped)), sorted(str(each.id) for each in loaded.visitors)
    return Told([""] * pruned + kinds, pruned, residents, erased, *people, guesses)


def begun_erasures(path: Path) -> int:
    """How many erasures a killed agent left uncertified."""
    try:
        with closing(connect(path, "ro")) as connection:
            query = "SELECT COUNT(*) FROM tombstones WHERE certificate IS NULL"
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.Error:
        return 0  # It did not come to a table.


def require_nothing_left(folder: Path, traces: Iterable[bytes]) -> None:
    for file in folder.rglob("*"):
        if file.is_file() and file.name != "ballast":
            content = file.read_bytes()
            assert not any(trace in content for trace in traces), file


@dataclass
class Tally:
    """How many agents were killed before what they did counted, after it, and in an erasure."""

    before: int = 0
    after: int = 0
    begun: int = 0


def rounds(
    smith: subprocess.Popen[str],
    base: Base | None,
    folder: Path,
    way: str,
    count: int,
    latest: int,
) -> Tally:
    """Kill so many agents, and look at what the next one finds."""
    tally = Tally()
    chance = random.Random(f"{count} {way}")
    told = base.told if base else Told()
    for _ in range(count):
        nth = chance.randint(1, latest)
        shutil.rmtree(folder, ignore_errors=True)
        if base:
            shutil.copytree(base.folder, folder)
        plan = Plan(str(folder), way, nth, chance.getrandbits(32), fields_of(told))
        try:
            lines = said(smith, plan)
            path = folder / "doorward.db"
            tally.begun += begun_erasures(path)
            possible = outcomes(told, lines, plan.seed)
            holds = after_restart(path, base)
            assert holds.visible() in [each.visible() for each in possible]
        except BaseException as error:
            error.add_note(f"killed: {plan}")
            raise
        went_on = holds.visible() == possible[1].visible()
        tally.after += went_on
        tally.before += not went_on
    return tally


def after_restart(path: Path, base: Base | None) -> Told:
    """Open what a killed agent left, and give what it holds."""
    with opened(path) as store:
        assert path.with_name("doorward.db-wal").stat().st_size == 0
        assert not path.with_name("epoch.next").exists()
        holds = found(store, path)
        erased = holds.erased if base else set()
        gone = [trace for name in erased for trace in base.traces.get(name, [])] if base else []
        require_nothing_left(path.parent, gone)
        # The room for an erasure is there, whatever was left of it.
        assert path.with_name("ballast").stat().st_size == BALLAST_BYTES
        # And all goes on.
        enrol(store, "s-999", references=references_of("s-999"))
        erase(store, "s-999")
        store.verify()
    return holds


@pytest.mark.parametrize("way", WAYS)
def test_an_agent_killed_anywhere_loses_nothing_and_leaves_nothing_half_done(
    smith: subprocess.Popen[str], sealed: Base, tmp_path: Path, way: str
) -> None:
    tally = rounds(smith, sealed, tmp_path / "state", way, ROUNDS, LATEST[way])
    if way != "later":
        # Or the occasions are not where anything happens.
        assert tally.before > 0
        assert tally.after > 0
    if way in {"statement", "file"}:
        assert tally.begun > 0


@pytest.mark.parametrize("way", WAYS)
def test_a_migration_killed_anywhere_is_made_by_the_next_start(
    smith: subprocess.Popen[str], plain: Base, tmp_path: Path, way: str
) -> None:
    folder = tmp_path / "state"
    rounds(smith, plain, folder, way, ROUNDS_OF_OPENING, LATEST_OF_OPENING[way])
    for traces in plain.traces.values():
        require_nothing_left(folder, traces)


@pytest.mark.parametrize("way", WAYS)
def test_a_first_start_killed_anywhere_is_begun_anew(
    smith: subprocess.Popen[str], tmp_path: Path, way: str
) -> None:
    rounds(smith, None, tmp_path / "state", way, ROUNDS_OF_OPENING, LATEST_OF_OPENING[way])
