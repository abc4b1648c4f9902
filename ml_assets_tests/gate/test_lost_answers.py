"""An answer is lost at any call: what the call did stays or not, and the run or the next one ends right."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Literal

import pytest

from ml_assets.lib.core.errors import LakeBusy, LakeUnavailable, MLAssetsError, TrackingError
from ml_assets.lib.core.names import Unit
from ml_assets.lib.gate.gate import Step
from ml_assets.lib.gate.outcome import Published, Unchanged
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tracking import registry, runs
from ml_assets_tests.gate.test_kills import check_completed, rerun
from ml_assets_tests.gate.world import FRAME, LARGE, LOG, MODEL, PARTED, SOURCE, SPLIT, UNITS, VIEW, Place, World

When = Literal["before", "after"]

WRITING: Final = ("branch", "commit", "delete", "drop", "merge", "put", "tag")
READING: Final = ("branches", "diff", "head", "info", "log", "ls", "merge_base", "read", "stat", "uncommitted")
"""The calls of a `Lake` with which the gate works."""

PUBLISH_AND_SETTLE: Final = {
    SOURCE: ("branches", "diff", "drop", "head", "info", "ls", "merge"),
    LOG: ("branches", "diff", "drop", "head", "info", "ls", "merge"),
    SPLIT: ("branches", "diff", "drop", "head", "info", "ls", "merge"),
    VIEW: ("branches", "diff", "drop", "head", "info", "log", "ls", "merge", "read", "tag"),
    PARTED: ("branches", "diff", "drop", "head", "info", "ls", "merge", "read"),  # it completes no version
    FRAME: ("branch", "branches", "diff", "drop", "head", "info", "merge"),
    LARGE: ("branch", "branches", "diff", "drop", "head", "info", "ls", "merge"),
    MODEL: ("branches", "diff", "drop", "head", "info", "merge", "tag"),
}
"""Which of them are sent from the check on, by kind of unit."""

LOST: Final = [
    (unit, call, when)
    for unit in UNITS
    for call in PUBLISH_AND_SETTLE[unit]
    for when in (("before", "after") if call in WRITING else ("after",))
]
"""A read that was not answered is the same whether or not it was heard."""

IN_MLFLOW: Final = (
    (registry, "register"),
    (registry, "_create"),
    (registry, "tag_version"),
    (registry, "mark_published"),
    (registry, "end_losers"),
    (runs, "end"),
)


class Listener:
    """Stands between the gate and a lake: counts the calls since a step, and loses what is asked of it.

    Args:
        lake: Whose calls.
        lose: The name of the call whose answers are lost.
        when: Before or after it has had its effect.
        numbers: Which of its calls since *since*, from 1.
        error: What the caller sees.
    """

    def __init__(
        self,
        lake: Lake,
        lose: str = "",
        when: When = "after",
        numbers: tuple[int, ...] = (1,),
        error: type[MLAssetsError] = LakeUnavailable,
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.since = Step.PIN
        self._listening = False
        self._lose, self._when, self._numbers, self._error = lose, when, numbers, error
        for name in (*WRITING, *READING):
            setattr(lake, name, self._heard(name, getattr(lake, name)))

    def observe(self, step: Step, unit: Unit) -> None:
        """Begin to listen when *since* is done; an observer of the gate."""
        self._listening = self._listening or step == self.since

    def _heard(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def heard(*args: Any, **kwargs: Any) -> Any:
            if not self._listening:
                return call(*args, **kwargs)
            self.calls[name] += 1
            if name != self._lose or self.calls[name] not in self._numbers:
                return call(*args, **kwargs)
            if self._when == "after":
                call(*args, **kwargs)
            raise self._error(f"{name}: made up", remedy="ask")

        return heard


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merges are sent again without a pause."""
    monkeypatch.setattr("ml_assets.lib.gate.publish.time.sleep", lambda _seconds: None)


def materialize(place: Place, unit: Unit, since: Step, **lose: Any) -> tuple[Listener, Any]:
    """Materialize *unit* while a `Listener` listens from *since* on: the listener, and the outcome or error."""
    listeners: list[Listener] = []
    machinery = place.new_machinery(observe=lambda step, unit: listeners[0].observe(step, unit))  # noqa: PLW0108 (listeners change)
    listeners.append(Listener(machinery.lake, **lose))
    listeners[0].since = since
    try:
        return listeners[0], place.materialize(unit, machinery=machinery)
    except (LakeUnavailable, LakeBusy) as error:
        return listeners[0], error


@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_calls_of_publish_and_settle(place_before: Callable[[Unit], Place], unit: Unit) -> None:
    """The calls below are all that there are; who adds one adds it there."""
    listener, outcome = materialize(place_before(unit), unit, Step.VERDICT)
    assert isinstance(outcome, Published)
    assert PUBLISH_AND_SETTLE[unit] == tuple(sorted(listener.calls))


