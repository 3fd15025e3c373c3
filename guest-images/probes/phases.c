// SPDX-License-Identifier: GPL-2.0
/*
 * phases: a workload for perf, which opens no event itself.
 *
 * Spends time as it is told, such as `phases user:100 kernel:100`: so many
 * milliseconds in user space, then so many in the kernel; `vm:100` in a virtual
 * machine, whose results become records.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "arch.h"
#include "perf.h"
#include "record.h"
#include "vm.h"

#define SPIN_ITERATIONS	10000
#define RANDOM_BYTES	16384

static void spend_in_user_space(uint64_t end)
{
	while (monotonic_ns() < end)
		spin(SPIN_ITERATIONS);
}

static int spend_in_kernel(uint64_t end)
{
	static char bytes[RANDOM_BYTES];

	while (monotonic_ns() < end)
		if (getrandom(bytes, sizeof(bytes), GRND_INSECURE) < 0)
			return -1;
	return 0;
}

static int run_phase(const char *phase)
{
	const char *colon = strchr(phase, ':');
	uint64_t ns, end;

	if (!colon)
		return -1;
	ns = strtoull(colon + 1, NULL, 10) * 1000000;
	end = monotonic_ns() + ns;
	if (!strncmp(phase, "vm:", 3)) {
		record_open();
		run_vm(ns);
		return 0;
	}
	if (!strncmp(phase, "kernel:", 7))
		return spend_in_kernel(end);
	if (strncmp(phase, "user:", 5))
		return -1;
	spend_in_user_space(end);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (run_phase(argv[i])) {
			fprintf(stderr, "phases: cannot do %s\n", argv[i]);
			return 1;
		}
	}
	return 0;
}
