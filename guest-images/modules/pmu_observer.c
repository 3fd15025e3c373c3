// SPDX-License-Identifier: GPL-2.0
/*
 * pmu_observer: the kernel's own log of what perf asks of a PMU.
 *
 * Wraps the callbacks of one or more struct pmu (add, del, start, stop) and
 * records each call with the event's hardware state before and after it, so
 * that the image under test stays untouched.  A kretprobe on
 * perf_event_task_tick() marks which calls belong to the tick's period
 * adjustment; in a tick, pmu_disable and pmu_enable are recorded as well.
 * One on perf_mux_hrtimer_handler() records when the timer that rotates a
 * PMU's events comes ("rotate"), and whether it goes on ("rotate-end", 1).
 *
 * Where add() only collects events, pmu_enable() gives them their counters and
 * starts them (x86_pmu_enable() in arch/x86/events/core.c), and calls its own
 * functions for that.  What it changed of an event is logged as a call "assign".
 *
 * /sys/kernel/debug/pmu_observer/log gives the log as JSON lines, the last ones
 * saying how many calls there were and how many the log had room for, and what
 * perf had when the module was loaded and has now.
 */
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/perf_event.h>
#include <linux/seq_file.h>
#include <linux/timekeeping.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "registers.h"
#include "state.h"

static unsigned int type = PERF_TYPE_HARDWARE;
module_param(type, uint, 0444);
MODULE_PARM_DESC(type, "perf_event_attr.type of an event of the first PMU to wrap");

static ulong config = PERF_COUNT_HW_CPU_CYCLES;
module_param(config, ulong, 0444);
MODULE_PARM_DESC(config, "perf_event_attr.config of an event of the first PMU to wrap");

#define MAX_PMUS	8

static char *also[MAX_PMUS - 1];
static int also_number;
module_param_array(also, charp, &also_number, 0444);
MODULE_PARM_DESC(also, "symbols of further struct pmu to wrap, such as perf_swevent");

static bool registers;
module_param(registers, bool, 0444);
MODULE_PARM_DESC(registers, "log the hardware's registers before and after each call");

static unsigned int capacity = 1 << 15;
module_param(capacity, uint, 0444);
MODULE_PARM_DESC(capacity, "calls that the log holds");

enum call {
	CALL_ADD, CALL_DEL, CALL_START, CALL_STOP, CALL_ASSIGN,
	CALL_TICK, CALL_TICK_END, CALL_DISABLE, CALL_ENABLE, CALL_ROTATE, CALL_ROTATE_END,
};

static const char * const call_names[] = {
	"add", "del", "start", "stop", "assign", "tick", "tick-end", "disable", "enable",
	"rotate", "rotate-end",
};

/* What a call may change in an event. */
struct hw_view {
	s64 left;
	s64 count;
	u64 prev;
	u64 period;
	u64 interrupts;
	int idx;
	int state;
};

struct entry {
	u64 time;
	u64 id;
	u64 parent;		/* of an inherited event; 0 for none */
	unsigned long caller;
	const char *pmu;
	struct hw_view before, after;
	int call, cpu, flags, ret;
	bool tick;
};

/* The registers around the call of the entry with the same number. */
struct register_entry {
	struct registers before, after;
};

/* `name` is the PMU's own, or the symbol by which it was asked for. */
struct wrapped {
	struct pmu *pmu;
	struct pmu original;
	const char *name;
};

/* No PMU that we know has more counters; they are per CPU, where modules have 8 KiB. */
#define MAX_ADDED	16

/*
 * What the first PMU has of a CPU, and how it was before pmu_enable().  An NMI
 * may find us there and, with some kernels, call it again: it has its own place.
 */
struct seen {
	struct perf_event *events[MAX_ADDED];
	struct hw_view views[MAX_ADDED];
	struct registers registers;
};

static DEFINE_PER_CPU(struct perf_event *, added[MAX_ADDED]);
static DEFINE_PER_CPU(struct seen, seen_before[2]);

static struct entry *entries;
static struct register_entry *register_entries;
static atomic_t taken = ATOMIC_INIT(0);
static DEFINE_PER_CPU(int, in_tick);

static struct wrapped pmus[MAX_PMUS];
static int pmu_number;
static struct dentry *directory;
static struct places places;
static struct state state_before, state_after;

static bool is_wrapped(struct pmu *pmu)
{
	for (int i = 0; i < pmu_number; i++)
		if (pmus[i].pmu == pmu)
			return true;
	return false;
}

static struct wrapped *wrapped_of(struct pmu *pmu)
{
	for (int i = 0; i < pmu_number; i++)
		if (pmus[i].pmu == pmu)
			return &pmus[i];
	BUG();
}

static struct pmu *original_of(struct pmu *pmu)
{
	return &wrapped_of(pmu)->original;
}

