"""Plans, drawn up: what an offer, a rollback or a removal means on a device, and what stands in its way."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from devclient import draft, poll, state
from devclient.check import Finding, Offer
from devclient.errors import PlaceError, UndoError
from devclient.install import place
from devclient.plan import MOST, Found, Kind, Plan, Release
from devclient.settings import config
from mirror.content import Content
from mirror.files import Files
from tests.support import devices

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.device import Device
    from devclient.plan import Step
    from devclient.state import Package

SHA = "ab" * 32


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """A device that wants nothing yet."""
    made = devices.device(tmp_path, tmp_path / "mirror", Files())
    (tmp_path / "opt").mkdir()
    devices.write_state(made.settings.state)
    return made


def content(package: str = "app", version: str = "2.0", **fields: Any) -> Content:
    """Make the content of a release."""
    return Content(package=package, version=version, branch="stable", sha256=SHA, **fields)


def state_has(device: Device, *entries: dict[str, Any]) -> None:
    """Write the state file; entries are of packages on the branch."""
    devices.write_state(device.settings.state, *({"branch": "stable", **entry} for entry in entries))


def installed(device: Device, shown: Content, local: str) -> dict[str, Any]:
    """Make the entry of an installed release whose content the device knows."""
    device.contents.keep(shown)
    return {**shown.fields(), "local": local, "otadevice": {"content": shown.digest}}


def app(device: Device) -> Package:
    """Read the entry of app."""
    package = state.load(device.settings.state).package("app")
    assert package is not None
    return package


def offered(*contents: Content, current: Content | None = None) -> Finding:
    """Find that these have to change together, the last one being what was asked for."""
    changes = tuple(Offer(each, 10) for each in contents)
    return Finding(changes[-1], changes=changes, current=current)


def planned(device: Device, *contents: Content, current: Content | None = None) -> Plan:
    """Draw up an update of app to what was found."""
    return draft.update(offered(*contents, current=current), app(device), poll.desk(device))


# updates


def test_a_step_says_where_from_and_where_to(device: Device) -> None:
    """What is installed, what will be, and what lies at the place."""
    local = str(device.settings.allow[0] / "app")
    old, new = content(version="1.0"), content()
    state_has(device, installed(device, old, local))

    (step,) = planned(device, new).steps
    assert step.before == Release("1.0", old.digest, SHA)
    assert step.after == Release("2.0", new.digest, SHA, 10)
    assert (step.local, step.target, step.found, step.folder) == (local, local, Found.NOTHING, "")
    assert step.entry == state.fingerprint(app(device))

    place_of_app = device.settings.allow[0] / "app"
    place_of_app.touch()
    (step,) = planned(device, new).steps
    assert step.found is Found.FILE


def test_a_package_that_is_only_needed_comes_by_itself(device: Device) -> None:
    """To where its publisher proposes, from the mirror of what needs it; each after what it depends on."""
    folder = device.settings.allow[0]
    state_has(device, {"package": "app", "local": str(folder / "app"), "remote": "https://mine.example"})

    plan = planned(device, content("lib", local=f"{folder}/lib/"), content())

    assert [(step.package, step.auto, step.remote) for step in plan.steps] == [
        ("lib", True, "https://mine.example"),
        ("app", False, "https://mine.example"),
    ]
    assert plan.steps[0].folder == f"{plan.attempt}-lib"
    assert (plan.kind, plan.before, plan.after) == (Kind.UPDATE, "", str(plan.attempt))


def test_the_owners_place_wins_over_the_publishers(device: Device) -> None:
    """It was chosen for this device."""
    mine = str(device.settings.allow[0] / "mine")
    state_has(device, {"package": "app", "local": mine})

    (step,) = planned(device, content(local="/opt/theirs")).steps

    assert (step.local, step.target) == (mine, mine)


def test_a_place_that_nobody_names_is_asked_for(device: Device) -> None:
    """By the name of the package that has none."""
    state_has(device, {"package": "app", "local": str(device.settings.allow[0] / "app")})

    with pytest.raises(PlaceError, match="lib: neither you nor its publisher says where it goes"):
        planned(device, content("lib"), content())


def test_links_are_followed_before_a_place_is_judged(device: Device, tmp_path: Path) -> None:
    """What leads out of the allowed folders is refused, whoever made the link."""
    link = device.settings.allow[0] / "link"
    link.symlink_to(tmp_path / "elsewhere")
    state_has(device, {"package": "app", "local": str(link / "app")})

    with pytest.raises(PlaceError, match=r"leads to .*/elsewhere/app, which is in none of the allowed folders"):
        planned(device, content())


@pytest.mark.parametrize("theirs", ["app", "app/", "link"])
def test_two_packages_do_not_go_to_one_place(device: Device, theirs: str) -> None:
    """Also if it is spelled in two ways, or one of them a folder; it is told which two."""
    folder = device.settings.allow[0]
    (folder / "link").symlink_to("app")
    state_has(device, {"package": "app", "local": str(folder / "app")})

    with pytest.raises(PlaceError, match=r"is where .* goes, and .* too"):
        planned(device, content("lib", local=f"{folder}/{theirs}"), content())


def test_a_place_of_a_package_that_stays_is_taken(device: Device) -> None:
    """What comes by itself does not take it."""
    taken = str(device.settings.allow[0] / "taken")
    state_has(
        device,
        {"package": "app", "local": str(device.settings.allow[0] / "app")},
        installed(device, content("other"), taken),
    )

    with pytest.raises(PlaceError, match="is where other goes, and lib too"):
        planned(device, content("lib", local=taken), content())


@pytest.mark.parametrize(
    "theirs",
    [
        "otadevice.toml",
        config.STATE,
        config.ROOT,
        f"{config.WORK}/journal",
        f"{config.WORK}/folders/app",
        f"{config.WORK}/",
        "link/journal",
        "",
    ],
)
@pytest.mark.parametrize("says", ["owner", "publisher"])
def test_nothing_goes_where_otadevices_own_files_are(device: Device, tmp_path: Path, theirs: str, says: str) -> None:
    """Settings, state, roots and work folder, nor in that or around them, whoever says so and by whatever link."""
    (device.work / "sets").mkdir(parents=True)
    (tmp_path / "link").symlink_to(config.WORK)
    allowing = replace(device, settings=replace(device.settings, allow=(tmp_path.parent,)))
    local = f"{tmp_path}/{theirs}"
    adopting = {"package": "app", "otadevice": {"adopt": True}}
    state_has(device, {**adopting, "local": local} if says == "owner" else adopting)

    with pytest.raises(PlaceError, match=f"{local}: is where otadevice keeps its own files"):
        planned(allowing, content(local=local))


@pytest.mark.parametrize("end", ["previous", "ota-new", "ota-old", "aside"])
def test_no_package_has_a_name_under_which_others_are_kept(device: Device, end: str) -> None:
    """It would be removed with what another package was before."""
    state_has(device, {"package": "app", "local": str(device.settings.allow[0] / f".lib.{end}")})

    with pytest.raises(PlaceError, match="has a name like those that otadevice gives to what it keeps"):
        planned(device, content())


def test_an_update_has_no_more_packages_than_it_can_bear(device: Device) -> None:
    """More than that is a mistake of some publisher's."""
    folder = device.settings.allow[0]
    state_has(device, {"package": "app", "local": str(folder / "app")})
    others = [content(f"lib-{number}", local=f"{folder}/{number}") for number in range(MOST)]

    with pytest.raises(PlaceError, match=f"changes together with {MOST} others; at most {MOST} can at once"):
        planned(device, *others, content())
    assert len(planned(device, *others[1:], content()).steps) == MOST


