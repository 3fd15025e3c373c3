/* SPDX-License-Identifier: GPL-2.0 */
/* perf's words of a test: what failed, behind the function's name as a kselftest has it. */
#ifndef PERF_TESTS_DEBUG_H
#define PERF_TESTS_DEBUG_H

#include <stdio.h>
#include <string.h>

#define pr_debug(...)								\
	do {									\
		char said[256];							\
										\
		snprintf(said, sizeof(said), __VA_ARGS__);			\
		if (strstr(said, "Fail"))					\
			fprintf(stderr, "%s:event_groups:%s", __FILE__, said);	\
	} while (0)

#endif
