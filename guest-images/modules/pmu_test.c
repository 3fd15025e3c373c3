// SPDX-License-Identifier: GPL-2.0
/*
 * pmu_test: PMUs of which everything is known.
 *
 * Registers the PMUs test0, test1, ... of hardware type, each with as many
 * counters as are asked for.  They count two things: "clock", nanoseconds, and
 * "work", what is written to the PMU's attribute of that name on the same CPU.
 * An overflow of a work event comes within the write that makes it, that of a
 * clock event with a timer.  With an AUX buffer there is "trace" as well, which
 * writes a word into it for each unit of work: its count until then.
 *
 * The attributes fail_* make a callback fail: a number N the Nth call from now,
 * once; delay_* make each call take so many microseconds more.  Their calls are logged by pmu_observer, which finds a PMU by the
 * symbol of its name (also=test0).
 *
 * The attribute kernel_counter has the module count for itself, as KVM does
 * (perf_event_create_kernel_counter()): a number N written to it N work events of
 * its own, on CPU 0; what they counted is read from it.
 *
 * An event of a PMU with filters is told ranges of addresses, which change nothing:
 * the attribute ranges has those of the event that was told last.
 *
 * docs/contexts.md tells how scenarios use them.
 */
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/perf_event.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/timekeeping.h>

#include <asm/irq_regs.h>

#include "compat.h"

#define MAX_PMUS	4
#define MAX_COUNTERS	16
#define MAX_FILTERS	4
/* As for the software clocks: perf_swevent_start_hrtimer() in kernel/events/core.c. */
#define SHORTEST_NS	10000
/* Of a delay: callbacks run with interrupts off, and udelay() is for short times. */
#define LONGEST_US	1000

#define PER_PMU(name, what)						\
	static unsigned int name[MAX_PMUS];				\
	module_param_array(name, uint, NULL, 0444);			\
	MODULE_PARM_DESC(name, what)

static unsigned int counters[MAX_PMUS];
static int number;
module_param_array(counters, uint, &number, 0444);
MODULE_PARM_DESC(counters, "how many counters each PMU has: one value for each PMU");

PER_PMU(task, "1: counts for tasks, too, where the kernel lets several PMUs do so");
PER_PMU(uncore, "1: one for all CPUs, read through the one in its cpumask");
PER_PMU(interrupt, "1: overflows interrupt, so that events may sample");
PER_PMU(exclusive, "1: PERF_PMU_CAP_EXCLUSIVE");
PER_PMU(no_exclude, "1: PERF_PMU_CAP_NO_EXCLUDE; else exclude_* is taken and does nothing");
PER_PMU(aux, "1: it traces work into an AUX buffer; PERF_PMU_CAP_ITRACE");
PER_PMU(filters, "1: an event may be told ranges of addresses");

enum what { CLOCK = 1, WORK = 2, TRACE = 3 };

/* Callbacks that may be told to fail, or to take their time. */
enum switched { EVENT_INIT, ADD, START, COMMIT, SWITCHED };

/* What a trace is written to, as setup_aux() is given it. */
struct trace_buffer {
	bool overwrite;
	size_t size;
	void *pages[];
};

#define TRACE_WORD	sizeof(u64)
/* Where each stretch of a trace begins: tracers have such rules. */
#define TRACE_ALIGNMENT	64

struct counter {
	struct perf_event *event;
	struct hrtimer timer;
	/* A stretch of a trace, between perf_aux_output_begin() and _end(); NULL when there is none. */
	struct trace_buffer *trace;
	struct perf_output_handle handle;
	size_t written;
};

/* What a PMU has of each CPU; an uncore PMU's work is that of all CPUs. */
struct instance {
	struct counter counters[MAX_COUNTERS];
	u64 work;
	unsigned int txn_flags;
};

struct test_pmu {
	struct pmu pmu;		/* first: its symbol is that of the whole */
	struct instance __percpu *instances;
	unsigned int counters;
	bool uncore, registered;
	int cpu;		/* of an uncore PMU */
	atomic64_t work;	/* likewise */
	atomic_t failing[SWITCHED], delay_us[SWITCHED];
	struct perf_event *own[MAX_COUNTERS];
	unsigned int own_number;
	/* What an event of it was told last, and how many that were. */
	struct perf_addr_filter_range ranges[MAX_FILTERS];
	unsigned int ranges_number;
};