static struct hw_view view(struct perf_event *event)
{
	struct hw_perf_event *hwc = &event->hw;

	return (struct hw_view) {
		.left = local64_read(&hwc->period_left),
		.count = local64_read(&event->count),
		.prev = local64_read(&hwc->prev_count),
		.period = hwc->sample_period,
		.interrupts = hwc->interrupts,
		.idx = hwc->idx,
		.state = hwc->state,
	};
}

/* The first PMU is the one with registers; the others are software. */
static bool has_registers(struct pmu *pmu)
{
	return register_entries && pmu == pmus[0].pmu;
}

/* An NMI that comes in a tick is none of it. */
static bool in_its_tick(void)
{
	return raw_cpu_read(in_tick) > 0 && !in_nmi();
}

/* A free entry with what is known before the call, or NULL when full. */
static struct entry *begin(enum call call, struct pmu *pmu, unsigned long caller)
{
	unsigned int slot = atomic_inc_return(&taken) - 1;
	struct entry *entry;

	if (slot >= capacity)
		return NULL;
	entry = &entries[slot];
	entry->time = ktime_get_mono_fast_ns();
	entry->call = call;
	entry->cpu = raw_smp_processor_id();
	entry->caller = caller;
	entry->pmu = pmu ? wrapped_of(pmu)->name : "";
	entry->tick = in_its_tick();
	return entry;
}

static struct entry *begin_event(enum call call, struct perf_event *event, int flags,
				 unsigned long caller)
{
	struct entry *entry = begin(call, event->pmu, caller);

	if (!entry)
		return NULL;
	entry->flags = flags;
	entry->id = event->id;
	entry->parent = event->parent ? event->parent->id : 0;
	entry->before = view(event);
	if (has_registers(event->pmu))
		read_registers(&register_entries[entry - entries].before);
	return entry;
}

static void end(struct entry *entry, struct perf_event *event, int ret)
{
	if (!entry)
		return;
	entry->after = view(event);
	entry->ret = ret;
	if (has_registers(event->pmu))
		read_registers(&register_entries[entry - entries].after);
}

/* Change one event of those that the first PMU has on this CPU for another, or NULL. */
static bool change_added(struct perf_event *from, struct perf_event *to)
{
	for (int i = 0; i < MAX_ADDED; i++) {
		if (raw_cpu_read(added[i]) == from) {
			raw_cpu_write(added[i], to);
			return true;
		}
	}
	return false;
}

static int observed_add(struct perf_event *event, int flags)
{
	struct entry *entry = begin_event(CALL_ADD, event, flags, _RET_IP_);
	int ret = original_of(event->pmu)->add(event, flags);

	end(entry, event, ret);
	if (event->pmu == pmus[0].pmu && !ret)
		WARN_ON_ONCE(!change_added(NULL, event));
	return ret;
}

static void observed_del(struct perf_event *event, int flags)
{
	struct entry *entry = begin_event(CALL_DEL, event, flags, _RET_IP_);

	change_added(event, NULL);
	original_of(event->pmu)->del(event, flags);
	end(entry, event, 0);
}

static void observed_start(struct perf_event *event, int flags)
{
	struct entry *entry = begin_event(CALL_START, event, flags, _RET_IP_);

	original_of(event->pmu)->start(event, flags);
	end(entry, event, 0);
}

static void observed_stop(struct perf_event *event, int flags)
{
	struct entry *entry = begin_event(CALL_STOP, event, flags, _RET_IP_);

	original_of(event->pmu)->stop(event, flags);
	end(entry, event, 0);
}

static void look_before(struct pmu *pmu, struct seen *before)
{
	for (int i = 0; i < MAX_ADDED; i++) {
		before->events[i] = raw_cpu_read(added[i]);
		if (before->events[i])
			before->views[i] = view(before->events[i]);
	}
	if (has_registers(pmu))
		read_registers(&before->registers);
}

/* Log the events whose counter or state is another one than before. */
static void log_assigned(struct seen *before, unsigned long caller)
{
	for (int i = 0; i < MAX_ADDED; i++) {
		struct perf_event *event = before->events[i];
		struct hw_view *was = &before->views[i];
		struct entry *entry;

		if (!event || (event->hw.idx == was->idx && event->hw.state == was->state))
			continue;
		entry = begin_event(CALL_ASSIGN, event, 0, caller);
		if (!entry)
			return;
		entry->before = *was;
		if (has_registers(event->pmu))
			register_entries[entry - entries].before = before->registers;
		end(entry, event, 0);
	}
}

static void observed_disable(struct pmu *pmu)
{
	if (in_its_tick())
		begin(CALL_DISABLE, pmu, _RET_IP_);
	original_of(pmu)->pmu_disable(pmu);
}

