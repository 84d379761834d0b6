"""What the machine says of itself, in folders made as those of a Raspberry Pi are."""

import os
from pathlib import Path

import pytest

from agent.adapters import machine
from agent.errors import DeviceError

PI = "Raspberry Pi 5 Model B Rev 1.0\0"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# --- the disk


def test_a_disk_with_room_will_do_and_one_without_will_not(tmp_path: Path) -> None:
    assert machine.disk(tmp_path).endswith(" MB free")
    # A folder that the agent is yet to make lies on the disk of the one above.
    assert machine.disk(tmp_path / "not" / "yet").endswith(" MB free")
    # So it does where it cannot be looked at.
    assert machine.disk(tmp_path / ("x" * 300) / "hidden").endswith(" MB free")
    with pytest.raises(DeviceError, match=r"^disk: .*MB free: free some space, soon$"):
        machine.disk(tmp_path, least=10**18)


def read_only_folder() -> Path | None:
    """Any folder of this machine on a file system that is read-only."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        folder = Path(line.split()[1])
        if "ro" in line.split()[3].split(",") and folder.is_dir():
            return folder
    return None


def test_a_disk_that_is_read_only_will_not_do() -> None:
    folder = read_only_folder()
    if folder is None:
        pytest.skip("nothing is mounted read-only here")
    with pytest.raises(DeviceError, match=r"^disk: .*: the file system is read-only"):
        machine.disk(folder, least=0)


def test_a_disk_that_fills_up_is_told_of_before_it_is_full(tmp_path: Path) -> None:
    assert machine.card(tmp_path, tmp_path) == "this medium does not tell how worn it is"
    with pytest.raises(DeviceError, match=r"^card: .*MB free: .*event_days"):
        machine.card(tmp_path, tmp_path, spare=10**18)


def emmc(folder: Path, life: str, end: str) -> Path:
    """A /sys in which the folder's disk is a partition of an eMMC."""
    number = folder.stat().st_dev
    whole = folder / "sys/devices/mmcblk0"
    (whole / "mmcblk0p2").mkdir(parents=True)
    write(whole / "device/life_time", life)
    write(whole / "device/pre_eol_info", end)
    link = folder / f"sys/dev/block/{os.major(number)}:{os.minor(number)}"
    link.parent.mkdir(parents=True)
    link.symlink_to(whole / "mmcblk0p2")
    return folder / "sys"


def test_an_emmc_says_how_worn_it_is(tmp_path: Path) -> None:
    assert machine.card(tmp_path, emmc(tmp_path, "0x01 0x03\n", "0x01\n")) == "20 to 30 % worn"


@pytest.mark.parametrize(
    ("life", "end", "said"),
    [("0x09 0x02\n", "0x01\n", "80 to 90 % worn"), ("", "0x02\n", "it says that it wears out")],
)
def test_an_emmc_that_is_worn_is_to_be_replaced(
    tmp_path: Path, life: str, end: str, said: str
) -> None:
    with pytest.raises(DeviceError, match=f"^card: {said}: `doorward backup`"):
        machine.card(tmp_path, emmc(tmp_path, life, end))


# --- heat and power


def test_the_hottest_place_counts(tmp_path: Path) -> None:
    assert machine.temperature(tmp_path) == "this machine tells of no temperature"
    zones = tmp_path / "class/thermal"
    write(zones / "thermal_zone0/temp", "41850\n")
    write(zones / "thermal_zone1/temp", "not now\n")
    assert machine.temperature(tmp_path) == "42 °C"
    write(zones / "thermal_zone2/temp", "80000\n")
    with pytest.raises(DeviceError, match=r"^temperature: 80 °C: give it a heat sink"):
        machine.temperature(tmp_path)


def test_another_machine_than_a_pi_is_not_asked_for_its_power(tmp_path: Path) -> None:
    (tmp_path / machine.THROTTLED).parent.mkdir(parents=True)
    write(tmp_path / machine.THROTTLED, "1\n")
    assert machine.power(tmp_path, tmp_path / "model", "none").startswith("not a Raspberry Pi")
    model = write(tmp_path / "model", "Some Other Board\0")
    assert machine.power(tmp_path, model, "none").startswith("not a Raspberry Pi")


def power(folder: Path, flags: str) -> str:
    write(folder / machine.THROTTLED, flags)
    return machine.power(folder, write(folder / "model", PI), "none")


