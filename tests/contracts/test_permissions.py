"""Who may read what is kept, and which devices an account may use."""

import os
from pathlib import Path

import pytest

from agent.adapters.permissions import memberships, owner, permissions
from agent.errors import DeviceError

ETC = """doorward:x:990:980:Doorward:/var/lib/doorward:/usr/sbin/nologin
ada:x:1000:1000:Ada:/home/ada:/bin/sh
short
"""
GROUPS = "gpio:x:997:ada,eve\nvideo:x:44:eve\nada:x:1000:\ndoorward:x:980:\nshort\n"


class House:
    """A state folder with a key, a configuration and the file of a password, as they should be."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        self.key = self.state / "device.key"
        self.config = folder / "doorward.toml"
        self.password = folder / "password"
        for path, mode in ((self.key, 0o600), (self.config, 0o640), (self.password, 0o640)):
            path.write_text("")
            path.chmod(mode)

    def look(self) -> str:
        return permissions(self.state, [self.key], self.config, [self.password])


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_what_is_its_owners_alone_is_well(house: House) -> None:
    assert house.look() == f"{house.state} and its keys are its owner's alone"


def test_what_is_not_there_is_not_complained_of(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert permissions(state, [state / "device.key"], None, [tmp_path / "password"])


@pytest.mark.parametrize(
    ("name", "mode", "said"),
    [
        ("state", 0o750, "state: is open to others: chmod 700 "),
        ("state", 0o701, "state: is open to others: chmod 700 "),
        ("key", 0o640, "device.key: is open to others: chmod 600 "),
        ("key", 0o700, "device.key: is open to others: chmod 600 "),
        ("password", 0o644, "password: others may read it, or write to it: chmod g-w,o= "),
        ("password", 0o660, "password: others may read it, or write to it: chmod g-w,o= "),
        ("config", 0o660, "doorward.toml: others may write to it: chmod go-w "),
        ("config", 0o642, "doorward.toml: others may write to it: chmod go-w "),
        ("config", 0o644, "doorward.toml: names secrets, and all may read it: chmod o= "),
    ],
)
def test_what_is_open_to_others_is_told_with_the_mend(
    house: House, name: str, mode: int, said: str
) -> None:
    path: Path = getattr(house, name)
    path.chmod(mode)
    with pytest.raises(DeviceError) as told:
        house.look()
    assert said + str(path) in str(told.value)
    assert "; " not in str(told.value)
    # The mend does what it says.
    command = str(told.value).rpartition(": ")[2]
    assert os.system(command) == 0  # noqa: S605
    house.look()


def test_a_configuration_that_names_no_secret_may_be_read_by_all(house: House) -> None:
    house.config.chmod(0o644)
    assert permissions(house.state, [house.key], house.config, [])


def test_all_complaints_come_at_once(house: House) -> None:
    house.state.chmod(0o755)
    house.password.chmod(0o666)
    with pytest.raises(DeviceError, match=r"state: is open .*; .*password: others may read it"):
        house.look()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_key_that_belongs_to_somebody_else_than_its_folder_is_told(house: House) -> None:
    os.chown(house.state, 4242, 4242)
    assert owner(house.state) == 4242
    with pytest.raises(DeviceError, match=r"device.key: is not its folder's owner's: chown "):
        house.look()


def test_before_there_is_a_state_folder_the_account_is_ours(tmp_path: Path) -> None:
    assert owner(tmp_path / "state") == os.geteuid()


# --- groups


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "passwd").write_text(ETC)
    (tmp_path / "group").write_text(GROUPS)
    return tmp_path


def test_an_account_needs_the_groups_of_its_devices(etc: Path) -> None:
    assert memberships(1000, ["gpio"], etc, []) == "ada is in gpio"
    with pytest.raises(DeviceError) as told:
        memberships(1000, ["gpio", "video"], etc, [])
    assert str(told.value) == (
        "groups: ada is not in video: sudo gpasswd --add ada video, and log in or start it again"
    )


def test_an_account_is_in_its_primary_group(etc: Path) -> None:
    assert memberships(1000, ["ada"], etc, []) == "ada is in ada"


def test_a_group_that_this_machine_does_not_have_is_not_missed(etc: Path) -> None:
    assert memberships(1000, ["input"], etc, []) == "ada is in none that this machine has"


def test_root_needs_none(etc: Path) -> None:
    assert memberships(0, ["gpio", "video"], etc, []) == "root may use all devices"


def test_the_service_has_those_that_its_unit_gives_it(etc: Path) -> None:
    unit = etc / "doorward.service"
    unit.write_text("[Service]\nUser=doorward\nSupplementaryGroups=video gpio\n")
    assert (
        memberships(990, ["gpio", "video"], etc, [etc / "no", unit]) == "doorward is in gpio, video"
    )
    unit.write_text("[Service]\nUser=doorward\nSupplementaryGroups=video\n")
    with pytest.raises(DeviceError, match="doorward is not in gpio"):
        memberships(990, ["gpio", "video"], etc, [unit])
    # It gives them to nobody else.
    unit.write_text("[Service]\nUser=ada\nSupplementaryGroups=gpio video\n")
    with pytest.raises(DeviceError, match="doorward is not in gpio, video"):
        memberships(990, ["gpio", "video"], etc, [unit])


def test_the_shipped_unit_gives_the_service_the_groups_of_camera_and_lines(etc: Path) -> None:
    unit = Path(__file__).parents[2] / "systemd" / "doorward.service"
    assert memberships(990, ["gpio", "video"], etc, [unit]) == "doorward is in gpio, video"