static void observed_enable(struct pmu *pmu)
{
	struct seen *before = raw_cpu_ptr(&seen_before[!!in_nmi()]);
	bool first = pmu == pmus[0].pmu;
	struct entry *entry;

	if (first)
		look_before(pmu, before);
	original_of(pmu)->pmu_enable(pmu);
	if (first)
		log_assigned(before, _RET_IP_);
	if (!in_its_tick())
		return;
	entry = begin(CALL_ENABLE, pmu, _RET_IP_);
	if (entry && has_registers(pmu))
		read_registers(&register_entries[entry - entries].after);
}

static int tick_entry(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	raw_cpu_inc(in_tick);
	begin(CALL_TICK, NULL, 0);
	return 0;
}

static int tick_return(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	begin(CALL_TICK_END, NULL, 0);
	raw_cpu_dec(in_tick);
	return 0;
}

static struct kretprobe tick_probe = {
	.kp.symbol_name = "perf_event_task_tick",
	.entry_handler = tick_entry,
	.handler = tick_return,
};

/* kallsyms knows all of the kernel's variables, and a kprobe where kallsyms is; 0 for none. */
static unsigned long find_address(const char *name)
{
	static unsigned long (*lookup)(const char *name);
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };

	if (!lookup) {
		if (register_kprobe(&probe))
			return 0;
		lookup = (void *)probe.addr;
		unregister_kprobe(&probe);
	}
	return lookup(name);
}

/* The PMU whose events a timer rotates is known when it comes only. */
static int rotate_entry(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct pmu *pmu = pmu_of_timer((void *)regs_get_kernel_argument(regs, 0));

	if (!is_wrapped(pmu))
		return 1;	/* its return is of no interest */
	*(struct pmu **)instance->data = pmu;
	begin(CALL_ROTATE, pmu, 0);
	return 0;
}

static int rotate_return(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct entry *entry = begin(CALL_ROTATE_END, *(struct pmu **)instance->data, 0);

	if (entry)
		entry->ret = regs_return_value(regs) == HRTIMER_RESTART;
	return 0;
}

static struct kretprobe rotate_probe = {
	.kp.symbol_name = "perf_mux_hrtimer_handler",
	.entry_handler = rotate_entry,
	.handler = rotate_return,
	.data_size = sizeof(struct pmu *),
};

static struct kretprobe *probes[] = { &tick_probe, &rotate_probe };

static void show_registers(struct seq_file *seq, const char *name, const struct registers *shown)
{
	seq_printf(seq, ",\"%s\":{\"enabled\":%llu,\"interrupts\":%llu,\"counters\":[",
		   name, shown->enabled, shown->interrupts);
	for (int i = 0; i < shown->number; i++)
		seq_printf(seq, "%s%llu", i ? "," : "", shown->counter[i]);
	seq_puts(seq, "],\"types\":[");
	for (int i = 0; i < shown->number; i++)
		seq_printf(seq, "%s%llu", i ? "," : "", shown->type[i]);
	seq_puts(seq, "],\"bits\":[");
	for (int i = 0; i < shown->number; i++)
		seq_printf(seq, "%s%u", i ? "," : "", shown->bit[i]);
	seq_puts(seq, "]}");
}

static void show_call(struct seq_file *seq, struct entry *entry)
{
	struct hw_view *before = &entry->before, *after = &entry->after;

	seq_printf(seq, ",\"id\":%llu,\"parent\":%llu,\"tick\":%d,\"flags\":%d,\"ret\":%d,"
		   "\"caller\":\"%ps\",\"idx\":[%d,%d],\"state\":[%d,%d],\"left\":[%lld,%lld],"
		   "\"period\":[%llu,%llu],\"count\":[%lld,%lld],\"prev\":[%llu,%llu],"
		   "\"interrupts\":[%llu,%llu]",
		   entry->id, entry->parent, entry->tick, entry->flags, entry->ret,
		   (void *)entry->caller, before->idx, after->idx,
		   before->state, after->state, before->left, after->left,
		   before->period, after->period, before->count, after->count,
		   before->prev, after->prev, before->interrupts, after->interrupts);
	if (register_entries) {
		show_registers(seq, "before", &register_entries[entry - entries].before);
		show_registers(seq, "after", &register_entries[entry - entries].after);
	}
}

static int log_show(struct seq_file *seq, void *slot)
{
	unsigned int calls = atomic_read(&taken), kept = min(calls, capacity);
	struct entry *entry = &entries[*(loff_t *)slot];

	if (*(loff_t *)slot == kept) {
		seq_printf(seq, "{\"kind\":\"observer\",\"calls\":%u,\"kept\":%u}\n", calls, kept);
		show_state(seq, "before", &state_before);
		show_state(seq, "after", &state_after);
		return 0;
	}
	seq_printf(seq, "{\"kind\":\"callback\",\"call\":\"%s\",\"time\":%llu,\"cpu\":%d",
		   call_names[entry->call], entry->time, entry->cpu);
	if (*entry->pmu)
		seq_printf(seq, ",\"pmu\":\"%s\"", entry->pmu);
	if (entry->call <= CALL_ASSIGN)
		show_call(seq, entry);
	if (entry->call == CALL_ROTATE_END)
		seq_printf(seq, ",\"ret\":%d", entry->ret);
	if (entry->call == CALL_ENABLE && register_entries && entry->pmu == pmus[0].name)
		show_registers(seq, "after", &register_entries[entry - entries].after);
	seq_puts(seq, "}\n");
	return 0;
}