def test_a_pi_that_is_well_says_so(tmp_path: Path) -> None:
    said = "Raspberry Pi 5 Model B Rev 1.0: no under-voltage and no throttling since the start"
    assert power(tmp_path, "0\n") == said


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("1\n", "under-voltage now: take the supply"),
        ("50005\n", "under-voltage now: take the supply"),
        ("10000\n", "under-voltage since the start: take the supply"),
        ("2\n", "slowed down by heat now: "),
        ("4\n", "slowed down by heat now: "),
        ("8\n", "slowed down by heat now: "),
        ("80000\n", "slowed down by heat since the start: "),
        ("20000\n", "slowed down by heat since the start: "),
        ("40000\n", "slowed down by heat since the start: "),
    ],
)
def test_under_voltage_and_throttling_are_told_apart(tmp_path: Path, flags: str, said: str) -> None:
    with pytest.raises(DeviceError, match=f"^power: {said}"):
        power(tmp_path, flags)


def test_where_the_kernel_does_not_tell_the_firmwares_program_is_asked(tmp_path: Path) -> None:
    model = write(tmp_path / "model", PI)
    program = write(tmp_path / "vcgencmd", "#!/bin/sh\n[ $1 = get_throttled ] && echo $0x1\n")
    program.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x50000\n')
    program.chmod(0o755)
    with pytest.raises(DeviceError, match="under-voltage since the start"):
        machine.power(tmp_path, model, str(program))
    program.write_text("#!/bin/sh\necho VCHI initialization failed; exit 255\n")
    assert "could not be asked" in machine.power(tmp_path, model, str(program))
    assert "could not be asked" in machine.power(tmp_path, model, str(tmp_path / "nowhere"))


# --- the lines


def chips(folder: Path, **labels: str) -> tuple[Path, Path]:
    """Folders sys and dev with chips of these names and labels."""
    for name, label in labels.items():
        write(folder / f"sys/class/gpio/{name}/label", f"{label}\n")
        write(folder / f"dev/{name}", "")
    (folder / "dev").mkdir(exist_ok=True)
    return folder / "sys", folder / "dev"


@pytest.mark.parametrize("label", ["pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1"])
def test_the_chip_of_the_header_is_known_by_its_label_and_not_by_its_number(
    tmp_path: Path, label: str
) -> None:
    where = chips(tmp_path, gpiochip0="gpio-brcmstb@107d508500", gpiochip4=label)
    assert machine.gpio_chip(*where) == f"chip {label}"


def test_a_machine_without_a_header_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"^gpio: there is no .*gpiochip\*: run this on a"):
        machine.gpio_chip(*chips(tmp_path))
    with pytest.raises(DeviceError, match="none of the chips drives a header: intel-gpio: "):
        machine.gpio_chip(*chips(tmp_path, gpiochip0="intel-gpio"))


def test_a_kernel_that_tells_no_labels_is_believed(tmp_path: Path) -> None:
    sys, dev = chips(tmp_path, gpiochip0="pinctrl-rp1")
    assert machine.gpio_chip(sys / "elsewhere", dev) == "1 chips, of unknown label"


def test_a_chip_that_may_not_be_opened_names_the_group(tmp_path: Path) -> None:
    sys, dev = chips(tmp_path, gpiochip0="pinctrl-rp1")
    # Not even root can open what a link to nowhere stands for.
    (dev / "gpiochip1").symlink_to(dev / "nowhere")
    with pytest.raises(DeviceError, match=r"gpiochip1: may not be opened: .*group gpio"):
        machine.gpio_chip(sys, dev)


def test_a_line_that_the_firmware_uses_as_well_is_told(tmp_path: Path) -> None:
    lines = {"gpio.relay": 17, "gpio.buzzer": 10}
    boot = tmp_path / "config.txt"
    assert machine.second_uses(lines, boot) == "gpio.relay 17, gpio.buzzer 10"
    write(boot, "[all]\n#dtparam=spi=on\ndtparam=i2c_arm=on # a clock\n")
    assert machine.second_uses(lines, boot) == "gpio.relay 17, gpio.buzzer 10"
    write(boot, "[all]\n dtparam=spi=on # a display\n")
    with pytest.raises(DeviceError, match=r"^lines: 10 \(gpio.buzzer\) is used by dtparam=spi=on"):
        machine.second_uses(lines, boot)
    write(boot, "dtoverlay=w1-gpio,gpiopin=4\n")
    with pytest.raises(DeviceError, match=r"^lines: 4 \(gpio.relay\)"):
        machine.second_uses({"gpio.relay": 4}, boot)


# --- the clock


def test_a_real_time_clock_counts_once_it_was_set(tmp_path: Path) -> None:
    assert "there is no real-time clock" in machine.real_time_clock(tmp_path)
    since = tmp_path / "class/rtc/rtc0/since_epoch"
    write(since, "97\n")
    assert "no battery or was never set" in machine.real_time_clock(tmp_path)
    write(since, f"{1_795_000_000}\n")
    assert "there is a real-time clock" in machine.real_time_clock(tmp_path)
