"""The digests of PINs and cards: Argon2id, of one device, and never one for the other."""

import subprocess
import sys

import pytest
from argon2 import low_level
from argon2.exceptions import HashingError

from agent.adapters import digest as digest_module
from agent.adapters.digest import CodeDigest
from agent.errors import DeviceError
from agent.ports import DeviceKey, ProtectionLevel

KEY = DeviceKey(bytes(range(32)), ProtectionLevel.HOST_KEY, "a test")
OTHER = DeviceKey(bytes(32), ProtectionLevel.HOST_KEY, "a test")

REFUSING_TO_EXECUTE = """
import ctypes, mmap
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
    print("not here")
    raise SystemExit
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)
except PermissionError:
    from agent.adapters.digest import CodeDigest
    from agent.ports import DeviceKey, ProtectionLevel
    key = DeviceKey(bytes(range(32)), ProtectionLevel.HOST_KEY, "a test")
    print(CodeDigest(key).pin("482915").hex())
"""


def test_a_digest_is_of_32_bytes_and_the_same_each_time_and_in_each_process() -> None:
    # What is in the database must open the door after the next upgrade too.
    assert CodeDigest(KEY).pin("482915").hex() == (
        "16db8902ab2c663c53931899fb1124867b7ce5b8eb829e57233667c83d3219bd"
    )
    assert CodeDigest(KEY).card("0012345678").hex() == (
        "b5b65718b846076632103c47e93610026f204e2a644ed1ddc3b8478a6c0a0685"
    )


def test_codes_that_differ_by_a_zero_in_front_have_other_digests() -> None:
    digest = CodeDigest(KEY)
    assert len({digest.pin(code) for code in ("1234", "01234", "12340", "1235")}) == 4
    assert digest.card("12345678") != digest.card("0012345678")


def test_a_card_whose_number_is_somebodys_pin_does_not_pass_for_it() -> None:
    digest = CodeDigest(KEY)
    assert digest.card("482915") != digest.pin("482915")


def test_another_device_gives_other_digests() -> None:
    assert CodeDigest(OTHER).pin("482915") != CodeDigest(KEY).pin("482915")
    assert CodeDigest(OTHER).card("482915") != CodeDigest(KEY).card("482915")


@pytest.mark.parametrize("entry", ["1234", "482915482915", "A" * 64])
def test_every_entry_costs_what_owasp_asks_for(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[dict[str, object]] = []

    def noting(secret: bytes, salt: bytes, **cost: object) -> bytes:
        costs.append(cost | {"salt": len(salt)})
        return low_level.hash_secret_raw(secret, salt, **cost)  # type: ignore[arg-type]

    monkeypatch.setattr(digest_module, "hash_secret_raw", noting)
    CodeDigest(KEY).pin(entry)
    CodeDigest(KEY).card(entry)
    asked = {"memory_cost": 19 * 1024, "time_cost": 2, "parallelism": 1}
    kind = {"hash_len": 32, "type": low_level.Type.ID, "salt": 16}
    assert costs == [asked | kind] * 2


def test_a_machine_without_memory_says_so_in_one_line_and_not_what_was_entered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> bytes:
        raise HashingError("Memory allocation error")

    monkeypatch.setattr(digest_module, "hash_secret_raw", refuse)
    with pytest.raises(DeviceError, match=r"^codes: Memory allocation error: 19 MiB .*$") as told:
        CodeDigest(KEY).pin("482915")
    assert "482915" not in str(told.value)


def test_it_needs_no_memory_that_is_both_written_and_executed() -> None:
    # As the unit's MemoryDenyWriteExecute has it; kernels before 6.3 have no such prctl.
    found = subprocess.run(
        [sys.executable, "-c", REFUSING_TO_EXECUTE], capture_output=True, text=True, check=True
    ).stdout.strip()
    if found == "not here":
        pytest.skip("this kernel cannot refuse memory that is written and executed")
    assert found == CodeDigest(KEY).pin("482915").hex()