/* The calls that were kept, and one more slot for what there is to say after them. */
static void *log_start(struct seq_file *seq, loff_t *slot)
{
	if (!*slot)
		take_state(&state_after, &places, pmus[0].pmu);
	return *slot <= min_t(unsigned int, atomic_read(&taken), capacity) ? slot : NULL;
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

/* Software PMUs are static variables of the kernel. */
static struct pmu *find_symbol(const char *name)
{
	struct pmu *found = (struct pmu *)find_address(name);

	return found ?: ERR_PTR(-ENOENT);
}

static void wrap(struct pmu *pmu, const char *name)
{
	struct wrapped *place = &pmus[pmu_number];

	place->pmu = pmu;
	place->original = *pmu;
	place->name = name;
	pmu_number++;
	smp_wmb();	/* the originals are there before the first call */
	WRITE_ONCE(pmu->add, observed_add);
	WRITE_ONCE(pmu->del, observed_del);
	WRITE_ONCE(pmu->start, observed_start);
	WRITE_ONCE(pmu->stop, observed_stop);
	WRITE_ONCE(pmu->pmu_disable, observed_disable);
	WRITE_ONCE(pmu->pmu_enable, observed_enable);
	pr_info("pmu_observer: watching %s\n", name);
}

static void unwrap(struct wrapped *wrapped)
{
	WRITE_ONCE(wrapped->pmu->add, wrapped->original.add);
	WRITE_ONCE(wrapped->pmu->del, wrapped->original.del);
	WRITE_ONCE(wrapped->pmu->start, wrapped->original.start);
	WRITE_ONCE(wrapped->pmu->stop, wrapped->original.stop);
	WRITE_ONCE(wrapped->pmu->pmu_disable, wrapped->original.pmu_disable);
	WRITE_ONCE(wrapped->pmu->pmu_enable, wrapped->original.pmu_enable);
}

static int wrap_all(void)
{
	struct pmu *found[MAX_PMUS];

	found[0] = find_pmu();
	if (IS_ERR(found[0])) {
		pr_err("pmu_observer: no PMU takes type %u config %#lx: %ld\n",
		       type, config, PTR_ERR(found[0]));
		return PTR_ERR(found[0]);
	}
	for (int i = 0; i < also_number; i++) {
		found[i + 1] = find_symbol(also[i]);
		if (IS_ERR(found[i + 1])) {
			pr_err("pmu_observer: no struct pmu %s: %ld\n",
			       also[i], PTR_ERR(found[i + 1]));
			return PTR_ERR(found[i + 1]);
		}
	}
	wrap(found[0], found[0]->name);
	for (int i = 0; i < also_number; i++)
		wrap(found[i + 1], also[i]);
	return 0;
}

static int __init observer_init(void)
{
	int ret = -ENOMEM;

	entries = vzalloc(array_size(capacity, sizeof(*entries)));
	if (registers)
		register_entries = vzalloc(array_size(capacity, sizeof(*register_entries)));
	if (!entries || (registers && !register_entries))
		goto free;

	ret = register_kretprobes(probes, ARRAY_SIZE(probes));
	if (ret) {
		pr_err("pmu_observer: cannot probe %s or %s: %d\n", tick_probe.kp.symbol_name,
		       rotate_probe.kp.symbol_name, ret);
		goto free;
	}
	ret = wrap_all();
	if (ret)
		goto unprobe;
	find_places(&places, find_address);
	take_state(&state_before, &places, pmus[0].pmu);

	directory = debugfs_create_dir("pmu_observer", NULL);
	debugfs_create_file("log", 0400, directory, NULL, &log_fops);
	return 0;
unprobe:
	unregister_kretprobes(probes, ARRAY_SIZE(probes));
free:
	vfree(register_entries);
	vfree(entries);
	return ret;
}

static void __exit observer_exit(void)
{
	for (int i = 0; i < pmu_number; i++)
		unwrap(&pmus[i]);
	unregister_kretprobes(probes, ARRAY_SIZE(probes));
	debugfs_remove(directory);
	synchronize_rcu();
	vfree(register_entries);
	vfree(entries);
}

module_init(observer_init);
module_exit(observer_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Log of the callbacks of a struct pmu");
