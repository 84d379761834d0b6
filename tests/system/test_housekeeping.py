"""What is too old goes, from a real store."""

from dataclasses import replace
from pathlib import Path

from agent.config import Retention
from agent.core.events import Erased, ErasureCause, ErasureCertified, LogPruned
from agent.core.types import Now, SubjectId
from agent.housekeeping import Housekeeping
from tests.residents import DENIED, MODEL, NOW, enrol, erase, granted, opened

DAY = 86_400.0


def later(days: float, *, trusted: bool = True) -> Now:
    seconds = days * DAY
    return replace(NOW, monotonic=NOW.monotonic + seconds, wall=NOW.wall + seconds, trusted=trusted)


def test_whoever_was_not_admitted_for_long_enough_is_erased(tmp_path: Path) -> None:
    with opened(tmp_path / "doorward.db") as store:
        for name in ("s-1", "s-2", "s-3"):
            enrol(store, name)
        # To the day, so that it takes up to one more.
        store.append(granted("s-2"), later(5))
        housekeeping = Housekeeping(store, Retention(unused_days=10, event_days=3650))
        housekeeping.look(later(9))
        assert len(store.subjects()) == 3
        for _ in range(3):
            housekeeping.look(later(11))
        assert store.load(MODEL).gallery.subjects == ("s-2",)
        gone = [each.event for each in store.events() if isinstance(each.event, Erased)]
        assert gone == [Erased(SubjectId(name), ErasureCause.UNUSED) for name in ("s-1", "s-3")]
        certified = [e for e in store.events() if isinstance(e.event, ErasureCertified)]
        assert len(certified) == 2


def test_nobody_is_erased_where_that_is_not_wanted_or_the_clock_is_not_set(tmp_path: Path) -> None:
    with opened(tmp_path / "doorward.db") as store:
        enrol(store, "s-1")
        Housekeeping(store, Retention(unused_days=None)).look(later(3000))
        Housekeeping(store, Retention(unused_days=1)).look(later(3000, trusted=False))
        assert len(store.subjects()) == 1


def test_old_events_go_once_a_day(tmp_path: Path) -> None:
    with opened(tmp_path / "doorward.db") as store:
        for day in range(4):
            store.append(DENIED, later(day))
        housekeeping = Housekeeping(store, Retention(event_days=1))
        housekeeping.look(later(2.5))
        assert [each.seq for each in store.events()] == [3, 4, 5]
        assert store.events()[-1].event == LogPruned(2)
        housekeeping.look(later(2.5))
        soon = later(3.5)
        housekeeping.look(replace(soon, monotonic=later(2.5).monotonic + DAY - 1))
        assert [each.seq for each in store.events()] == [3, 4, 5]
        housekeeping.look(replace(soon, monotonic=later(2.5).monotonic + DAY))
        assert [each.seq for each in store.events()] == [4, 5, 6]
        store.verify()


def test_the_cursor_is_written_though_no_event_takes_it_along(tmp_path: Path) -> None:
    path = tmp_path / "doorward.db"
    with opened(path) as store, opened(path) as other:
        store.append(DENIED, NOW)
        housekeeping = Housekeeping(store, Retention())
        housekeeping.look(NOW)
        store.move_cursor(1)
        housekeeping.look(replace(NOW, monotonic=NOW.monotonic + 59))
        assert other.cursor() == 0
        housekeeping.look(replace(NOW, monotonic=NOW.monotonic + 60))
        assert other.cursor() == 1


def test_an_erased_residents_events_go_like_all_others(tmp_path: Path) -> None:
    with opened(tmp_path / "doorward.db") as store:
        enrol(store, "s-1")
        erase(store, "s-1")
        Housekeeping(store, Retention(event_days=1)).look(later(2))
        assert [each.event for each in store.events()][-1] == LogPruned(2)
        store.verify()