def test_a_folder_of_its_owners_is_replaced_only_if_they_let_it(device: Device) -> None:
    """Else it is in the way."""
    folder = device.settings.allow[0] / "app"
    folder.mkdir()
    state_has(device, {"package": "app", "local": f"{folder}/"})
    with pytest.raises(PlaceError, match="otadevice did not make"):
        planned(device, content())

    state_has(device, {"package": "app", "local": f"{folder}/", "otadevice": {"adopt": True}})
    (step,) = planned(device, content()).steps

    assert step.found is Found.FOLDER


def test_what_the_mirror_says_of_an_entry_written_by_hand_is_taken(device: Device) -> None:
    """Without it the content of what is installed is not known."""
    local = str(device.settings.allow[0] / "app")
    state_has(device, {"package": "app", "version": "1.0", "local": local})
    old = content(version="1.0")

    (unknown,) = planned(device, content()).steps
    (known,) = planned(device, content(), current=old).steps

    assert unknown.before == Release("1.0", "")
    assert known.before == Release("1.0", old.digest, SHA)


def test_each_plan_has_a_number_of_its_own(device: Device) -> None:
    """No set and no folder that is there has it in its name."""
    state_has(device, {"package": "app", "local": f"{device.settings.allow[0]}/app/"})
    for name in ("41-app", "7-app"):
        (device.work / "folders" / name).mkdir(parents=True)

    assert planned(device, content()).attempt == 42


def test_a_step_has_its_packages_time(device: Device) -> None:
    """From the settings."""
    state_has(device, {"package": "app", "local": str(device.settings.allow[0] / "app")})
    settings = replace(device.settings, timeouts={"app": 7.5})

    (step,) = planned(replace(device, settings=settings), content()).steps

    assert step.timeout == 7.5


# rollback


