// SPDX-License-Identifier: GPL-2.0
/*
 * wait CONSOLE: be busy for a while, in which the host may save the system.
 *
 * Says that it waits on the terminal CONSOLE at the beginning, and "awake" on
 * standard output at the end, which comes at a time of the clock: nothing from
 * outside brings it about, so that it does not matter when the system was saved.
 * The CPU is busy, for the clock of an idle one jumps ahead of any host.
 *
 * QEMU does not save how the timers of EL2 are set, by which a host with VHE lives
 * (target/arm/machine.c, vmstate_arm_cpu: GTIMER_PHYS and GTIMER_VIRT only).  Whoever
 * goes on would wait forever for a tick that was set before; so a sooner event is
 * set over and over, which has the next tick set again.  That it comes is shown at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
	WINDOW_NS = 16000000,	/* as a busy emulated CPU, some 20 ms of the host's time */
	TICKS_NS = 10000000,	/* more than two ticks of 250 Hz */
	ROUND = 50000,		/* turns of a loop: some 0.2 ms */
};

static void die(const char *what)
{
	printf("wait: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void nap(long ns)
{
	struct timespec time = { .tv_nsec = ns };

	if (nanosleep(&time, NULL))
		die("a nap");
}

int main(int argc, char **argv)
{
	static const char waiting[] = "pmu-harness: waiting\n";
	int64_t end;
	int console;

	setbuf(stdout, NULL);
	if (argc != 2) {
		errno = EINVAL;
		die("usage: wait CONSOLE");
	}
	if (prctl(PR_SET_TIMERSLACK, 1))
		die("timer slack");
	console = open(argv[1], O_WRONLY | O_NOCTTY);
	if (console < 0 || write(console, waiting, strlen(waiting)) < 0 || tcdrain(console))
		die(argv[1]);
	end = now() + WINDOW_NS;
	while (now() < end) {
		nap(1);
		for (int i = 0; i < ROUND; i++)
			__asm__ volatile("" : : "r"(i));
	}
	nap(TICKS_NS);
	printf("awake\n");
	return 0;
}