/* Of the counters that PMUs have for themselves. */
static DEFINE_MUTEX(own_lock);
static struct test_pmu test0, test1, test2, test3;
static struct test_pmu * const pmus[MAX_PMUS] = { &test0, &test1, &test2, &test3 };
static const char * const names[MAX_PMUS] = { "test0", "test1", "test2", "test3" };

/* The kernel's own, which it does not export. */
static typeof(perf_event_overflow) *overflow;
static typeof(perf_output_copy_aux) *copy_aux;

static struct test_pmu *test_pmu_of(struct pmu *pmu)
{
	return container_of(pmu, struct test_pmu, pmu);
}

static struct instance *here(struct test_pmu *test)
{
	return raw_cpu_ptr(test->instances);
}

/* True for the call that was to fail; each takes as long as it is to. */
static bool fails(struct test_pmu *test, enum switched what)
{
	int us = atomic_read(&test->delay_us[what]);

	if (us)
		udelay(us);
	return atomic_dec_if_positive(&test->failing[what]) == 0;
}

/* --- counting ------------------------------------------------------------- */

static u64 value_now(struct perf_event *event)
{
	struct test_pmu *test = test_pmu_of(event->pmu);

	if (event->attr.config == CLOCK)
		return ktime_get_mono_fast_ns();
	return test->uncore ? atomic64_read(&test->work) : here(test)->work;
}

static void update(struct perf_event *event)
{
	u64 now, delta;

	if (event->attr.config == TRACE)
		return;		/* each of its words is counted as it is written */
	now = value_now(event);
	delta = now - local64_xchg(&event->hw.prev_count, now);
	local64_add(delta, &event->count);
	local64_sub(delta, &event->hw.period_left);
}

/* How much is left of the period, a new one where it is over; as armpmu_event_set_period(). */
static s64 next_left(struct hw_perf_event *hwc)
{
	s64 left = local64_read(&hwc->period_left), period = hwc->sample_period;

	if (left <= -period) {
		left = period;
		hwc->last_period = period;
	}
	if (left <= 0) {
		left += period;
		hwc->last_period = period;
	}
	local64_set(&hwc->period_left, left);
	return left;
}

static bool is_stopped(struct perf_event *event)
{
	return event->hw.state & PERF_HES_STOPPED;
}

static struct counter *counter_of(struct perf_event *event)
{
	return &here(test_pmu_of(event->pmu))->counters[event->hw.idx];
}

static struct hrtimer *timer_of(struct perf_event *event)
{
	return &counter_of(event)->timer;
}

static ktime_t timer_ns(s64 left)
{
	return ns_to_ktime(max_t(s64, left, SHORTEST_NS));
}

/* --- traces --------------------------------------------------------------- */

static void *test_setup_aux(struct perf_event *event, void **pages, int number, bool overwrite)
{
	struct trace_buffer *buffer = kmalloc(struct_size(buffer, pages, number), GFP_KERNEL);

	if (!buffer)
		return NULL;
	buffer->overwrite = overwrite;
	buffer->size = number * PAGE_SIZE;
	memcpy(buffer->pages, pages, number * sizeof(*pages));
	return buffer;
}

static void test_free_aux(void *buffer)
{
	kfree(buffer);
}

/* False where there is no buffer, or no room in it: then the kernel disables the event. */
static bool begin_trace(struct perf_event *event)
{
	struct counter *counter = counter_of(event);
	struct perf_output_handle *handle = &counter->handle;
	size_t beyond;

	counter->trace = perf_aux_output_begin(handle, event);
	if (!counter->trace)
		return false;
	counter->written = 0;
	beyond = handle->head % TRACE_ALIGNMENT;
	if (beyond && !counter->trace->overwrite)
		perf_aux_output_skip(handle, TRACE_ALIGNMENT - beyond);
	return true;
}

static void end_trace(struct perf_event *event)
{
	struct counter *counter = counter_of(event);

	if (!counter->trace)
		return;
	/* Of a buffer that is written over, the driver says where it is. */
	if (counter->trace->overwrite)
		counter->handle.head += counter->written;
	counter->trace = NULL;
	perf_aux_output_end(&counter->handle, counter->written);
}

