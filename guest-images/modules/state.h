/* SPDX-License-Identifier: GPL-2.0 */
/* What perf has by its own books and the hardware's: the same before and after a scenario. */
#ifndef PMU_OBSERVER_STATE_H
#define PMU_OBSERVER_STATE_H

#include <linux/cred.h>
#include <linux/perf_event.h>
#include <linux/rcupdate.h>
#include <linux/sched/user.h>
#include <linux/seq_file.h>
#include <linux/smp.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "registers.h"

#define MAX_CPUS	16

/*
 * How many events there are of a kind: kernel/events/core.c and callchain.c,
 * arch/x86/events/core.c.  Not every kernel has all of them.
 */
static const char * const count_names[] = {
	"nr_mmap_events", "nr_comm_events", "nr_namespaces_events", "nr_task_events",
	"nr_freq_events", "nr_switch_events", "nr_ksymbol_events", "nr_bpf_events",
	"nr_cgroup_events", "nr_text_poke_events", "nr_build_id_events",
	"nr_callchain_events", "perf_sched_count", "active_events", "pmc_refcount",
};

struct cpu_state {
	int events;		/* in the CPU's own context */
	int counters;		/* of the PMU that are taken, where the driver says so */
	u64 enabled, interrupts;	/* the hardware's */
	bool online;
};

struct state {
	u64 time;
	int counts[ARRAY_SIZE(count_names)];
	int software;		/* static keys of software events that are on */
	long locked;		/* pages of rings that are charged to root */
	struct cpu_state cpus[MAX_CPUS];
};

/* Where the kernel has all that; 0 for what it has not. */
struct places {
	unsigned long counts[ARRAY_SIZE(count_names)];
	unsigned long software, contexts, last_events;
};

static long pages_charged(struct user_struct *user)
{
#ifdef RINGS_HAVE_OWN_CHARGE
	return atomic_long_read(&user->perf_mlock);
#else
	return atomic_long_read(&user->locked_vm);
#endif
}

static void find_places(struct places *places, unsigned long (*find)(const char *name))
{
	for (int i = 0; i < ARRAY_SIZE(count_names); i++)
		places->counts[i] = find(count_names[i]);
	places->software = find("perf_swevent_enabled");
	places->contexts = find("perf_cpu_context");
	places->last_events = find("perf_sched_work");
}

/* Too large for a stack. */
static DEFINE_PER_CPU(struct registers, seen_registers);

static void read_cpu(void *to)
{
	struct cpu_state *state = to;
	struct registers *seen = this_cpu_ptr(&seen_registers);

	read_registers(seen);
	state->enabled = seen->enabled;
	state->interrupts = seen->interrupts;
	state->online = true;
}

/*
 * Let what was closed be gone: events are freed after a grace period, and the
 * last one of a task counts for a second longer (unaccount_event()).
 */
static void settle(const struct places *places)
{
	rcu_barrier();
	if (places->last_events)
		flush_delayed_work((struct delayed_work *)places->last_events);
}

static void take_state(struct state *state, const struct places *places, struct pmu *pmu)
{
	struct static_key *keys = (struct static_key *)places->software;

	settle(places);
	memset(state, 0, sizeof(*state));
	state->time = ktime_get_mono_fast_ns();
	for (int i = 0; i < ARRAY_SIZE(count_names); i++)
		if (places->counts[i])
			state->counts[i] = atomic_read((atomic_t *)places->counts[i]);
	for (int i = 0; keys && i < PERF_COUNT_SW_MAX; i++)
		state->software += !!atomic_read(&keys[i].enabled);
	state->locked = pages_charged(current_user());
	for (int cpu = 0; cpu < MAX_CPUS && cpu < nr_cpu_ids; cpu++) {
		struct perf_event_context *context = cpu_context(pmu, places->contexts, cpu);

		if (!cpu_online(cpu))
			continue;
		state->cpus[cpu].events = context ? context->nr_events : 0;
		state->cpus[cpu].counters = counters_taken(pmu, cpu);
		smp_call_function_single(cpu, read_cpu, &state->cpus[cpu], 1);
	}
}

static void show_state(struct seq_file *seq, const char *when, const struct state *state)
{
	bool first = true;

	seq_printf(seq, "{\"kind\":\"state\",\"when\":\"%s\",\"time\":%llu,\"counts\":{",
		   when, state->time);
	for (int i = 0; i < ARRAY_SIZE(count_names); i++)
		seq_printf(seq, "\"%s\":%d,", count_names[i], state->counts[i]);
	seq_printf(seq, "\"perf_swevent_enabled\":%d,\"locked_vm\":%ld},\"cpus\":[",
		   state->software, state->locked);
	for (int cpu = 0; cpu < MAX_CPUS; cpu++) {
		const struct cpu_state *one = &state->cpus[cpu];

		if (!one->online)
			continue;
		seq_printf(seq, "%s{\"cpu\":%d,\"events\":%d,\"counters\":%d,\"enabled\":%llu,"
			   "\"interrupts\":%llu}", first ? "" : ",", cpu, one->events,
			   one->counters, one->enabled, one->interrupts);
		first = false;
	}
	seq_puts(seq, "]}\n");
}

#endif
