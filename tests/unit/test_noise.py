# SPDX-License-Identifier: MIT
"""What is read of a host's noise, from files as its kernel has them."""

import pytest

from harness.host.noise import between, read

CPU = "sys/devices/system/cpu"


@pytest.fixture
def host(tmp_path):
    """Write files of a host, and read them."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return read(tmp_path)

    write.root = tmp_path
    return write


def test_what_grew_between_two_readings(host):
    before = host(
        {
            "proc/stat": "cpu  100 0 100 700 0 0 0 100 50 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n",
            "proc/pressure/cpu": "some avg10=1.00 avg60=0.00 avg300=0.00 total=1000000\n",
            "proc/loadavg": "0.50 0.40 0.30 2/345 6789\n",
            "proc/sys/kernel/nmi_watchdog": "1\n",
            f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "3\n",
            f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "4\n",
            f"{CPU}/cpu0/cpufreq/scaling_governor": "powersave\n",
            f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave\n",
        }
    )
    after = host(
        {
            "proc/stat": "cpu  140 0 140 700 0 0 0 120 90 0\n",
            "proc/pressure/cpu": "some avg10=1.00 avg60=0.00 avg300=0.00 total=3000000\nfull x\n",
            f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "6\n",
        }
    )
    noise = between(before, type(after)(**{**vars(after), "time": before.time + 4}))
    assert (noise.seconds, noise.steal, noise.pressure) == (4, 0.2, 0.5)
    assert (noise.throttled, noise.counters, noise.governors) == (2, 1, ("powersave",))
    assert noise.load and noise.load > 0


def test_a_host_that_says_nothing_is_no_error(host):
    nothing = host({})
    noise = between(nothing, nothing)
    known = {name for name, value in noise if value is not None}
    assert known == {"seconds", "governors"}
    assert noise.governors == ()


def test_perf_events_of_others_are_counted(host):
    host({"proc/sys/kernel/nmi_watchdog": "0\n"})
    files = host.root / "proc/17/fd"
    files.mkdir(parents=True)
    (files / "3").symlink_to("anon_inode:[perf_event]")
    (files / "4").symlink_to("/dev/null")
    assert read(host.root).counters == 1


def test_this_host_is_read():
    assert between(read(), read()).seconds >= 0