static void write_word(struct counter *counter, u64 word)
{
	struct trace_buffer *buffer = counter->trace;
	size_t place = (counter->handle.head + counter->written) % buffer->size;

	*(u64 *)(buffer->pages[place / PAGE_SIZE] + place % PAGE_SIZE) = word;
	counter->written += TRACE_WORD;
}

/* As a tracer interrupts: where the buffer is full, and where its reader wants to know. */
static void trace_word(struct perf_event *event)
{
	struct counter *counter = counter_of(event);
	struct perf_output_handle *handle = &counter->handle;

	if (counter->trace->overwrite) {
		write_word(counter, local64_read(&event->count));
		local64_inc(&event->count);
		return;
	}
	if (counter->written + TRACE_WORD > handle->size) {
		perf_aux_output_flag(handle, PERF_AUX_FLAG_TRUNCATED);
		end_trace(event);
		return;
	}
	write_word(counter, local64_read(&event->count));
	local64_inc(&event->count);
	if (handle->head + counter->written >= handle->wakeup) {
		end_trace(event);
		begin_trace(event);
	}
}

/* All traces of a CPU go on for so many units. */
static void trace(struct test_pmu *test, u64 work)
{
	for (unsigned int idx = 0; idx < test->counters; idx++) {
		struct counter *counter = &here(test)->counters[idx];

		for (u64 unit = 0; unit < work && counter->trace; unit++)
			trace_word(counter->event);
	}
}

/* The newest bytes of a trace, into a sample of another event (PERF_SAMPLE_AUX). */
static long test_snapshot_aux(struct perf_event *event, struct perf_output_handle *sample,
			      unsigned long size)
{
	struct counter *counter = counter_of(event);
	size_t end;

	if (!counter->trace)
		return 0;
	end = counter->handle.head + counter->written;
	size = min3(size, (unsigned long)end, (unsigned long)counter->trace->size);
	return size ? copy_aux(&counter->handle, sample, end - size, end) : 0;
}

/* --- callbacks ------------------------------------------------------------ */

static void test_start(struct perf_event *event, int flags)
{
	struct hw_perf_event *hwc = &event->hw;

	if (!is_stopped(event) || fails(test_pmu_of(event->pmu), START))
		return;
	if (event->attr.config == TRACE && !begin_trace(event))
		return;
	perf_event_addr_filters_sync(event);
	hwc->state = 0;
	local64_set(&hwc->prev_count, value_now(event));
	if (is_sampling_event(event)) {
		s64 left = next_left(hwc);

		if (event->attr.config == CLOCK)
			hrtimer_start(timer_of(event), timer_ns(left), HRTIMER_MODE_REL_PINNED_HARD);
	}
	perf_event_update_userpage(event);
}

static void test_stop(struct perf_event *event, int flags)
{
	if (is_stopped(event))
		return;
	/* Its own handler may be what calls: there it ends by itself. */
	if (is_sampling_event(event) && event->attr.config == CLOCK)
		hrtimer_try_to_cancel(timer_of(event));
	if (event->attr.config == TRACE)
		end_trace(event);
	update(event);
	event->hw.state = PERF_HES_STOPPED | PERF_HES_UPTODATE;
	perf_event_update_userpage(event);
}

static void test_read(struct perf_event *event)
{
	if (!is_stopped(event))
		update(event);
}

/* --- overflows ------------------------------------------------------------ */

/* Give a sample for each period that is over. */
static void check_overflow(struct perf_event *event, struct pt_regs *regs)
{
	struct perf_sample_data data;

	if (is_stopped(event))
		return;
	update(event);
	if (local64_read(&event->hw.period_left) > 0)
		return;
	next_left(&event->hw);
	perf_sample_data_init(&data, 0, event->hw.last_period);
	if (overflow(event, &data, regs))
		test_stop(event, 0);
}

static enum hrtimer_restart timer_ends(struct hrtimer *timer)
{
	struct perf_event *event = container_of(timer, struct counter, timer)->event;

