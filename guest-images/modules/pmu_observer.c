// SPDX-License-Identifier: GPL-2.0
/*
 * pmu_observer: the kernel's own log of what perf asks of a PMU.
 *
 * Wraps the callbacks of one struct pmu (add, del, start, stop) and records
 * each call with the event's hardware state before and after it, so that the
 * image under test stays untouched.  A kretprobe on perf_event_task_tick()
 * marks which calls belong to the tick's period adjustment.
 *
 * /sys/kernel/debug/pmu_observer/log gives the log as JSON lines.
 */
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/perf_event.h>
#include <linux/seq_file.h>
#include <linux/timekeeping.h>
#include <linux/vmalloc.h>

static unsigned int type = PERF_TYPE_HARDWARE;
module_param(type, uint, 0444);
MODULE_PARM_DESC(type, "perf_event_attr.type of an event of the PMU to wrap");

static ulong config = PERF_COUNT_HW_CPU_CYCLES;
module_param(config, ulong, 0444);
MODULE_PARM_DESC(config, "perf_event_attr.config of an event of the PMU to wrap");

static unsigned int capacity = 1 << 16;
module_param(capacity, uint, 0444);
MODULE_PARM_DESC(capacity, "calls that the log holds");

enum call { CALL_ADD, CALL_DEL, CALL_START, CALL_STOP, CALL_TICK };

static const char * const call_names[] = { "add", "del", "start", "stop", "tick" };

/* What a call may change in an event. */
struct hw_view {
	s64 left;
	s64 count;
	u64 prev;
	u64 period;
	int idx;
	int state;
};

struct entry {
	u64 time;
	u64 id;
	unsigned long caller;
	struct hw_view before, after;
	int call, cpu, flags, ret;
	bool tick;
};

static struct entry *entries;
static atomic_t taken = ATOMIC_INIT(0);
static DEFINE_PER_CPU(int, in_tick);

static struct pmu *pmu;
static struct pmu original;
static struct dentry *directory;

static struct hw_view view(struct perf_event *event)
{
	struct hw_perf_event *hwc = &event->hw;

	return (struct hw_view) {
		.left = local64_read(&hwc->period_left),
		.count = local64_read(&event->count),
		.prev = local64_read(&hwc->prev_count),
		.period = hwc->sample_period,
		.idx = hwc->idx,
		.state = hwc->state,
	};
}

/* A free entry with what is known before the call, or NULL when full. */
static struct entry *begin(enum call call, struct perf_event *event, int flags,
			   unsigned long caller)
{
	unsigned int slot = atomic_inc_return(&taken) - 1;
	struct entry *entry;

	if (slot >= capacity)
		return NULL;
	entry = &entries[slot];
	entry->time = ktime_get_mono_fast_ns();
	entry->call = call;
	entry->cpu = raw_smp_processor_id();
	entry->flags = flags;
	entry->caller = caller;
	entry->tick = raw_cpu_read(in_tick) > 0;
	if (event) {
		entry->id = event->id;
		entry->before = view(event);
	}
	return entry;
}

static void end(struct entry *entry, struct perf_event *event, int ret)
{
	if (!entry)
		return;
	entry->after = view(event);
	entry->ret = ret;
}

static int observed_add(struct perf_event *event, int flags)
{
	struct entry *entry = begin(CALL_ADD, event, flags, _RET_IP_);
	int ret = original.add(event, flags);

	end(entry, event, ret);
	return ret;
}

static void observed_del(struct perf_event *event, int flags)
{
	struct entry *entry = begin(CALL_DEL, event, flags, _RET_IP_);

	original.del(event, flags);
	end(entry, event, 0);
}

static void observed_start(struct perf_event *event, int flags)
{
	struct entry *entry = begin(CALL_START, event, flags, _RET_IP_);

	original.start(event, flags);
	end(entry, event, 0);
}

static void observed_stop(struct perf_event *event, int flags)
{
	struct entry *entry = begin(CALL_STOP, event, flags, _RET_IP_);

	original.stop(event, flags);
	end(entry, event, 0);
}

static int tick_entry(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	raw_cpu_inc(in_tick);
	begin(CALL_TICK, NULL, 0, 0);
	return 0;
}

static int tick_return(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	raw_cpu_dec(in_tick);
	return 0;
}

