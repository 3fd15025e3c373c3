/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a test of tools/perf/tests takes from perf, so that it is a program of its own:
 * the file of the kernel's tree is compiled as it is, and speaks TAP.
 */
#ifndef PERF_TESTS_H
#define PERF_TESTS_H

#include <stdio.h>

#define __maybe_unused	__attribute__((unused))

enum { TEST_OK = 0, TEST_FAIL = -1, TEST_SKIP = -2 };

struct test_suite;

static inline int say_result(const char *name, int result)
{
	printf("TAP version 13\n1..1\n%s 1 %s%s\n", result == TEST_FAIL ? "not ok" : "ok", name,
	       result == TEST_SKIP ? " # SKIP no uncore PMU" : "");
	return result == TEST_FAIL;
}

#define DEFINE_SUITE(description, function)				\
	int main(void)							\
	{								\
		return say_result(#function, test__##function(NULL, 0));	\
	}

#endif