	check_overflow(event, get_irq_regs());
	if (is_stopped(event))
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, timer_ns(local64_read(&event->hw.period_left)));
	return HRTIMER_RESTART;
}

/* The next work event of a CPU that samples, or NULL; `from` is moved behind it. */
static struct perf_event *next_sampling(struct test_pmu *test, unsigned int *from)
{
	while (*from < test->counters) {
		struct perf_event *event = here(test)->counters[(*from)++].event;

		if (event && event->attr.config == WORK && is_sampling_event(event) &&
		    !is_stopped(event))
			return event;
	}
	return NULL;
}

/* How much work may be done before the next overflow, which then is exact. */
static u64 work_until_overflow(struct test_pmu *test, u64 most)
{
	struct perf_event *event;
	unsigned int place = 0;

	while ((event = next_sampling(test, &place))) {
		u64 done = here(test)->work - local64_read(&event->hw.prev_count);

		most = min_t(u64, most, local64_read(&event->hw.period_left) - done);
	}
	return most;
}

static void do_work(struct test_pmu *test, u64 work)
{
	unsigned long flags;

	if (test->uncore) {
		atomic64_add(work, &test->work);
		return;
	}
	local_irq_save(flags);
	while (work) {
		u64 part = work_until_overflow(test, work);
		struct perf_event *event;
		unsigned int place = 0;

		here(test)->work += part;
		work -= part;
		trace(test, part);
		while ((event = next_sampling(test, &place)))
			check_overflow(event, task_pt_regs(current));
	}
	local_irq_restore(flags);
}

/* --- scheduling ----------------------------------------------------------- */

static int test_add(struct perf_event *event, int flags)
{
	struct test_pmu *test = test_pmu_of(event->pmu);
	struct counter *counter = here(test)->counters;
	unsigned int idx = 0;

	if (fails(test, ADD))
		return -EAGAIN;
	while (idx < test->counters && counter[idx].event)
		idx++;
	if (idx == test->counters)
		return -EAGAIN;
	counter[idx].event = event;
	event->hw.idx = idx;
	event->hw.state = PERF_HES_STOPPED | PERF_HES_UPTODATE;
	if (flags & PERF_EF_START)
		test_start(event, PERF_EF_RELOAD);
	perf_event_update_userpage(event);
	return 0;
}

static void test_del(struct perf_event *event, int flags)
{
	test_stop(event, PERF_EF_UPDATE);
	here(test_pmu_of(event->pmu))->counters[event->hw.idx].event = NULL;
	event->hw.idx = -1;
	perf_event_update_userpage(event);
}

static void test_start_txn(struct pmu *pmu, unsigned int flags)
{
	here(test_pmu_of(pmu))->txn_flags = flags;
}

static void test_cancel_txn(struct pmu *pmu)
{
	here(test_pmu_of(pmu))->txn_flags = 0;
}

static int test_commit_txn(struct pmu *pmu)
{
	struct test_pmu *test = test_pmu_of(pmu);

	if (here(test)->txn_flags == PERF_PMU_TXN_ADD && fails(test, COMMIT))
		return -EAGAIN;
	here(test)->txn_flags = 0;
	return 0;
}

/* What user space finds as the page's index: the counter's number plus 1. */
static int test_event_idx(struct perf_event *event)
{
	return event->hw.idx + 1;
}

/* A group that has more events of a PMU than this has counters can never be scheduled. */
static bool group_fits(struct perf_event *event)
{
	struct perf_event *leader = event->group_leader, *sibling;
	unsigned int taken = 1;

	if (leader != event) {
		taken += leader->pmu == event->pmu;
		for_each_sibling_event(sibling, leader)
			taken += sibling->pmu == event->pmu;
	}
	return taken <= test_pmu_of(event->pmu)->counters;
}

static int test_event_init(struct perf_event *event)
{
	struct test_pmu *test = test_pmu_of(event->pmu);

	if (event->attr.type != event->pmu->type)
		return -ENOENT;
	if (fails(test, EVENT_INIT))
		return -EBUSY;
	if (event->attr.config < CLOCK || event->attr.config > TRACE)
		return -EINVAL;
	if (event->attr.config == TRACE && (!event->pmu->setup_aux || is_sampling_event(event)))
		return -EINVAL;
	if (!group_fits(event))
		return -EINVAL;
	event->hw.idx = -1;
	if (!test->uncore)
		return 0;
	if (event->cpu < 0 || event->attach_state & PERF_ATTACH_TASK || is_sampling_event(event))
		return -EINVAL;
	event->cpu = test->cpu;
	return 0;
}

