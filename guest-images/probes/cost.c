// SPDX-License-Identifier: GPL-2.0
/*
 * cost: how many instructions longer is a tick that adjusts one event?
 *
 * Ticks come at equal distances, so what a user-space loop does not execute
 * from one interruption to the next was executed by the kernel.  The ruler is
 * a cycles event counting user space only: it does not matter to it that the
 * kernel disables the PMU while it adjusts.  The loop runs while the
 * target only counts ("baseline") and while it is in frequency mode and
 * adjusted at each tick ("adjusting").
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "arch.h"
#include "perf.h"
#include "record.h"

#define MAX_TICKS	2000
#define SETTLE_TICKS	30	/* from period 1 a new event overflows often */
#define GAP_NS		500	/* longer than the loop, shorter than a tick */
#define RING_PAGES	64

struct interruption {
	uint64_t clock, user;
};

static struct interruption interruptions[MAX_TICKS];
static struct counter ruler;

static const struct scope self = { .cpu = -1, .cgroup = -1, .task = "self", .cgroup_name = "" };

/* Note the clock and the ruler behind each of `number` interruptions. */
static void measure(int number)
{
	uint64_t gap = GAP_NS * clock_frequency(ruler.page) / 1000000000ULL;
	uint64_t index = page_index(&ruler);
	uint64_t before = read_clock();

	for (int i = 0; i < number; ) {
		uint64_t now = read_clock();
		uint64_t user = read_counter(index);

		if (now - before > gap)
			interruptions[i++] = (struct interruption) { now, user };
		before = now;
	}
}

static void record_interruptions(const char *phase, int number)
{
	uint64_t hz = clock_frequency(ruler.page);

	measure(SETTLE_TICKS);
	measure(number);
	for (int i = 0; i < number; i++)
		record("{\"kind\":\"interruption\",\"phase\":\"%s\",\"clock\":%" PRIu64
		       ",\"hz\":%" PRIu64 ",\"user\":%" PRIu64 "}",
		       phase, interruptions[i].clock, hz, interruptions[i].user);
}

static void open_ruler(void)
{
	struct perf_event_attr attr = new_attr(PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES);

	attr.disabled = 0;
	attr.pinned = 1;
	attr.exclude_kernel = 1;
	attr.config1 = CONFIG1_USER_ACCESS;
	if (!open_counter(&ruler, "ruler", &attr, &self, NULL))
		record_die("perf_event_open of the ruler");
	map_counter(&ruler, 0);
	if (!ruler.page->cap_user_rdpmc) {
		record("{\"kind\":\"refused\",\"name\":\"ruler\",\"errno\":%d,"
		       "\"text\":\"user space may not read it, cap_user_rdpmc is 0\"}", EOPNOTSUPP);
		exit(0);
	}
	if (!is_readable(page_index(&ruler)))
		record_die("user space cannot read the ruler");
	if (!clock_frequency(ruler.page))
		record_die("the clock's frequency is not known");
}

static void run(const char *phase, uint64_t config, uint64_t frequency, int number)
{
	struct perf_event_attr attr = new_attr(PERF_TYPE_HARDWARE, config);
	struct counter target;

	attr.pinned = 1;
	if (frequency) {
		attr.freq = 1;
		attr.sample_freq = frequency;
		attr.sample_type = PERF_SAMPLE_PERIOD;
	}
	if (!open_counter(&target, "target", &attr, &self, NULL))
		record_die("perf_event_open of the target");
	if (frequency)
		map_counter(&target, RING_PAGES);
	control_counter(&target, PERF_EVENT_IOC_ENABLE, 0);
	record_interruptions(phase, number);
	close_counter(&target);
}

int main(int argc, char **argv)
{
	uint64_t config, frequency;
	int number;

	record_open();
	if (argc != 4)
		record_die("usage: cost CONFIG FREQUENCY TICKS");
	config = strtoull(argv[1], NULL, 0);
	frequency = strtoull(argv[2], NULL, 0);
	number = atoi(argv[3]);
	if (number > MAX_TICKS)
		record_die("too many ticks");
	record_clock();
	open_ruler();
	run("baseline", config, 0, number);
	run("adjusting", config, frequency, number);
	return 0;
}
