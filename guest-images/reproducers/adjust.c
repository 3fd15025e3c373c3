// SPDX-License-Identifier: GPL-2.0
/*
 * A reproducer as a person writes one: an event whose period the kernel adjusts in ticks, in
 * overflows, and as it is told to.  Exits with 1, and says why, where a call is refused.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000ULL + time.tv_nsec / 1000000;
}

static void refused(const char *call)
{
	printf("%s: %s\n", call, strerror(errno));
	exit(1);
}

static int open_event(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_HW_CPU_CYCLES,
		.freq = 1,
		.sample_freq = 1000,
		.pinned = 1,
		.exclude_kernel = 1,
	};
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);

	if (fd < 0)
		refused("perf_event_open");
	return fd;
}

/*
 * In user space the period grows; in the kernel, which does not count, it falls: by a little in
 * each tick in which user space executed anything, so that no system call may last for ticks.
 */
static void work(unsigned int user_ms, unsigned int kernel_ms)
{
	static char bytes[1 << 15];
	uint64_t until = now_ms() + user_ms;

	while (now_ms() < until)
		;
	for (until += kernel_ms; now_ms() < until; )
		if (getrandom(bytes, sizeof(bytes), GRND_INSECURE) < 0)
			refused("getrandom");
}

int main(void)
{
	uint64_t frequencies[] = { 4000, 100, 1000 }, count;
	int fd = open_event();

	/* Where in a period the rate drops is chance: once in a few of these much of it is left. */
	for (unsigned int i = 0; i < 16; i++)
		work(25 + 3 * i, 40);
	for (unsigned int i = 0; i < sizeof(frequencies) / sizeof(*frequencies); i++) {
		if (ioctl(fd, PERF_EVENT_IOC_PERIOD, &frequencies[i]))
			refused("PERF_EVENT_IOC_PERIOD");
		work(20, 20);
	}
	if (read(fd, &count, sizeof(count)) != sizeof(count))
		refused("read");
	printf("%s\n", count ? "it counted" : "it counted nothing");
	return !count;
}