/* --- attributes ----------------------------------------------------------- */

static struct test_pmu *test_pmu_of_device(struct device *device)
{
	return test_pmu_of(dev_get_drvdata(device));
}

PMU_FORMAT_ATTR(event, "config:0-7");
PMU_EVENT_ATTR_STRING(clock, clock_attr, "event=0x01");
PMU_EVENT_ATTR_STRING(work, work_attr, "event=0x02");
PMU_EVENT_ATTR_STRING(trace, trace_attr, "event=0x03");

static struct attribute *format_attributes[] = { &format_attr_event.attr, NULL };
static const struct attribute_group format_group = { .name = "format", .attrs = format_attributes };

static struct attribute *event_attributes[] = {
	&clock_attr.attr.attr, &work_attr.attr.attr, &trace_attr.attr.attr, NULL,
};

static umode_t event_mode(struct kobject *kobject, struct attribute *attribute, int place)
{
	struct test_pmu *test = test_pmu_of_device(kobj_to_dev(kobject));

	return attribute == &trace_attr.attr.attr && !test->pmu.setup_aux ? 0 : attribute->mode;
}

static const struct attribute_group event_group = {
	.name = "events",
	.attrs = event_attributes,
	.is_visible = event_mode,
};

static ssize_t cpumask_show(struct device *device, struct device_attribute *attribute, char *text)
{
	return sysfs_emit(text, "%d\n", test_pmu_of_device(device)->cpu);
}

/* All events of an uncore PMU go to another CPU, as when theirs goes offline. */
static void migrate(struct test_pmu *test, unsigned int target)
{
	perf_pmu_migrate_context(&test->pmu, test->cpu, target);
	test->cpu = target;
}

static ssize_t cpumask_store(struct device *device, struct device_attribute *attribute,
			     const char *text, size_t size)
{
	unsigned int cpu;
	int ret = kstrtouint(text, 0, &cpu);

	if (ret)
		return ret;
	cpus_read_lock();
	if (cpu < nr_cpu_ids && cpu_online(cpu) && cpu != test_pmu_of_device(device)->cpu)
		migrate(test_pmu_of_device(device), cpu);
	else
		ret = -ENXIO;
	cpus_read_unlock();
	return ret ?: size;
}
static DEVICE_ATTR_RW(cpumask);

static ssize_t work_store(struct device *device, struct device_attribute *attribute,
			  const char *text, size_t size)
{
	u64 work;
	int ret = kstrtou64(text, 0, &work);

	if (ret)
		return ret;
	do_work(test_pmu_of_device(device), work);
	return size;
}
static DEVICE_ATTR_WO(work);

#define SWITCH(name, values, what, most)						\
static ssize_t name##_store(struct device *device, struct device_attribute *attribute,	\
			    const char *text, size_t size)				\
{											\
	unsigned int value;								\
	int ret = kstrtouint(text, 0, &value);						\
											\
	if (ret)									\
		return ret;								\
	if (value > (most))								\
		return -EINVAL;								\
	atomic_set(&test_pmu_of_device(device)->values[what], value);			\
	return size;									\
}											\
static DEVICE_ATTR_WO(name)

SWITCH(fail_event_init, failing, EVENT_INIT, INT_MAX);
SWITCH(fail_add, failing, ADD, INT_MAX);
SWITCH(fail_start, failing, START, INT_MAX);
SWITCH(fail_commit, failing, COMMIT, INT_MAX);
SWITCH(delay_event_init, delay_us, EVENT_INIT, LONGEST_US);
SWITCH(delay_add, delay_us, ADD, LONGEST_US);
SWITCH(delay_start, delay_us, START, LONGEST_US);
SWITCH(delay_commit, delay_us, COMMIT, LONGEST_US);

/* --- counters of the kernel's own ------------------------------------------ */