@pytest.mark.parametrize(("unit", "call", "when"), LOST, ids=str)
def test_answer_lost_in_publish_or_settle(
    world: World, place_before: Callable[[Unit], Place], unit: Unit, call: str, when: When
) -> None:
    """A call of publish or settle gets no answer, landed or not: the target is whole, one rerun completes."""
    place = place_before(unit)
    listener, outcome = materialize(place, unit, Step.VERDICT, lose=call, when=when)
    assert listener.calls[call] >= 1
    place.check_whole()
    assert isinstance(outcome, Published) == (call == "merge")
    landed = unit in place.published()
    assert isinstance(rerun(place, unit), Unchanged if landed else Published)
    check_completed(place, world, unit, died=False)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("unit", "call"), [*((VIEW, call) for call in ("branch", "commit", "put", "delete")), (MODEL, "put")], ids=str
)
def test_answer_lost_before(
    world: World, place_before: Callable[[Unit], Place], unit: Unit, call: str, when: When
) -> None:
    """The same for each write up to the verdict, whichever of its calls it is: nothing has landed then."""
    numbers = range(1, 6)
    for number in numbers:
        place = place_before(unit)
        listener, outcome = materialize(place, unit, Step.RECIPE, lose=call, when=when, numbers=(number,))
        if listener.calls[call] < number:
            assert isinstance(outcome, Published)
            return
        if isinstance(outcome, Published):  # sent for the keep or the merge, after the verdict
            continue
        assert isinstance(outcome, LakeUnavailable)
        place.check_whole()
        rerun(place, unit)
        check_completed(place, world, unit, died=False)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("module", "call"), IN_MLFLOW, ids=lambda item: getattr(item, "__name__", item).split(".")[-1])
def test_answer_lost_in_mlflow(  # noqa: PLR0917 (pytest passes every one by name)
    world: World,
    place_before: Callable[[Unit], Place],
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    call: str,
    when: When,
) -> None:
    """MLflow gives no answer while a model is trained or registered: one rerun completes, with one version."""
    place = place_before(MODEL)
    real = getattr(module, call)

    def lost(*args: Any, **kwargs: Any) -> Any:
        if when == "after":
            real(*args, **kwargs)
        raise TrackingError("no answer", remedy="ask")

    with monkeypatch.context() as patch:
        patch.setattr(module, call, lost)
        with pytest.raises(TrackingError):
            rerun(place, MODEL)
    place.check_whole()
    rerun(place, MODEL)
    check_completed(place, world, MODEL, died=False)


# The merge


def publishes(place: Place, unit: Unit) -> int:
    """How often *unit* was merged into the target."""
    return sum(info.message == f"publish {unit}" for info in place.lake.log(place.head))


@pytest.mark.parametrize("error", [LakeUnavailable, LakeBusy])
@pytest.mark.parametrize("numbers", [(1,), (1, 2, 3)], ids=["once", "three times"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_merge_is_asked_after(
    place_before: Callable[[Unit], Place], when: When, numbers: tuple[int, ...], error: type[MLAssetsError]
) -> None:
    """A merge without an answer is looked for before it is sent again: it lands once."""
    place = place_before(VIEW)
    listener, outcome = materialize(place, VIEW, Step.VERDICT, lose="merge", when=when, numbers=numbers, error=error)
    assert isinstance(outcome, Published)
    assert 1 == publishes(place, VIEW)
    assert (1 if when == "after" else 1 + len(numbers)) == listener.calls["merge"]
    assert outcome.commit == place.head
    place.check_whole()


def test_merge_that_lands_late(place_before: Callable[[Unit], Place]) -> None:
    """A merge that lands after it was looked for in vain makes the second one empty, and is found then."""
    place = place_before(VIEW)
    machinery = place.new_machinery()
    merge, calls = machinery.lake.merge, Counter[str]()

    def late(*args: Any, **kwargs: Any) -> Any:
        calls["merge"] += 1
        if calls["merge"] == 1:
            raise LakeUnavailable("on its way", remedy="ask")
        if calls["merge"] == 2:
            merge(*args, **kwargs)
        return merge(*args, **kwargs)

    machinery.lake.merge = late  # type: ignore[method-assign]
    outcome = place.materialize(VIEW, machinery=machinery)
    assert isinstance(outcome, Published)
    assert (1, 2) == (publishes(place, VIEW), calls["merge"])
    assert outcome.commit == place.head


def test_merge_that_is_never_answered(world: World, place_before: Callable[[Unit], Place]) -> None:
    """After some tries the run fails and says so; the branch stays, and the next run publishes."""
    place = place_before(VIEW)
    _, outcome = materialize(place, VIEW, Step.VERDICT, lose="merge", when="before", numbers=tuple(range(1, 99)))
    assert isinstance(outcome, LakeUnavailable)
    assert VIEW not in place.published()
    rerun(place, VIEW)
    check_completed(place, world, VIEW)