def file_step(device: Device, *, before: Content | None, after: Content) -> Step:
    """Make the step of an update that took app to `after`; it is in place, and so is what was kept."""
    target = device.settings.allow[0] / "app"
    target.write_text("new")
    state_has(device, installed(device, after, str(target)))
    if before:
        device.contents.keep(before)
        place.previous(target).write_text("old")
    (step,) = planned(device, after).steps
    kept = Release(before.version, before.digest, SHA) if before else None
    return replace(step, before=kept, found=Found.FILE if before else Found.NOTHING)


def undone(device: Device, *steps: Step) -> Plan:
    """Draw up how to undo an update."""
    return draft.rollback(Plan(Kind.UPDATE, 3, steps), poll.desk(device))


def test_a_rollback_turns_the_update_round(device: Device) -> None:
    """From what is now to what was, with what lies there now."""
    old, new = content(version="1.0"), content()

    plan = undone(device, file_step(device, before=old, after=new))

    (step,) = plan.steps
    assert (plan.kind, step.found) == (Kind.ROLLBACK, Found.FILE)
    assert (step.before, step.after) == (Release("2.0", new.digest, SHA, 10), Release("1.0", old.digest, SHA))
    assert step.entry == state.fingerprint(app(device))


def test_a_rollback_goes_backwards(device: Device) -> None:
    """What depends on others comes first."""
    first = file_step(device, before=None, after=content())
    lib = str(device.settings.allow[0] / "lib")
    state_has(device, dict(app(device).fields), installed(device, content("lib"), lib))
    second = replace(first, package="lib", local=lib, target=lib, after=Release("2.0", content("lib").digest, SHA))

    assert [step.package for step in undone(device, second, first).steps] == ["app", "lib"]


def _forget_content(device: Device, _step: Step) -> None:
    device.contents.tidy({content().digest})


def _forget_file(_device: Device, step: Step) -> None:
    place.previous(step.path).unlink()


def _change(device: Device, step: Step) -> None:
    state_has(device, installed(device, content(version="2.1"), step.local))


def _remove(device: Device, _step: Step) -> None:
    state_has(device)


@pytest.mark.parametrize(
    ("meddle", "why"),
    [
        (_forget_content, "the content.json of app 1.0 is not known here"),
        (_forget_file, "the file of app 1.0 is not kept any more"),
        (_change, "app is not what the last update left"),
        (_remove, "app is not what the last update left"),
    ],
)
def test_what_cannot_be_undone_is_told(device: Device, meddle: Any, why: str) -> None:
    """In words, before anything is done."""
    step = file_step(device, before=content(version="1.0"), after=content())
    meddle(device, step)

    with pytest.raises(UndoError, match=f"the last update cannot be undone: {why}; nothing was changed"):
        undone(device, step)


def test_an_adopted_folder_has_to_be_moved_back_by_hand(device: Device) -> None:
    """It was never otadevice's; it is told where it is."""
    step = replace(file_step(device, before=None, after=content()), found=Found.FOLDER)

    with pytest.raises(UndoError, match=r"was a folder of yours, move .*/\.app\.previous back by hand"):
        undone(device, step)


def test_a_folder_goes_back_to_the_one_that_is_kept(device: Device) -> None:
    """As long as the set from before is there."""
    local = f"{device.settings.allow[0]}/app/"
    old, new = content(version="1.0"), content()
    device.contents.keep(old)
    state_has(device, installed(device, new, local))
    device.sets.make("3", {"app": "3-app"})
    device.sets.switch()
    os.symlink(device.sets.link("app"), local.rstrip("/"))  # noqa: PTH211 - as it stands there
    (made,) = planned(device, new).steps
    step = replace(made, before=Release("1.0", old.digest, SHA), folder="3-app")
    last = Plan(Kind.UPDATE, 3, (step,), "1", "3")
    with pytest.raises(UndoError, match=r"the folder of app 1.0 is not kept any more"):
        draft.rollback(last, poll.desk(device))

    device.sets.make("1", {"app": "1-app"})
    plan = draft.rollback(last, poll.desk(device))

    assert (plan.steps[0].folder, plan.steps[0].found) == ("1-app", Found.LINK)
    assert (plan.before, plan.after) == ("3", str(plan.attempt))


# removal


def test_a_removal_leaves_nothing(device: Device) -> None:
    """From what is installed to nothing; a file changes no set."""
    step = file_step(device, before=None, after=content())

    plan = draft.removal(app(device), poll.desk(device))

    assert (plan.kind, plan.before, plan.after) == (Kind.REMOVE, "", "")
    assert [(each.target, each.after, each.found) for each in plan.steps] == [(step.target, None, Found.FILE)]


def test_a_removal_does_not_take_what_is_not_otadevices(device: Device) -> None:
    """Another folder in the place of its link is left to its owner."""
    folder = device.settings.allow[0] / "app"
    folder.mkdir()
    state_has(device, installed(device, content(), f"{folder}/"))

    with pytest.raises(PlaceError, match="otadevice did not make"):
        draft.removal(app(device), poll.desk(device))