static void release_own(struct test_pmu *test)
{
	while (test->own_number)
		perf_event_release_kernel(test->own[--test->own_number]);
}

static int create_own(struct test_pmu *test, unsigned int wanted)
{
	struct perf_event_attr attr = {
		.type = test->pmu.type, .size = sizeof(attr), .config = WORK,
	};

	release_own(test);
	while (test->own_number < wanted) {
		struct perf_event *event =
			perf_event_create_kernel_counter(&attr, 0, NULL, NULL, NULL);

		if (IS_ERR(event))
			return PTR_ERR(event);
		test->own[test->own_number++] = event;
	}
	return 0;
}

static ssize_t kernel_counter_store(struct device *device, struct device_attribute *attribute,
				    const char *text, size_t size)
{
	unsigned int wanted;
	int ret = kstrtouint(text, 0, &wanted);

	if (ret)
		return ret;
	if (wanted > MAX_COUNTERS)
		return -EINVAL;
	mutex_lock(&own_lock);
	ret = create_own(test_pmu_of_device(device), wanted);
	mutex_unlock(&own_lock);
	return ret ?: size;
}

static ssize_t kernel_counter_show(struct device *device, struct device_attribute *attribute,
				   char *text)
{
	struct test_pmu *test = test_pmu_of_device(device);
	u64 enabled, running;
	int used = 0;

	mutex_lock(&own_lock);
	for (unsigned int i = 0; i < test->own_number; i++)
		used += sysfs_emit_at(text, used, "%s%llu", i ? " " : "",
				      perf_event_read_value(test->own[i], &enabled, &running));
	mutex_unlock(&own_lock);
	return used + sysfs_emit_at(text, used, "\n");
}
static DEVICE_ATTR_RW(kernel_counter);

/* --- ranges of addresses ----------------------------------------------------- */

static int test_filters_validate(struct list_head *filters)
{
	struct list_head *each;
	unsigned int found = 0;

	list_for_each(each, filters)
		found++;
	return found > MAX_FILTERS ? -EOPNOTSUPP : 0;
}

/* Where the kernel found what the filters name, in the memory of the event's task. */
static void test_filters_sync(struct perf_event *event)
{
	struct perf_addr_filters_head *head = perf_event_addr_filters(event);
	struct test_pmu *test = test_pmu_of(event->pmu);
	struct perf_addr_filter *filter;
	unsigned int found = 0;

	list_for_each_entry(filter, &head->list, entry) {
		test->ranges[found] = event->addr_filter_ranges[found];
		found++;
	}
	test->ranges_number = found;
}

static ssize_t ranges_show(struct device *device, struct device_attribute *attribute, char *text)
{
	struct test_pmu *test = test_pmu_of_device(device);
	int used = 0;

	for (unsigned int i = 0; i < test->ranges_number; i++)
		used += sysfs_emit_at(text, used, "%s%lx+%lx", i ? " " : "",
				      test->ranges[i].start, test->ranges[i].size);
	return used + sysfs_emit_at(text, used, "\n");
}
static DEVICE_ATTR_RO(ranges);

static struct attribute *test_attributes[] = {
	&dev_attr_ranges.attr,
	&dev_attr_kernel_counter.attr,
	&dev_attr_cpumask.attr,
	&dev_attr_work.attr,
	&dev_attr_fail_event_init.attr,
	&dev_attr_fail_add.attr,
	&dev_attr_fail_start.attr,
	&dev_attr_fail_commit.attr,
	&dev_attr_delay_event_init.attr,
	&dev_attr_delay_add.attr,
	&dev_attr_delay_start.attr,
	&dev_attr_delay_commit.attr,
	NULL,
};

/* Only an uncore PMU has a cpumask: perf would open the events of any other there only. */
static umode_t attribute_mode(struct kobject *kobject, struct attribute *attribute, int place)
{
	struct device *device = kobj_to_dev(kobject);

	if (attribute == &dev_attr_cpumask.attr && !test_pmu_of_device(device)->uncore)
		return 0;
	return attribute->mode;
}

static const struct attribute_group test_group = {
	.attrs = test_attributes,
	.is_visible = attribute_mode,
};