static struct kretprobe tick_probe = {
	.kp.symbol_name = "perf_event_task_tick",
	.entry_handler = tick_entry,
	.handler = tick_return,
};

static int log_show(struct seq_file *seq, void *slot)
{
	struct entry *entry = &entries[*(loff_t *)slot];
	struct hw_view *before = &entry->before, *after = &entry->after;

	seq_printf(seq, "{\"kind\":\"callback\",\"call\":\"%s\",\"time\":%llu,\"cpu\":%d",
		   call_names[entry->call], entry->time, entry->cpu);
	if (entry->call != CALL_TICK)
		seq_printf(seq, ",\"id\":%llu,\"tick\":%d,\"flags\":%d,\"ret\":%d,\"caller\":\"%ps\","
			   "\"idx\":[%d,%d],\"state\":[%d,%d],\"left\":[%lld,%lld],"
			   "\"period\":[%llu,%llu],\"count\":[%lld,%lld],\"prev\":[%llu,%llu]",
			   entry->id, entry->tick, entry->flags, entry->ret,
			   (void *)entry->caller, before->idx, after->idx,
			   before->state, after->state, before->left, after->left,
			   before->period, after->period, before->count, after->count,
			   before->prev, after->prev);
	seq_puts(seq, "}\n");
	return 0;
}

static unsigned int logged(void)
{
	return min_t(unsigned int, atomic_read(&taken), capacity);
}

static void *log_start(struct seq_file *seq, loff_t *slot)
{
	return *slot < logged() ? slot : NULL;
}

static void *log_next(struct seq_file *seq, void *unused, loff_t *slot)
{
	++*slot;
	return log_start(seq, slot);
}

static void log_stop(struct seq_file *seq, void *slot)
{
}

static const struct seq_operations log_sops = {
	.start = log_start,
	.next = log_next,
	.stop = log_stop,
	.show = log_show,
};
DEFINE_SEQ_ATTRIBUTE(log);

/* The struct pmu behind an event: ask perf for one such event and let it go. */
static struct pmu *find_pmu(void)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = type,
		.config = config,
		.disabled = 1,
	};
	struct perf_event *event;
	struct pmu *found;

	event = perf_event_create_kernel_counter(&attr, cpumask_first(cpu_online_mask),
						 NULL, NULL, NULL);
	if (IS_ERR(event))
		return ERR_CAST(event);
	found = event->pmu;
	perf_event_release_kernel(event);
	return found;
}

static void wrap(void)
{
	original = *pmu;
	WRITE_ONCE(pmu->add, observed_add);
	WRITE_ONCE(pmu->del, observed_del);
	WRITE_ONCE(pmu->start, observed_start);
	WRITE_ONCE(pmu->stop, observed_stop);
}

static void unwrap(void)
{
	WRITE_ONCE(pmu->add, original.add);
	WRITE_ONCE(pmu->del, original.del);
	WRITE_ONCE(pmu->start, original.start);
	WRITE_ONCE(pmu->stop, original.stop);
}

static int __init observer_init(void)
{
	int ret;

	entries = vzalloc(array_size(capacity, sizeof(*entries)));
	if (!entries)
		return -ENOMEM;

	pmu = find_pmu();
	if (IS_ERR(pmu)) {
		ret = PTR_ERR(pmu);
		pr_err("pmu_observer: no PMU takes type %u config %#lx: %d\n", type, config, ret);
		goto free;
	}

	ret = register_kretprobe(&tick_probe);
	if (ret) {
		pr_err("pmu_observer: cannot probe %s: %d\n", tick_probe.kp.symbol_name, ret);
		goto free;
	}

	directory = debugfs_create_dir("pmu_observer", NULL);
	debugfs_create_file("log", 0400, directory, NULL, &log_fops);
	debugfs_create_atomic_t("calls", 0400, directory, &taken);
	wrap();
	pr_info("pmu_observer: watching %s, room for %u calls\n", pmu->name, capacity);
	return 0;
free:
	vfree(entries);
	return ret;
}

static void __exit observer_exit(void)
{
	unwrap();
	unregister_kretprobe(&tick_probe);
	debugfs_remove(directory);
	synchronize_rcu();
	vfree(entries);
}

module_init(observer_init);
module_exit(observer_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Log of the callbacks of a struct pmu");
