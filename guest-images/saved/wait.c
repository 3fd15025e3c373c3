// SPDX-License-Identifier: GPL-2.0
/*
 * wait CONSOLE BAR: where QEMU stops the machine, to be saved, and from where it goes
 * on with the files that are in the device's memory BAR by then (receive.h).
 *
 * Says on the terminal CONSOLE that it waits, is busy until the host may have noticed,
 * and then stops the machine itself: a write to a pvpanic device ends the CPU's block of
 * code, and QEMU executes nothing behind it (vm_stop() in a CPU's thread, with -action
 * panic=pause).  So the machine is always saved at the same instruction, at the same
 * time of its own clock, whatever the host does meanwhile.  The other CPUs are idle by
 * then: they are given time for that, in which nothing else runs.
 *
 * But a machine of which all CPUs are idle or stopped has its clock set forward to the
 * next timer (icount_start_warp_timer() in accel/tcg of 7.2), if the thread that stops the
 * machine comes behind the CPU's.  The clock tells; a machine that says so is not used.
 *
 * QEMU does not save how the timers of EL2 are set, by which a kernel with VHE lives
 * (target/arm/machine.c, vmstate_arm_cpu: GTIMER_PHYS and GTIMER_VIRT only).  Whoever
 * goes on would wait forever for a tick that was set before; so on each CPU a sooner
 * event is set afterwards, which has the next tick set again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "receive.h"

enum {
	PVPANIC_VENDOR = 0x1b36,
	PVPANIC_DEVICE = 0x0011,
	PVPANIC_PANICKED = 1,	/* include/uapi/misc/pvpanic.h of Linux */
	SETTLED_NS = 20000000,	/* some ticks, in which work that was put off is done */
	NOTICED_NS = 20000000,	/* as a busy emulated CPU, about as long for the host */
	LATE_NS = 20000,
	PAGE = 4096,
};

static void die(const char *what)
{
	printf("wait: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned long read_hex(const char *device, const char *attribute)
{
	char path[256], text[64] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/%s", device, attribute);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		die(path);
	close(fd);
	return strtoul(text, NULL, 16);
}

/* The device's folder in sysfs. */
static char *find(void)
{
	glob_t devices;

	if (!glob("/sys/bus/pci/devices/*", 0, NULL, &devices))
		for (size_t i = 0; i < devices.gl_pathc; i++)
			if (read_hex(devices.gl_pathv[i], "vendor") == PVPANIC_VENDOR &&
			    read_hex(devices.gl_pathv[i], "device") == PVPANIC_DEVICE)
				return devices.gl_pathv[i];
	errno = ENODEV;
	die("pvpanic");
	return NULL;
}

/* Its register, which need not be at the beginning of a page. */
static volatile uint8_t *map(const char *device)
{
	unsigned long at = read_hex(device, "resource");
	uint8_t *page;
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/enable", device);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, "1", 1) != 1)
		die(path);
	close(fd);
	snprintf(path, sizeof(path), "%s/resource0", device);
	fd = open(path, O_RDWR | O_SYNC);
	if (fd < 0)
		die(path);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		die(path);
	close(fd);
	return page + at % PAGE;
}

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void spin(int64_t ns)
{
	for (int64_t end = now() + ns; now() < end;)
		;
}

static void nap(long ns)
{
	struct timespec time = { .tv_nsec = ns };

	if (nanosleep(&time, NULL))
		die("a nap");
}

static void set_timers_again(void)
{
	cpu_set_t all, one;

	/* Here first, before the tick is due. */
	nap(1);
	if (sched_getaffinity(0, sizeof(all), &all))
		die("affinity");
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one))
			die("affinity");
		nap(1);
	}
}

int main(int argc, char **argv)
{
	static const char waiting[] = "pmu-harness: waiting\n";
	const unsigned char *given;
	volatile uint8_t *stop;
	int64_t stopped;
	int console;
	size_t size;

	setbuf(stdout, NULL);
	if (argc != 3) {
		errno = EINVAL;
		die("usage: wait CONSOLE BAR");
	}
	if (prctl(PR_SET_TIMERSLACK, 1))
		die("timer slack");
	stop = map(find());
	given = given_at(argv[2], &size);
	console = open(argv[1], O_WRONLY | O_NOCTTY);
	if (console < 0 || write(console, waiting, strlen(waiting)) < 0 || tcdrain(console))
		die(argv[1]);
	nap(SETTLED_NS);
	spin(NOTICED_NS);
	stopped = now();
	*stop = PVPANIC_PANICKED;
	if (now() - stopped > LATE_NS) {
		printf("wait: late\n");
		return 1;
	}
	set_timers_again();
	printf("wait: awake\n");
	receive(given, size);
	return 0;
}