static const struct attribute_group *groups[] = { &format_group, &event_group, &test_group, NULL };

/* --- CPUs that come and go ------------------------------------------------ */

static int cpu_offline(unsigned int cpu)
{
	for (int i = 0; i < number; i++) {
		unsigned int target = cpumask_any_but(cpu_online_mask, cpu);

		if (!pmus[i]->uncore || pmus[i]->cpu != cpu || target >= nr_cpu_ids)
			continue;
		migrate(pmus[i], target);
	}
	return 0;
}

/* --- the module ----------------------------------------------------------- */

/* Where a function of the kernel's is; NULL where it has none of that name. */
static void *find(const char *name)
{
	struct kprobe probe = { .symbol_name = name };

	if (register_kprobe(&probe))
		return NULL;
	unregister_kprobe(&probe);
	return probe.addr;
}

static int capabilities_of(int place)
{
	return (interrupt[place] ? 0 : PERF_PMU_CAP_NO_INTERRUPT) |
	       (exclusive[place] ? PERF_PMU_CAP_EXCLUSIVE : 0) |
	       (no_exclude[place] ? PERF_PMU_CAP_NO_EXCLUDE : 0) |
	       (aux[place] ? PERF_PMU_CAP_ITRACE : 0);
}

static int register_pmu(int place)
{
	struct test_pmu *test = pmus[place];
	bool for_tasks = task[place] && !uncore[place];
	int cpu, ret;

	if (!counters[place] || counters[place] > MAX_COUNTERS) {
		pr_err("pmu_test: %s: counters are 1 to %d\n", names[place], MAX_COUNTERS);
		return -EINVAL;
	}
	if (for_tasks && !TASKS_HAVE_MANY_PMUS) {
		pr_info("pmu_test: %s counts for no task: this kernel has one PMU that does\n",
			names[place]);
		for_tasks = false;
	}
	test->instances = alloc_percpu(struct instance);
	if (!test->instances)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		for (int i = 0; i < MAX_COUNTERS; i++)
			setup_timer(&per_cpu_ptr(test->instances, cpu)->counters[i].timer,
				    timer_ends, HRTIMER_MODE_REL_PINNED_HARD);
	test->counters = counters[place];
	test->uncore = uncore[place];
	test->cpu = cpumask_first(cpu_online_mask);
	test->pmu = (struct pmu) {
		.module = THIS_MODULE,
		.task_ctx_nr = for_tasks ? perf_hw_context : perf_invalid_context,
		.capabilities = capabilities_of(place),
		.attr_groups = groups,
		.event_init = test_event_init,
		.add = test_add,
		.del = test_del,
		.start = test_start,
		.stop = test_stop,
		.read = test_read,
		.start_txn = test_start_txn,
		.commit_txn = test_commit_txn,
		.cancel_txn = test_cancel_txn,
		.event_idx = test_event_idx,
	};
	if (filters[place]) {
		test->pmu.nr_addr_filters = MAX_FILTERS;
		test->pmu.addr_filters_validate = test_filters_validate;
		test->pmu.addr_filters_sync = test_filters_sync;
	}
	if (aux[place] && !uncore[place]) {
		test->pmu.setup_aux = test_setup_aux;
		test->pmu.free_aux = test_free_aux;
		test->pmu.snapshot_aux = test_snapshot_aux;
	}
	ret = perf_pmu_register(&test->pmu, names[place], -1);
	test->registered = !ret;
	return ret;
}

static void unregister_all(void)
{
	for (int i = 0; i < number; i++) {
		if (pmus[i]->registered)
			perf_pmu_unregister(&pmus[i]->pmu);
		free_percpu(pmus[i]->instances);
	}
}

static int __init pmu_test_init(void)
{
	int ret = 0;

	overflow = find("perf_event_overflow");
	copy_aux = find("perf_output_copy_aux");
	if (!overflow || !copy_aux)
		return -ENOENT;
	for (int i = 0; !ret && i < number; i++)
		ret = register_pmu(i);
	if (!ret)
		ret = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "perf/pmu_test:online",
						NULL, cpu_offline);
	if (ret < 0)
		unregister_all();
	return min(ret, 0);
}

module_init(pmu_test_init);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("PMUs that count what is known");
