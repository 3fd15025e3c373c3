/* SPDX-License-Identifier: GPL-2.0 */
/* What differs between the kernels that the modules are built against: nothing else asks. */
#ifndef PMU_COMPAT_H
#define PMU_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/perf_event.h>
#include <linux/version.h>

/*
 * Two PMUs may have their events in the contexts of tasks since 6.2, bd2756811766 (perf:
 * Rewrite core context handling).  Before, perf_pmu_register() warns of the second one.
 */
#define TASKS_HAVE_MANY_PMUS	(LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0))

/* Whose events perf_mux_hrtimer_handler() rotates when a timer ends; as above. */
static inline struct pmu *pmu_of_timer(struct hrtimer *timer)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
	return container_of(timer, struct perf_cpu_pmu_context, hrtimer)->epc.pmu;
#else
	return container_of(timer, struct perf_cpu_context, hrtimer)->ctx.pmu;
#endif
}

/* 6.13, 908a1d775422 (hrtimers: Introduce hrtimer_setup() to replace hrtimer_init()). */
static inline void setup_timer(struct hrtimer *timer,
			       enum hrtimer_restart (*function)(struct hrtimer *),
			       enum hrtimer_mode mode)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(timer, function, CLOCK_MONOTONIC, mode);
#else
	hrtimer_init(timer, CLOCK_MONOTONIC, mode);
	timer->function = function;
#endif
}

/*
 * A CPU's own context: one for all PMUs since 6.2 (bd2756811766), a static variable of the
 * kernel's; before, each PMU had its own.
 */
static inline struct perf_event_context *cpu_context(struct pmu *pmu, unsigned long symbol,
						     int cpu)
{
#if TASKS_HAVE_MANY_PMUS
	struct perf_cpu_context __percpu *contexts = (void __percpu *)symbol;
#else
	struct perf_cpu_context __percpu *contexts = pmu->pmu_cpu_context;
#endif

	return contexts ? &per_cpu_ptr(contexts, cpu)->ctx : NULL;
}

#endif
